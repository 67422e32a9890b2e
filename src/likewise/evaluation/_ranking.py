"""Full rankings up to rank R, R different for each query: what MAP@R and R-precision need.

With ten classes R is a tenth of the gallery, so a top-k search does not help; the row has to be sorted. The whole sort
key of a gallery item is one integer: non-negative floats order as integers, so the 31 bits of a float32 distance and one
bit for "relevant" make 32. Where a relevant and another item have the very same distance (and the index must decide), the
row is sorted again with 64 bits: a float32 distance widened to float64 leaves 29 low bits free, for index and relevance.
Integers are what numpy partitions and sorts with AVX-512, and a row stays in the second-level cache from the key to the
sum: about 0.15 ms for R = 6,000 of 60,000, in threads, since numpy releases the lock.

The ranking is by the float32 distance of centred coordinates: two items whose squared distances differ by less than
about 1e-6 of their squared norms may swap, which moves MAP@R by far less than one part in a million.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from likewise.errors import EvaluationError
from likewise.evaluation._tiles import TILE_BYTES, Space, full_precision, row_slices

_TILE_ROWS = 64  # the tile is read back row by row; more rows have left the cache by then
_LARGEST_GALLERY = 2**28  # 29 free bits, one of them for relevance


@dataclass(frozen=True)
class _Bits:
    """What the keys of one class of queries carry below the distance."""

    relevant: NDArray[np.uint32]  # (N,) 0 or 1
    low: NDArray[np.int64]  # (N,) twice the index, plus 0 or 1

    @classmethod
    def of(cls, relevant: NDArray[np.bool_]) -> _Bits:
        return cls(relevant.astype(np.uint32), np.arange(len(relevant), dtype=np.int64) * 2 + relevant)


def precision_at_r(
    queries: NDArray[Any],
    query_labels: NDArray[np.int64],
    gallery: NDArray[Any],
    gallery_labels: NDArray[np.int64],
    *,
    unit: bool,
    exclude_self: bool,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
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
    space = Space.around(queries, gallery, unit=unit)
    right = torch.from_numpy(_factor(gallery, space, left=False))
    # queries of one class together: they share the low bits of their keys
    order = np.flatnonzero(relevant > 0)
    order = order[np.argsort(query_labels[order], kind="stable")]
    rows = max(1, min(_TILE_ROWS, TILE_BYTES // (4 * len(gallery))))
    workers = torch.get_num_threads()
    tile = torch.empty(rows, len(gallery))
    scratch = [np.empty(len(gallery), dtype=np.float64) for _ in range(workers)]
    bits: dict[int, _Bits] = {}

    def measure(worker: int, part: NDArray[np.int64], distances: NDArray[np.float32]) -> None:
        for place in range(worker, len(part), workers):
            query = part[place]
            if exclude_self:
                distances[place, query] = np.inf
            average[query], precise[query], first[query] = _measure_row(
                distances[place], scratch[worker], bits[int(query_labels[query])], int(relevant[query])
            )

    with full_precision(), ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(order), rows):
            part = order[start : start + rows]
            left = torch.from_numpy(_factor(queries[part], space, left=True))
            distances = torch.mm(left, right.T, out=tile[: len(part)]).numpy()
            classes = np.unique(query_labels[part]).tolist()
            bits = {c: bits[c] if c in bits else _Bits.of(gallery_labels == c) for c in classes}
            for task in [pool.submit(measure, worker, part, distances) for worker in range(workers)]:
                task.result()
    return average, precise, first


def _measure_row(
    distances: NDArray[np.float32], scratch: NDArray[np.float64], bits: _Bits, relevant: int
) -> tuple[float, float, int]:
    keys = scratch.view(np.uint32)[: len(distances)]
    np.left_shift(distances.view(np.uint32), 1, out=keys)
    np.bitwise_or(keys, bits.relevant, out=keys)
    beyond = min(relevant, len(keys) - 1)
    keys.partition(beyond)
    head = keys[:relevant]
    head.sort()
    # keys of one distance differ in the last bit only, and then the index has to decide; so it has at the cut
    tied = ((head[1:] ^ head[:-1]) == 1).any() or (relevant < len(keys) and (head[-1] ^ keys[relevant]) <= 1)
    hits = (head & 1).astype(np.bool_)
    if tied or not hits.any():
        return _measure_row_with_ties(distances, scratch, bits, relevant)
    return *_precision(np.flatnonzero(hits) + 1, relevant), int(hits.argmax()) + 1


def _measure_row_with_ties(
    distances: NDArray[np.float32], scratch: NDArray[np.float64], bits: _Bits, relevant: int
) -> tuple[float, float, int]:
    scratch[:] = distances
    keys = scratch.view(np.int64)
    np.bitwise_or(keys, bits.low, out=keys)
    keys.partition(relevant - 1)
    head = keys[:relevant]
    head.sort()
    ranks = np.flatnonzero(head & 1) + 1
    if len(ranks):
        return *_precision(ranks, relevant), int(ranks[0])
    tail = keys[relevant:]
    nearest = tail[(tail & 1) == 1].min()
    return 0.0, 0.0, relevant + 1 + int((tail < nearest).sum())


def _precision(ranks: NDArray[np.int64], relevant: int) -> tuple[float, float]:
    """AP@R and R-precision from the ranks of the relevant items among the first R."""
    precision = np.arange(1, len(ranks) + 1) / ranks
    return float(precision.sum()) / relevant, len(ranks) / relevant


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
