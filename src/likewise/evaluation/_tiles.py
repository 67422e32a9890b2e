"""Tiles of the distance matrix: the part of the nearest-neighbour search that does the arithmetic.

A tile holds, for some queries against some of the gallery, a *lower bound* of every squared distance, ``(1-e)(|x|² +
|y|²) - 2 x·y``, from one matrix product (the bias rides along as one more column). ``e`` covers the rounding of that
product, so every pair that a tile rules out is truly farther; the few that it cannot rule out get their distance from
the differences, in float64. Coordinates are centred on the gallery's mean and scaled by a power of two first: an
offset of 1e4 common to all points costs no digit.
A tile is at most 64 MB whatever the sizes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Rows = NDArray[Any]
Floats = NDArray[np.float64]
Positions = NDArray[np.int64]

TILE_BYTES = 64 * 2**20
"""Largest tile, and largest slice of the gallery that is converted at once."""

_RERANK_BYTES = 2**20  # differences of candidates per thread; half of a second-level cache
_UNDERFLOW = 1e-36  # squares of scaled coordinates below this may have been flushed to zero


@dataclass(frozen=True)
class Space:
    """The coordinates in which distances are taken: as given, or of unit length for the cosine distance.

    With unit length the squared distance is 2(1 - cos). A zero vector has no direction; its similarity to
    everything is defined as 0 (scikit-learn's choice), which adds 1 to the squared distance per zero vector.
    """

    centre: Floats  # (D,)
    scale: float  # a power of two
    norms: Floats | None  # (N,) lengths of the gallery's rows for the cosine distance, else None

    @classmethod
    def around(cls, queries: Rows, gallery: Rows, *, unit: bool) -> Space:
        """The space centred on the gallery in which the largest coordinate of both sets is near 1."""
        space = cls(np.zeros(gallery.shape[1]), 1.0, lengths(gallery) if unit else None)
        total = np.zeros(gallery.shape[1])
        for part in row_slices(gallery):
            total += space.coordinates(part).sum(axis=0)
        centre = total / len(gallery)
        largest = 0.0
        for rows in (gallery, queries):
            for part in row_slices(rows):
                gap = space.coordinates(part) - centre
                largest = max(largest, float(gap.max()), -float(gap.min()))
        return replace(space, centre=centre, scale=2.0 ** -math.frexp(largest)[1])

    def coordinates(self, rows: Rows) -> Floats:
        """(n, D): the rows as they count for the distance, not centred."""
        x = rows.astype(np.float64)
        if self.norms is not None:
            x /= _divisor(lengths(rows))[:, None]
        return x

    def penalty(self, rows: Rows) -> Floats:
        """(n,): 1 for a zero vector under the cosine distance, else 0."""
        return np.zeros(len(rows)) if self.norms is None else (lengths(rows) == 0).astype(np.float64)

    def slack(self, dtype: type[np.floating[Any]]) -> float:
        """``e`` of the lower bound for tiles of this dtype.

        A product of D + 1 terms errs by at most (D + 1)u(2|x||y| + |y|²), the cast of the coordinates by 4u(|x|² +
        |y|²), u half the machine epsilon: any order of summation, no luck assumed.
        """
        return (2 * len(self.centre) + 16) * float(np.finfo(dtype).eps) / 2

    def query_side(self, rows: Rows, dtype: type[np.floating[Any]]) -> tuple[Rows, Floats]:
        """The left factor (n, D + 1) and what its bounds lack, (n,) float64."""
        x = (self.coordinates(rows) - self.centre) * self.scale
        missing = (1 - self.slack(dtype)) * _squares(x) + self.penalty(rows) * self.scale**2
        left = np.ones((len(rows), rows.shape[1] + 1), dtype=dtype)
        left[:, :-1] = -2 * x
        return left, missing - _UNDERFLOW

    def gallery_side(self, rows: Rows, dtype: type[np.floating[Any]], length: int | None = None) -> Rows:
        """The right factor (length, D + 1); rows beyond the given ones are infinitely far."""
        y = (self.coordinates(rows) - self.centre) * self.scale
        right = np.zeros((length or len(rows), rows.shape[1] + 1), dtype=dtype)
        right[: len(rows), :-1] = y
        right[: len(rows), -1] = (1 - self.slack(dtype)) * _squares(y) + self.penalty(rows) * self.scale**2
        right[len(rows) :, -1] = np.inf
        return right


def rerank(queries: Rows, gallery: Rows, positions: Positions, k: int, space: Space) -> tuple[Floats, Positions]:
    """The k nearest of each query's candidates by exact distance; ties keep the candidates' order.

    Args:
        positions: (M, count), ascending, so that ties go to the lower gallery index.

    Returns:
        (M, k) squared distances (not scaled) in ascending order and (M, k) positions.
    """
    squared, nearest = np.empty((len(queries), k)), np.empty((len(queries), k), dtype=np.int64)
    step = max(1, _RERANK_BYTES // (8 * positions.shape[1] * queries.shape[1]))

    def settle(start: int) -> None:
        rows = slice(start, start + step)
        distance = squared_distances(queries[rows], gallery, positions[rows], space)
        order = distance.argsort(axis=1, kind="stable")[:, :k]
        squared[rows] = np.take_along_axis(distance, order, axis=1)
        nearest[rows] = np.take_along_axis(positions[rows], order, axis=1)

    if len(queries) <= step:
        settle(0)
        return squared, nearest
    # numpy in threads rather than torch: these are thousands of short steps, and each would be a barrier of its own
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(settle, range(0, len(queries), step)))
    return squared, nearest


def squared_distances(queries: Rows, gallery: Rows, positions: Positions, space: Space) -> Floats:
    """(m, count) squared distances from differences in float64; equal rows give exactly 0.

    Args:
        positions: (m, count) rows of the gallery; where equal rows make them many, they are taken in parts.
        space: the one around this gallery.
    """
    most = max(1, TILE_BYTES // max(1, 8 * queries.size))
    if positions.shape[1] > most:
        parts = np.split(positions, range(most, positions.shape[1], most), axis=1)
        return np.concatenate([squared_distances(queries, gallery, part, space) for part in parts], axis=1)
    gap = gallery[positions].astype(np.float64)
    if space.norms is not None:
        norms = space.norms[positions]
        gap /= _divisor(norms)[:, :, None]
    gap -= space.coordinates(queries)[:, None]
    squared: Floats = np.einsum("mcd,mcd->mc", gap, gap)
    if space.norms is not None:
        # unit vectors of parallel rows differ by float64 rounding only; float32 data resolves angles of 1e-7
        squared[squared < 1e-28] = 0
        # exactly 2(1 - 0), so that these are ties
        squared[(norms == 0) | (space.penalty(queries)[:, None] > 0)] = 2
    return squared


def within(queries: Rows, gallery: Rows, radius: Floats, space: Space) -> tuple[Positions, Positions]:
    """All pairs that may lie within a squared radius of each query: no pair inside is missed.

    Args:
        radius: (M,) squared distances, not scaled.

    Returns:
        (P,) query and (P,) gallery positions, ordered by query, then gallery.
    """
    left, missing = space.query_side(queries, np.float64)
    limit = (radius * space.scale**2 - missing)[:, None]
    owners, hits = [], []
    columns = max(1, TILE_BYTES // (8 * (gallery.shape[1] + 1)))
    for start in range(0, len(gallery), columns):
        right = space.gallery_side(gallery[start : start + columns], np.float64)
        owner, hit = np.nonzero(left @ right.T <= limit)
        owners.append(owner)
        hits.append(hit + start)
    row, position = np.concatenate(owners), np.concatenate(hits)
    order = np.argsort(row, kind="stable")
    return row[order], position[order]


@contextmanager
def full_precision() -> Iterator[None]:
    """Products in true float32: the bounds do not hold for the bf16 and TF32 modes a training run may have set."""
    backend = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = backend.fp32_precision
    try:
        backend.fp32_precision = "ieee"
        yield
    finally:
        backend.fp32_precision = before


def lengths(rows: Rows) -> Floats:
    """(n,) Euclidean lengths, summed in float64."""
    return np.concatenate([np.sqrt(_squares(part.astype(np.float64))) for part in row_slices(rows)])


def row_slices(rows: Rows) -> Iterator[Rows]:
    """The rows in slices that stay small when converted to float64."""
    step = max(1, TILE_BYTES // (8 * rows.shape[1]))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def _squares(rows: Floats) -> Floats:
    result: Floats = np.einsum("nd,nd->n", rows, rows)
    return result


def _divisor(norms: Floats) -> Floats:
    return np.where(norms > 0, norms, 1)
