"""The exact k nearest neighbours, in bounded memory: the engine under every neighbour protocol.

Three passes, each only for the queries that the one before could not settle:

1. float32 tiles give k + 16 candidates and a bound that everything else reaches; the candidates are ranked by their
   exact distance. Where the k-th is nearer than the bound, the answer is proven. That is all queries of ordinary data.
2. Where neighbours are closer together than float32 products resolve (classes that have shrunk to dots), the same in
   float64 tiles, against the *distinct* rows of the gallery only: a collapsed space has few of those.
3. What is left has more than k + 16 distinct rows at one distance (pixels, one-hot codes): everything within the k-th
   distance is collected and ranked.

10,000 queries against 60,000 × 64 at k = 10 take about as long as faiss's flat index (benchmarks/evaluation.py); the
working memory is some tiles, about 200 MB at most, whatever the sizes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from likewise.errors import EvaluationError
from likewise.evaluation._inputs import ArrayLike, as_embeddings, check_choice, check_k, check_same_dimension
from likewise.evaluation._slabs import certified
from likewise.evaluation._tiles import (
    Floats,
    Positions,
    Rows,
    Space,
    full_precision,
    squared_distances,
    within,
)

_WIDE_ROWS = 16  # queries at a time in the third pass, whose number of candidates is not known beforehand


def nearest(
    queries: ArrayLike,
    gallery: ArrayLike,
    k: int,
    *,
    distance: str = "euclidean",
    exclude_self: bool = False,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The k nearest gallery rows of each query: exact, deterministic, never a full (M, N) matrix.

    Ranked by the distance computed from the differences in float64; equal distances go to the lower gallery index.
    Identical points have distance exactly 0. (Parallel vectors of different length tie under the cosine distance
    only up to the rounding of float64.)

    Args:
        queries: (M, D) real, finite.
        gallery: (N, D) real, finite.
        k: 1 … N, or N - 1 with ``exclude_self``.
        distance: ``"euclidean"``, |x - y|; or ``"cosine"``, 1 - x·y/(|x||y|) in [0, 2], where a zero vector has
            similarity 0, distance 1, to everything, itself included.
        exclude_self: row i of the queries is row i of the gallery and is not its own neighbour.

    Returns:
        (M, k) float32 distances, ascending, and (M, k) int64 gallery positions.

    Raises:
        EvaluationError: shapes do not fit, a value is not finite, k < 1 or beyond the gallery, an unknown distance.

    Example:
        >>> import numpy as np
        >>> gallery = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]], dtype=np.float32)
        >>> distances, indices = nearest(gallery[:1], gallery, 3)
        >>> distances.tolist(), indices.tolist()
        ([[0.0, 1.0, 5.0]], [[0, 2, 1]])
    """
    x, y = as_embeddings(queries, "queries"), as_embeddings(gallery, "gallery")
    check_same_dimension(x, "queries", y, "gallery")
    check_choice(distance, "distance", ("euclidean", "cosine"))
    check_k(k)
    if exclude_self and len(x) != len(y):
        raise EvaluationError(
            f"exclude_self=True with {len(x)} queries and a gallery of {len(y)}.",
            expected="Expected the queries to be the gallery, row by row.",
            advice="Pass the same embeddings twice, or exclude_self=False.",
        )
    available = len(y) - int(exclude_self)
    if k > available:
        raise EvaluationError(
            f"k={k} with {available} gallery rows to choose from.",
            expected=f"Expected k of at most {available}.",
            advice="Lower k or use a larger gallery.",
        )
    with full_precision():
        # one more than asked for, self included; dropping self afterwards leaves exactly the k others
        squared, indices = _search(x, y, k + int(exclude_self), unit=distance == "cosine")
    if exclude_self:
        squared, indices = _without_self(squared, indices)
    values = squared / 2 if distance == "cosine" else np.sqrt(squared)
    return values.astype(np.float32), indices


def _search(queries: Rows, gallery: Rows, k: int, *, unit: bool) -> tuple[Floats, Positions]:
    space = Space.around(queries, gallery, unit=unit)
    squared, indices, proven = certified(queries, gallery, k, space, np.float32)
    # a query without a direction is equally far from everything
    undirected = space.penalty(queries) > 0
    squared[undirected], indices[undirected], proven[undirected] = 2, np.arange(k), True
    if not proven.all():
        squared[~proven], indices[~proven] = _search_distinct(queries[~proven], gallery, k, unit=unit)
    return squared, indices


def _search_distinct(queries: Rows, gallery: Rows, k: int, *, unit: bool) -> tuple[Floats, Positions]:
    """Passes two and three, on the distinct gallery rows, expanded to all rows at the end."""
    first, group = _distinct_rows(gallery)
    rows = gallery if len(first) == len(gallery) else gallery[first]
    kept = min(k, len(rows))
    space = Space.around(queries, rows, unit=unit)
    squared, indices, proven = certified(queries, rows, kept, space, np.float64)
    for start in range(0, int((~proven).sum()), _WIDE_ROWS):
        part = np.flatnonzero(~proven)[start : start + _WIDE_ROWS]
        squared[part], indices[part] = _search_within(queries[part], rows, kept, squared[part, -1], space)
    return (squared, indices) if rows is gallery else _expand(squared, indices, group, k)


def _search_within(queries: Rows, gallery: Rows, k: int, radius: Floats, space: Space) -> tuple[Floats, Positions]:
    """The k nearest among all rows within a radius that is known to hold at least k."""
    row, position = within(queries, gallery, radius * (1 + 1e-12), space)
    squared = np.empty(len(row))
    step = max(1, 2**19 // queries.shape[1])
    for start in range(0, len(row), step):
        part = slice(start, start + step)
        squared[part] = squared_distances(queries[row[part]], gallery, position[part, None], space)[:, 0]
    return _first_of_each(row, squared, position, k)


def _distinct_rows(gallery: Rows) -> tuple[Positions, Positions]:
    """Positions of the first of each distinct row, ascending, and for every row the number of its distinct row."""
    row_bytes = gallery.view(np.dtype((np.void, gallery.dtype.itemsize * gallery.shape[1])))[:, 0]
    numbers: dict[bytes, int] = {}
    group = np.fromiter(
        (numbers.setdefault(row, len(numbers)) for row in map(bytes, row_bytes)), np.int64, len(gallery)
    )
    first = np.empty(len(numbers), dtype=np.int64)
    first[group[::-1]] = np.arange(len(gallery))[::-1]  # the last write stays, so write backwards
    return first, group


def _expand(squared: Floats, indices: Positions, group: Positions, k: int) -> tuple[Floats, Positions]:
    """Neighbours among distinct rows to neighbours among all rows, ties again by lower gallery index."""
    members = np.argsort(group, kind="stable")
    sizes = np.bincount(group)
    starts = np.cumsum(sizes) - sizes
    out_squared, out_indices = np.empty((len(squared), k)), np.empty((len(squared), k), dtype=np.int64)
    step = max(1, 2**20 // (k * k))
    for start in range(0, len(squared), step):
        rows = slice(start, start + step)
        counts = np.minimum(sizes[indices[rows]], k)
        # rows beyond the one that fills up k, and not tied with it, cannot be needed
        filled = np.argmax(np.cumsum(counts, axis=1) >= k, axis=1)[:, None]
        counts[squared[rows] > np.take_along_axis(squared[rows], filled, axis=1)] = 0
        flat = counts.ravel()
        offset = np.arange(flat.sum()) - np.repeat(np.cumsum(flat) - flat, flat)
        position = members[np.repeat(starts[indices[rows]].ravel(), flat) + offset]
        owner = np.repeat(np.arange(len(counts)), counts.sum(axis=1))
        value = np.repeat(squared[rows].ravel(), flat)
        out_squared[rows], out_indices[rows] = _first_of_each(owner, value, position, k)
    return out_squared, out_indices


def _first_of_each(owner: Positions, squared: Floats, position: Positions, k: int) -> tuple[Floats, Positions]:
    """The k smallest (distance, position) of each owner 0, 1, …; each owner has at least k."""
    order = np.lexsort((position, squared, owner))
    counts = np.bincount(owner)
    taken = order[(np.cumsum(counts) - counts)[:, None] + np.arange(k)]
    return squared[taken], position[taken]


def _without_self(squared: Floats, indices: Positions) -> tuple[Floats, Positions]:
    """Drop each row's own index where it was found, else the last neighbour."""
    drop = indices == np.arange(len(indices))[:, None]
    drop[~drop.any(axis=1), -1] = True
    shape = (len(indices), indices.shape[1] - 1)
    return squared[~drop].reshape(shape), indices[~drop].reshape(shape)
