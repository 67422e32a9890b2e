"""A gallery that is searched again and again: what ``nearest`` computes of it, computed once and kept.

For one query of 60,000 × 64 nine tenths of the time of ``nearest`` go into the gallery alone: its mean, its coordinates in
float64, the right factor of the product. Kept, that factor costs as much memory as the gallery itself, and a query costs the
product with a vector, which is what it takes to read the memory once.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from likewise.errors import EvaluationError
from likewise.evaluation._inputs import ArrayLike, as_embeddings, check_choice, check_k, check_same_dimension
from likewise.evaluation._slabs import SPARE, Slab, certified
from likewise.evaluation._tiles import Floats, Positions, Rows, Space, full_precision, rerank, row_slices
from likewise.evaluation.nearest import nearest

_COLUMNS = 2**17  # of a slab: a tile of 128 queries is 64 MB
_EXPECTED = 32  # candidates that blocks are sized for
_BLOCKS = 64  # the bounds of one query are cut into: no block of a slab is larger
_FEW = 8  # a subset of less than an eighth of the gallery is searched by itself
_FAR = 2.0**20  # beyond it, in units of the gallery's size, the float32 bounds of a query say nothing

Found = tuple[NDArray[np.float32], NDArray[np.int64]]


class Gallery:
    """Rows to be searched many times; the answers are those of ``nearest``, bit by bit.

    Args:
        rows: (N, D) real, finite, N at least 1; not copied, and not to be changed.
        distance: ``"euclidean"`` or ``"cosine"``, as for ``nearest``.

    Raises:
        EvaluationError: a wrong shape, a value that is not finite, an unknown distance.

    Example:
        >>> gallery = Gallery(np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]]))
        >>> distances, positions = gallery.nearest(np.zeros((1, 2)), 3)
        >>> distances.tolist(), positions.tolist()
        ([[0.0, 1.0, 5.0]], [[0, 2, 1]])
        >>> gallery.nearest(np.zeros((1, 2)), 1, among=np.array([1, 2]))[1].tolist()
        [[2]]
    """

    def __init__(self, rows: ArrayLike, *, distance: str = "euclidean") -> None:
        check_choice(distance, "distance", ("euclidean", "cosine"))
        self.rows = as_embeddings(rows, "gallery")
        self.distance = distance
        self._space = Space.around(self.rows[:0], self.rows, unit=distance == "cosine")
        plan = list(Slab.plan(len(self.rows), _COLUMNS, _EXPECTED))
        # One coordinate of all rows after the other: a product with a vector takes half of the time so.
        factor = np.zeros((self.rows.shape[1] + 1, -(-len(self.rows) // _BLOCKS) * _BLOCKS), np.float32)
        factor[-1, len(self.rows) :] = np.inf
        end = 0
        for part in row_slices(self.rows):
            factor[:, end : end + len(part)] = self._space.gallery_side(part, np.float32).T
            end += len(part)
        self._factor = torch.from_numpy(factor)
        self._slabs = [
            Slab(start, min(_COLUMNS, len(self.rows) - start), self._factor[:, start : start + length], shift)
            for start, length, shift in plan
        ]

    def __len__(self) -> int:
        return len(self.rows)

    def nearest(self, queries: ArrayLike, k: int, *, among: Positions | None = None) -> Found:
        """The k nearest rows of each query; see ``nearest``.

        Args:
            queries: (M, D) real, finite.
            k: 1 … the number of rows to choose from.
            among: positions of the rows to choose from, ascending; by default all.

        Returns:
            (M, k) float32 distances, ascending, and (M, k) int64 positions.

        Raises:
            EvaluationError: shapes do not fit, a value is not finite, k < 1 or beyond the rows to choose from.
        """
        x = self._checked(queries, k, len(self) if among is None else len(among))
        if among is not None and len(among) < len(self) // _FEW:
            distances, positions = nearest(x, self.rows[among], k, distance=self.distance)
            return distances, among[positions]
        chosen = np.arange(k) if among is None else among[:k]
        near = self._near(x)
        squared, indices = np.zeros((len(x), k)), np.empty((len(x), k), np.int64)
        proven = np.zeros(len(x), bool)
        if near.any():
            excluded = None
            if among is not None:
                excluded = torch.ones(len(self), dtype=torch.bool)
                excluded[torch.from_numpy(among)] = False
            with full_precision():
                squared[near], indices[near], proven[near] = (
                    self._one(x, k, excluded)
                    if len(x) == 1
                    else certified(x[near], self.rows, k, self._space, np.float32, self._slabs, excluded)
                )
        undirected = self._space.penalty(x) > 0
        squared[undirected], indices[undirected], proven[undirected] = 2, chosen, True
        distances = self._distances(squared)
        if not proven.all():
            rows = self.rows if among is None else self.rows[among]
            distances[~proven], positions = nearest(x[~proven], rows, k, distance=self.distance)
            indices[~proven] = positions if among is None else among[positions]
        return distances, indices

    def nearest_in(self, query: ArrayLike, k: int, ranges: NDArray[np.int64]) -> Found:
        """The k nearest of some stretches of the gallery to one query, fewer where they hold fewer.

        Where float32 cannot tell neighbours apart, which of them are returned is left open; their distances are exact. A
        query far outside the gallery is compared with all of it.

        Args:
            query: (D,) real, finite.
            k: at least 1.
            ranges: (R, 2) first position and the one behind the last of each stretch, which do not overlap.

        Returns:
            (k',) float32 distances, ascending, and (k',) int64 positions.
        """
        x = self._checked(np.asarray(query)[None], k, k)
        if not self._near(x)[0]:
            distances, positions = self.nearest(x, min(k, len(self)))
            return distances[0], positions[0]
        sizes = ranges[:, 1] - ranges[:, 0]
        ends = np.cumsum(sizes)
        total = int(ends[-1]) if len(ends) else 0
        k = min(k, total)
        if k == 0:
            return np.empty(0, np.float32), np.empty(0, np.int64)
        left = torch.from_numpy(self._space.query_side(x, np.float32)[0][0])
        bounds = torch.empty(total)
        with full_precision():
            for (first, last), size, end in zip(ranges.tolist(), sizes.tolist(), ends.tolist(), strict=True):
                torch.mv(self._factor[:, first:last].T, left, out=bounds[end - size : end])
        found = bounds.topk(min(k + SPARE, total), largest=False, sorted=False).indices.numpy()
        stretch = np.searchsorted(ends, found, side="right")
        positions = np.sort(found - (ends - sizes)[stretch] + ranges[stretch, 0])
        squared, nearest_ones = rerank(x, self.rows, positions[None], k, self._space)
        return self._distances(squared)[0], nearest_ones[0]

    def _one(self, query: Rows, k: int, excluded: Tensor | None) -> tuple[Floats, Positions, bool]:
        """``certified`` for one query (1, D), where every step beside the product counts.

        The rows are cut into blocks; below the k-th smallest of their minima lie k rows at least, and few more.
        """
        left, missing = self._space.query_side(query, np.float32)
        bounds = torch.mv(self._factor.T, torch.from_numpy(left[0]))
        available = len(self)
        if excluded is not None:
            bounds[:available].masked_fill_(excluded, np.inf)
            available -= int(excluded.sum())
        last = min(k + SPARE, available) - 1
        minima = bounds.view(_BLOCKS, -1).amin(dim=0).numpy()
        values = bounds.numpy()
        limit = np.partition(minima if last < len(minima) else values, last)[last]
        positions = np.flatnonzero(values <= limit if limit < np.inf else values < np.inf)
        squared, indices = rerank(query, self.rows, positions[None], k, self._space)
        reach = float(limit) + float(missing[0])
        return squared, indices, bool(squared[0, -1] * self._space.scale**2 * (1 + 1e-12) < reach)

    def _checked(self, queries: ArrayLike, k: int, available: int) -> Rows:
        x = as_embeddings(queries, "queries")
        check_same_dimension(x, "queries", self.rows, "gallery")
        check_k(k)
        if k > available:
            raise EvaluationError(
                f"k={k} with {available} gallery rows to choose from.",
                expected=f"Expected k of at most {available}.",
                advice="Lower k or use a larger gallery.",
            )
        return x

    def _near(self, queries: Rows) -> NDArray[np.bool_]:
        gap = np.abs(self._space.coordinates(queries) - self._space.centre).max(axis=1) * self._space.scale
        near: NDArray[np.bool_] = gap < _FAR
        return near

    def _distances(self, squared: Floats) -> NDArray[np.float32]:
        values = squared / 2 if self.distance == "cosine" else np.sqrt(squared)
        return values.astype(np.float32)
