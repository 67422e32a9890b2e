"""Full rankings up to rank R, R different for each query: what MAP@R and R-precision need.

With ten classes R is a tenth of the gallery, so a top-k search does not help; the row has to be sorted. The whole sort
key of a gallery item is one integer: non-negative floats order as integers, so the 31 bits of a float32 distance and one
bit for "relevant" make 32, which are built, partitioned and sorted (numpy does both with AVX-512) in the place of the
distances. Where a relevant and another item have the very same distance the index has to decide, and the query is ranked
again with 64 bits: a float32 widened to float64 leaves 29 low bits free, for index and relevance. That is one query in
forty of ordinary data and every query of a collapsed space.

Tiles of rows are worked off in threads, since torch and numpy release the lock. Besides a float32 copy of the gallery the
memory is one tile a thread. The ranking is by the float32 distance of centred coordinates: two items whose squared distances
differ by less than about 1e-6 of their squared norms may swap, which moves MAP@R by far less than one part in a million.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from likewise.errors import EvaluationError
from likewise.evaluation._tiles import TILE_BYTES, Space, full_precision, row_slices

_TILE_ROWS = 64  # the rate of the matrix product hardly grows beyond; a tile is worked off while it is in the cache
_BATCH_ROWS = 8  # rows of one task: few calls, so that threads seldom wait for the lock, in a second-level cache
_LARGEST_GALLERY = 2**28  # 29 free bits, one of them for relevance

Ranked = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]


def precision_at_r(
    queries: NDArray[Any],
    query_labels: NDArray[np.int64],
    gallery: NDArray[Any],
    gallery_labels: NDArray[np.int64],
    *,
    unit: bool,
    exclude_self: bool,
) -> Ranked:
    """Average precision at R, R-precision and the rank of the first relevant item, of each query.

    Returns:
        Two (M,) float64, NaN where a query has no relevant item, and (M,) int64 ranks from 1, 0 there.

    Raises:
        EvaluationError: the gallery has more than 2^28 rows.
    """
    if len(gallery) > _LARGEST_GALLERY:
        raise EvaluationError(
            f"a gallery of {len(gallery)} rows.",
            expected=f"Expected at most {_LARGEST_GALLERY}.",
            advice="Measure MAP@R on a sample of the gallery.",
        )
    sizes = np.bincount(gallery_labels, minlength=int(query_labels.max(initial=0)) + 1)
    relevant = sizes[query_labels] - int(exclude_self)
    average, precise = np.full(len(queries), np.nan), np.full(len(queries), np.nan)
    first = np.zeros(len(queries), dtype=np.int64)
    # queries of one class together: they share R and the relevance of every gallery item
    order = np.flatnonzero(relevant > 0)
    order = order[np.argsort(query_labels[order], kind="stable")]
    space = Space.around(queries, gallery, unit=unit)
    right = torch.from_numpy(_factor(gallery, space, left=False))
    space_left = threading.local()

    def measured(part: NDArray[np.int64]) -> NDArray[np.float32]:
        """Squared distances of these queries to the whole gallery, in this thread's tile."""
        if not hasattr(space_left, "tile"):
            space_left.tile = torch.empty(rows, len(gallery))
        left = torch.from_numpy(_factor(queries[part], space, left=True))
        distances: NDArray[np.float32] = torch.mm(left, right.T, out=space_left.tile[: len(part)]).numpy()
        if exclude_self:
            distances[np.arange(len(part)), part] = np.inf
        return distances

    def rank(part: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rank a tile of queries; returns those that equal distances leave unsettled."""
        distances, unsettled = measured(part), []
        masks = {c: (gallery_labels == c).astype(np.uint32) for c in np.unique(query_labels[part]).tolist()}
        for a, b in _batches(query_labels[part]):
            batch = part[a:b]
            label, r = int(query_labels[batch[0]]), int(relevant[batch[0]])
            bits = distances[a:b].view(np.uint32)
            (average[batch], precise[batch], first[batch]), open_ = _rank(bits, masks[label], r)
            unsettled.append(batch[open_])
        return np.concatenate(unsettled)

    def rank_by_index(part: NDArray[np.int64]) -> None:
        for query, distances in zip(part.tolist(), measured(part), strict=True):
            same = gallery_labels == query_labels[query]
            average[query], precise[query], first[query] = _rank_by_index(distances, same, int(relevant[query]))

    def tiles(chosen: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        return [chosen[start : start + rows] for start in range(0, len(chosen), rows)]

    threads = torch.get_num_threads()
    rows = max(1, min(_TILE_ROWS, TILE_BYTES // (4 * len(gallery) * threads), -(-len(order) // threads)))
    # each thread multiplies and ranks tiles of its own: none waits for another between the two
    with full_precision(), _one_thread_each(), ThreadPoolExecutor(threads) as pool:
        tied = list(pool.map(rank, tiles(order)))
        list(pool.map(rank_by_index, tiles(np.concatenate([*tied, order[:0]]))))
    return average, precise, first


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Torch computes in the calling thread alone, because there is one for each core already."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _batches(labels: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Ranges of at most so many rows, each of one class."""
    changes = np.flatnonzero(np.diff(labels, prepend=labels[0] - 1)).tolist()
    starts = [s for a, b in pairwise([*changes, len(labels)]) for s in range(a, b, _BATCH_ROWS)]
    return list(pairwise([*starts, len(labels)]))


def _rank(bits: NDArray[np.uint32], same: NDArray[np.uint32], relevant: int) -> tuple[Ranked, NDArray[np.bool_]]:
    """AP@R, R-precision and first hit of each row, and whether the row is unsettled.

    Args:
        bits: (n, N) float32 distances, not negative, as integers; overwritten.
        same: (N,) 1 where the gallery item is relevant, else 0.
        relevant: R, 1 … N.
    """
    keys = np.add(bits, bits, out=bits)  # one place up: the sign bit is free
    np.bitwise_or(keys, same, out=keys)
    keys.partition(min(relevant, keys.shape[1] - 1), axis=1)
    head = keys[:, :relevant]
    head.sort(axis=1)
    hits = head & 1
    counted = np.cumsum(hits, axis=1, dtype=np.uint32)
    precise = counted[:, -1] / relevant
    counted *= hits
    average = np.einsum("nr,r->n", counted.astype(np.float64), 1 / np.arange(1, relevant + 1)) / relevant
    # keys of one distance differ in the last bit only; so does the first key beyond the cut
    unsettled = ((head[:, 1:] ^ head[:, :-1]) == 1).any(axis=1) | (precise == 0)
    if relevant < keys.shape[1]:
        unsettled |= (head[:, -1] ^ keys[:, relevant]) <= 1
    return (average, precise, hits.argmax(axis=1) + 1), unsettled


def _rank_by_index(distances: NDArray[np.float32], same: NDArray[np.bool_], relevant: int) -> tuple[float, float, int]:
    """The same for one row with equal distances in the order of their index, or without a hit among R."""
    keys = distances.astype(np.float64).view(np.int64)
    np.bitwise_or(keys, np.arange(len(same), dtype=np.int64) * 2 + same, out=keys)
    keys.partition(relevant - 1)
    head = keys[:relevant]
    head.sort()
    ranks = np.flatnonzero(head & 1) + 1
    if len(ranks):
        precision = np.arange(1, len(ranks) + 1) / ranks
        return float(precision.sum()) / relevant, len(ranks) / relevant, int(ranks[0])
    tail = keys[relevant:]
    nearest = tail[(tail & 1) == 1].min()
    return 0.0, 0.0, relevant + 1 + int((tail < nearest).sum())


def _factor(rows: NDArray[Any], space: Space, *, left: bool) -> NDArray[np.float32]:
    """One side of the product (-2x, 1, |x|²) · (y, |y|², 1), the squared distance, as float32.

    The query's own square is a little too large, which moves all its distances by the same amount: rounding cannot
    take one below zero, where the bits of a float no longer sort as integers.
    """
    shift = 1 + 3 * space.slack(np.float32) if left else 1
    factor = np.empty((len(rows), rows.shape[1] + 2), dtype=np.float32)
    start = 0
    for part in row_slices(rows):
        x = (space.coordinates(part) - space.centre) * space.scale
        squares = np.einsum("nd,nd->n", x, x) + space.penalty(part) * space.scale**2
        target = factor[start : start + len(part)]
        target[:, :-2] = -2 * x if left else x
        target[:, -2], target[:, -1] = (1, squares * shift) if left else (squares, 1)
        start += len(part)
    return factor
