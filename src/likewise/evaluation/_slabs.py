"""The gallery as slabs of prepared coordinates, and the candidates of each query among them.

Top-k in two levels: the row of a tile is cut into blocks, one vectorised pass takes each block's minimum, and since the k
blocks of smallest minimum hold the k smallest elements, only those are looked at again. At k = 10 of 60,000 that
leaves 3 % of the row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from likewise.evaluation._tiles import TILE_BYTES, Floats, Positions, Rows, Space, rerank

SPARE = 16  # candidates beyond k: enough to prove the k-th in all rows of Fashion-MNIST embeddings (64-D)
TILE_ROWS = 128  # enough for the full rate of the matrix product; more only takes memory


def certified(
    queries: Rows,
    gallery: Rows,
    k: int,
    space: Space,
    dtype: type[np.floating[Any]],
    slabs: Iterable[Slab] | None = None,
    excluded: Tensor | None = None,
) -> tuple[Floats, Positions, NDArray[np.bool_]]:
    """One tiled pass: squared distances, positions, and whether each row's answer is proven.

    Args:
        queries: (M, D).
        gallery: (N, D).
        k: at most the rows that are not excluded.
        space: around the gallery.
        dtype: of the tiles.
        slabs: the gallery, where they are at hand; made on the way else.
        excluded: (N,) bool, rows of the gallery that are as if they were not there.
    """
    count = min(k + SPARE, len(gallery) if excluded is None else int((~excluded).sum()))
    made = Slab.each(gallery, count, space, dtype) if slabs is None else slabs
    positions, reach = candidates(queries, count, space, made, dtype, excluded)
    squared, indices = rerank(queries, gallery, positions, k, space)
    # strictly nearer than everything else, with room for the float64 rounding of the exact distance itself
    return squared, indices, squared[:, -1] * space.scale**2 * (1 + 1e-12) < reach


@dataclass(frozen=True)
class Slab:
    """Some rows of the gallery as a right factor, cut into blocks for the top-k in two levels.

    Args:
        start: position of its first row.
        rows: of the gallery; what the factor has beyond them is infinitely far.
        factor: (D + 1, groups << shift).
        shift: logarithm of the rows a block has.
    """

    start: int
    rows: int
    factor: Tensor
    shift: int

    @classmethod
    def plan(cls, rows: int, columns: int, count: int) -> Iterator[tuple[int, int, int]]:
        """Start, padded length and ``shift`` of the slabs of so many columns that hold so many rows.

        Blocks are sized for the ``count`` smallest elements, and any other number can be asked for.
        """
        for start in range(0, rows, columns):
            length = min(columns, rows - start)
            shift = max(2, round(math.log2(length / min(count, length)) / 2))
            yield start, -(-length // 2**shift) * 2**shift, shift

    @classmethod
    def each(cls, gallery: Rows, count: int, space: Space, dtype: type[np.floating[Any]]) -> Iterator[Slab]:
        """The slabs of a gallery, made when their turn comes."""
        item = np.dtype(dtype).itemsize
        columns = max(1, min(TILE_BYTES // (item * (gallery.shape[1] + 1)), TILE_BYTES // (item * TILE_ROWS)))
        for start, length, shift in cls.plan(len(gallery), columns, count):
            part = gallery[start : start + columns]
            yield cls(start, len(part), torch.from_numpy(space.gallery_side(part, dtype, length)).T, shift)


def candidates(
    queries: Rows,
    count: int,
    space: Space,
    slabs: Iterable[Slab],
    dtype: type[np.floating[Any]],
    excluded: Tensor | None = None,
) -> tuple[Positions, Floats]:
    """For each query the ``count`` gallery rows of smallest lower bound, and the bound that all others reach.

    Args:
        queries: (M, D).
        count: at most the rows that are not excluded.
        space: around the gallery.
        slabs: the gallery, whole.
        dtype: of the slabs.
        excluded: (N,) bool, rows of the gallery that are as if they were not there.

    Returns:
        (M, count) positions in ascending order, and (M,) squared distances in the space's scale: no gallery row
        outside the candidates is nearer (infinite where every row is a candidate).
    """
    missing = np.empty(len(queries))
    kind = torch.float32 if dtype is np.float32 else torch.float64
    values, positions = torch.empty(len(queries), 0, dtype=kind), torch.empty(len(queries), 0, dtype=torch.int64)
    total = 0
    for slab in slabs:
        keep, block, groups = min(count, slab.rows), 2**slab.shift, slab.factor.shape[1] >> slab.shift
        tile = torch.empty(min(TILE_ROWS, len(queries)), slab.factor.shape[1], dtype=kind)
        new_values = torch.empty(len(queries), keep, dtype=kind)
        new_positions = torch.empty(len(queries), keep, dtype=torch.int64)
        for row in range(0, len(queries), TILE_ROWS):
            rows = slice(row, min(row + TILE_ROWS, len(queries)))
            left, missing[rows] = space.query_side(queries[rows], dtype)
            products = _products(torch.from_numpy(left), slab.factor, tile[: len(left)])
            if excluded is not None:
                products[:, : slab.rows].masked_fill_(excluded[slab.start : slab.start + slab.rows], math.inf)
            bounds = products.view(len(left), block, groups)
            chosen = bounds.amin(dim=1).topk(min(keep, groups), dim=1, largest=False, sorted=False).indices
            inside = bounds.transpose(1, 2).gather(1, chosen[:, :, None].expand(-1, -1, block)).flatten(1)
            new_values[rows], found = inside.topk(keep, dim=1, largest=False, sorted=False)
            new_positions[rows] = chosen.gather(1, found >> slab.shift) + (found & (block - 1)) * groups + slab.start
        values, positions = torch.cat([values, new_values], 1), torch.cat([positions, new_positions], 1)
        if values.shape[1] > count:
            values, found = values.topk(count, dim=1, largest=False, sorted=False)
            positions = positions.gather(1, found)
        total += slab.rows
    available = total if excluded is None else int((~excluded).sum())
    everything = positions.shape[1] == available
    reach = np.full(len(queries), np.inf) if everything else values.amax(dim=1).double().numpy() + missing
    return positions.sort(dim=1).values.numpy(), reach


def _products(left: Tensor, factor: Tensor, out: Tensor) -> Tensor:
    """``left @ factor``; a single row as a product with a vector, which reads the factor once and packs nothing."""
    if len(left) == 1:
        torch.mv(factor.T, left[0], out=out[0])
        return out
    return torch.mm(left, factor, out=out)
