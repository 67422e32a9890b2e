"""Images found by their captions, and captions by their image: recall@k and median rank, as the papers count them.

A caption has one right image, its own; an image has all of its captions, and its rank is that of the best of them
(Hodosh, Young & Hockenmaier 2013, section 4; Karpathy & Fei-Fei 2015, table 1). Every caption is a query of its own. Captions
of the same words, as class names make them, are one text to be found, and right for every image that has it. Ties count
against the query: a collapsed model, for which all are equally near, ranks last and not first.

Products are taken in float32, in blocks of at most 64 MB whatever the sizes; a rank that float32 cannot decide is counted
again in float64, so that ranks are exact. 5,000 captions against 1,000 images take about 0.1 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from likewise.errors import EvaluationError
from likewise.evaluation._inputs import ArrayLike, as_embeddings, as_labels, check_k, check_same_dimension
from likewise.evaluation._tiles import TILE_BYTES, Rows, full_precision, lengths

_UNDECIDED = 4e-6  # float32 products of unit vectors may differ by less than this though they are equal
_EQUAL = 1e-12  # the same in float64


@dataclass(frozen=True)
class RankedQueries:
    """Queries of one direction."""

    recall: dict[int, float]
    """k → share of queries whose right item is among the k nearest."""
    median_rank: float
    ranks: NDArray[np.int64]
    """(Q,) rank of the best right item of each query, from 1."""


@dataclass(frozen=True)
class ImageTextResult:
    """Both directions."""

    text_to_image: RankedQueries
    image_to_text: RankedQueries


def image_text_retrieval(
    images: ArrayLike,
    texts: ArrayLike,
    image_of_text: ArrayLike,
    ks: Sequence[int] = (1, 5, 10),
    *,
    wording: ArrayLike | None = None,
) -> ImageTextResult:
    """Cosine retrieval between images and their captions.

    Args:
        images: (N, D) real, finite; a zero vector has the similarity 0 to everything.
        texts: (T, D) real, finite.
        image_of_text: (T,) int, the row of ``images`` that each caption belongs to; every image has at least one.
        ks: each at least 1.
        wording: (T,) int, equal for captions of the same words, which are one text for the images to find; by default all
            differ. It changes nothing of text to image: each caption asks for its own image.

    Raises:
        EvaluationError: shapes do not fit, a value is not finite, an image without a caption, a row that is not there.

    Example:
        >>> images = np.eye(2)
        >>> texts = np.array([[1.0, 0.0], [0.9, 0.1], [0.2, 1.0], [1.0, 0.3]])
        >>> found = image_text_retrieval(images, texts, np.array([0, 0, 1, 1]), ks=(1,))
        >>> found.text_to_image.recall, found.text_to_image.ranks.tolist(), found.image_to_text.median_rank
        ({1: 0.75}, [1, 1, 1, 2], 1.0)
    """
    for k in ks:
        check_k(k, "ks")
    x = as_embeddings(images, "images")
    y = as_embeddings(texts, "texts")
    check_same_dimension(x, "images", y, "texts")
    owner = as_labels(image_of_text, "image_of_text", len(y))
    if owner.max() >= len(x):
        raise EvaluationError(
            f"image_of_text has the value {owner.max()} with {len(x)} images.",
            expected=f"Expected 0 … {len(x) - 1}: rows of the images.",
        )
    missing = np.flatnonzero(np.bincount(owner, minlength=len(x)) == 0)
    if len(missing):
        raise EvaluationError(
            f"image {missing[0]} has no caption.",
            expected="Expected at least one caption for each image.",
            advice="Leave out the images without one.",
        )
    found, place = np.arange(len(y)), np.arange(len(y))
    if wording is not None:
        words = as_labels(wording, "wording", len(y))
        _, found, place = np.unique(words, return_index=True, return_inverse=True)
    by_image = np.lexsort((place, owner))
    return ImageTextResult(
        _summary(_ranks(y, x, np.arange(len(y)), owner), ks),
        _summary(_ranks(x, y[found], owner[by_image], place[by_image]), ks),
    )


def _summary(ranks: NDArray[np.int64], ks: Sequence[int]) -> RankedQueries:
    return RankedQueries({int(k): float((ranks <= k).mean()) for k in ks}, float(np.median(ranks)), ranks)


def _ranks(queries: Rows, gallery: Rows, asker: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rank of each query's best right item.

    Args:
        asker, right: (P,) pairs of a query and a gallery row that is right for it, sorted by query; each query has one.
    """
    lengths_of = {"query": lengths(queries), "gallery": lengths(gallery)}
    columns = torch.from_numpy(_unit(gallery, lengths_of["gallery"]).astype(np.float32))
    ranks, bars = np.empty(len(queries), np.int64), np.empty(len(queries))
    undecided: list[NDArray[np.int64]] = []
    step = max(1, TILE_BYTES // (4 * len(gallery)))
    for start in range(0, len(queries), step):
        stop = min(start + step, len(queries))
        first, last = np.searchsorted(asker, (start, stop))
        rows, cells = asker[first:last] - start, right[first:last]
        exact = _unit(queries[start:stop], lengths_of["query"][start:stop])
        best = np.full(stop - start, -np.inf)
        np.maximum.at(best, rows, _products(exact, gallery, lengths_of["gallery"], rows, cells))
        with full_precision():
            tile = torch.from_numpy(exact.astype(np.float32)) @ columns.T
        tile[torch.from_numpy(rows), torch.from_numpy(cells)] = -torch.inf
        bar = torch.from_numpy(best)[:, None]
        above = (tile > bar + _UNDECIDED).sum(dim=1).numpy()
        unclear = (tile > bar - _UNDECIDED).sum(dim=1).numpy() > above
        undecided.append(start + np.flatnonzero(unclear))
        ranks[start:stop], bars[start:stop] = above + 1, best
    rows = np.concatenate(undecided)
    ranks[rows] = 1 + _counted(queries, gallery, lengths_of, rows, bars[rows], asker, right)
    return ranks


def _unit(rows: Rows, norms: NDArray[np.float64]) -> NDArray[np.float64]:
    unit: NDArray[np.float64] = rows.astype(np.float64) / np.where(norms > 0, norms, 1)[:, None]
    return unit


def _products(
    exact: NDArray[np.float64], gallery: Rows, norms: NDArray[np.float64], rows: Rows, cells: Rows
) -> NDArray[np.float64]:
    """Cosines of given pairs in float64."""
    found = np.empty(len(rows))
    step = max(1, TILE_BYTES // (16 * gallery.shape[1]))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        right = _unit(gallery[cells[part]], norms[cells[part]])
        found[part] = np.einsum("pd,pd->p", exact[rows[part]], right)
    return found


def _counted(
    queries: Rows,
    gallery: Rows,
    norms: dict[str, NDArray[np.float64]],
    rows: NDArray[np.int64],
    bars: NDArray[np.float64],
    asker: NDArray[np.int64],
    right: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Gallery rows, other than the right ones, that are at least as similar as each query's bar, in float64.

    Args:
        norms: lengths of ``query`` and ``gallery`` rows.
        rows: (U,) queries, ascending.
        bars: (U,) their bars.
        asker, right: as for ``_ranks``.
    """
    total = np.zeros(len(rows), np.int64)
    columns = max(1, TILE_BYTES // (8 * gallery.shape[1]))
    for start in range(0, len(gallery) if len(rows) else 0, columns):
        stop = min(start + columns, len(gallery))
        block = _unit(gallery[start:stop], norms["gallery"][start:stop])
        height = max(1, TILE_BYTES // (8 * max(block.shape)))
        for first in range(0, len(rows), height):
            chosen = rows[first : first + height]
            near = (
                _unit(queries[chosen], norms["query"][chosen]) @ block.T >= bars[first : first + height, None] - _EQUAL
            )
            place = np.searchsorted(chosen, asker).clip(max=len(chosen) - 1)
            own = (chosen[place] == asker) & (right >= start) & (right < stop)
            near[place[own], right[own] - start] = False
            total[first : first + height] += near.sum(axis=1)
    return total
