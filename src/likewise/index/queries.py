"""Searches that are asked together are answered together: one pass over the embeddings, one reading of the rows.

A search has an embedding, or words for captions, or both; both rankings are then fused.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from likewise.errors import SearchIndexError
from likewise.index.rows import Hit
from likewise.index.searching import ImageLike, Searcher, embed_image
from likewise.index.vectors import RowIds
from likewise.models import EmbeddingModel

__all__ = ["Query", "answer", "fused", "query_of"]

FUSED = 50  # hits of each ranking that are fused

Ranking = tuple[RowIds, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Query:
    """One search.

    Args:
        embedding: (D,) float32 of the index's model, or None.
        text: words to look for in captions, or None. Beside an embedding they count where the index has captions.
        k: hits, at least 1.
        filter: an SQL condition that hits must meet.
    """

    embedding: NDArray[np.float32] | None = None
    text: str | None = None
    k: int = 5
    filter: str | None = None

    def __post_init__(self) -> None:
        if self.embedding is None and self.text is None:
            raise SearchIndexError("A query has neither an embedding nor a text.", expected="Expected one, or both.")
        if self.k < 1:
            raise SearchIndexError(f"k is {self.k}.", expected="Expected 1 or more.")


def query_of(
    model: Callable[[], EmbeddingModel],
    *,
    image: ImageLike | None,
    text: str | None,
    embedding: ArrayLike | None,
    k: int,
    filter: str | None,
) -> Query:
    """What a person asks, embedded by a model that is loaded where it is needed; the rest as of ``Index.search``."""
    if sum(given is not None for given in (image, text, embedding)) != 1:
        raise SearchIndexError(
            "A search was given no query, or several.", expected="Expected one of image, text and embedding."
        )
    if text is not None and not text.strip():
        raise SearchIndexError(f"The text to search for is {text!r}.", expected="Expected at least one word.")
    if image is not None:
        embedding = embed_image(model(), image)[0]
    elif text is not None and model().text is not None:
        embedding = model().embed_text([text])[0]
    return Query(None if embedding is None else np.asarray(embedding), text, k, filter)


def fused(alike: Sequence[int], worded: Sequence[int]) -> dict[int, float]:
    """Two rankings as one: the score of each row is the sum of 1 / (60 + rank) over those that have it.

    Reciprocal rank fusion (Cormack et al. 2009).

    Example:
        >>> {row: round(score, 4) for row, score in fused([7, 8], [8]).items()}
        {7: 0.0164, 8: 0.0325}
    """
    scores: dict[int, float] = defaultdict(float)
    for ranking in (alike, worded):
        for rank, row in enumerate(ranking, start=1):
            scores[row] += 1 / (60 + rank)
    return dict(scores)


def answer(
    searcher: Searcher, queries: Sequence[Query], *, exact: bool | None = None, pictures: bool = True
) -> list[list[Hit]]:
    """Hits of each query at the newest version of the table, best first.

    Args:
        searcher: of the index.
        queries: any number.
        exact: look at every embedding even where there is an approximate index.
        pictures: read the thumbnails.
    """
    with searcher.turn:
        searcher.refresh()
        captions = any(query.text is not None for query in queries) and searcher.has_captions()
        alike = _alike(searcher, queries, captions, exact)
        words = [
            searcher.in_captions(query.text, _depth(query, captions), query.filter)
            if query.text is not None and (captions or query.embedding is None)
            else None
            for query in queries
        ]
        rankings = [ranking for ranking in (*alike, *words) if ranking is not None]
        known = (
            searcher.hits(np.concatenate([row_ids for row_ids, _ in rankings]), pictures=pictures) if rankings else {}
        )
        return [_hits(query, near, found, known) for query, near, found in zip(queries, alike, words, strict=True)]


def _depth(query: Query, captions: bool) -> int:
    """Hits of each ranking: more than asked for where two are to be fused."""
    both = captions and query.text is not None and query.embedding is not None
    return max(query.k, FUSED) if both else query.k


def _alike(searcher: Searcher, queries: Sequence[Query], captions: bool, exact: bool | None) -> list[Ranking | None]:
    """The nearest rows of those queries that have an embedding: all with one filter and depth in one pass."""
    groups: dict[tuple[str | None, int], list[int]] = defaultdict(list)
    for place, query in enumerate(queries):
        if query.embedding is not None:
            groups[query.filter, _depth(query, captions)].append(place)
    found: list[Ranking | None] = [None] * len(queries)
    for (where, depth), places in groups.items():
        asked = np.stack([np.asarray(queries[place].embedding) for place in places])
        row_ids, distances = searcher.nearest(asked, depth, where, exact)
        for place, rows, apart in zip(places, row_ids, distances, strict=True):
            found[place] = rows, apart
    return found


def _hits(query: Query, alike: Ranking | None, words: Ranking | None, known: dict[int, Hit]) -> list[Hit]:
    distances = {} if alike is None else dict(zip(alike[0].tolist(), alike[1].tolist(), strict=True))
    scores: dict[int, float] = {}
    if words is not None:
        scores = dict(zip(words[0].tolist(), words[1].tolist(), strict=True))
    order = [*distances] if words is None else [*scores]
    if alike is not None and words is not None:
        scores = fused([*distances], [*scores])
        order = sorted(scores, key=lambda row: (-scores[row], known[row].id))
    return [
        dataclasses.replace(known[row], distance=distances.get(row), score=scores.get(row)) for row in order[: query.k]
    ]
