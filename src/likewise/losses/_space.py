"""What a tile holds, and how the slopes of its entries become gradients of rows and columns.

Dot products are one matrix product. So are squared distances, with two more coordinates: (-2x, |x|², 1)·(y, 1, |y|²),
and their gradient is one product with (y, 1) that a single line at the end puts together; a tile is never passed over
for the norms.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from likewise.losses._layout import Tile


class Space:
    """Sorted rows and columns, the metric between them, and their gradients.

    Args:
        x_ND, y_MD: rows and columns; the same tensor where ``same``.
        metric: ``dot`` x·y, ``squared`` ||x - y||², ``euclidean`` ||x - y||, each times ``scale``; or ``hinge``
            max(0, scale - ||x - y||²).
    """

    def __init__(self, x_ND: Tensor, y_MD: Tensor, metric: str, scale: float, same: bool) -> None:
        self.x, self.y, self.metric, self.scale, self.same = x_ND, y_MD, metric, scale, same
        self._buffers: dict[tuple[int, int], Tensor] = {}
        if metric == "dot":
            self._left, self._right, self._row_part, self._col_part = x_ND, y_MD, x_ND, y_MD
            return
        factor = -1.0 if metric == "hinge" else scale if metric == "squared" else 1.0
        ones, norm = x_ND.new_ones(len(x_ND), 1), x_ND.pow(2).sum(dim=1, keepdim=True)
        self._left = torch.cat([x_ND, norm, ones], dim=1).mul_(factor)
        self._left[:, :-2] *= -2
        if same:
            other = norm
        else:
            ones, other = y_MD.new_ones(len(y_MD), 1), y_MD.pow(2).sum(dim=1, keepdim=True)
        self._right = torch.cat([y_MD, ones, other if metric != "hinge" else other - scale], dim=1)
        self._col_part = self._right[:, :-1]
        self._row_part = self._col_part if same else torch.cat([x_ND, x_ND.new_ones(len(x_ND), 1)], dim=1)

    def measure(self, tile: Tile, place: int | None) -> Tensor:
        """The tile of the matrix, in the buffer of that number of its lane, which is used again, or in a fresh one."""
        x_RD, y_CD = self._left[tile.rows], self._right[tile.cols]
        size = len(x_RD) * len(y_CD)
        if place is None:
            out_RC = x_RD.new_empty(len(x_RD), len(y_CD))
        else:
            buffer = self._buffers.get((tile.lane, place))
            if buffer is None or buffer.numel() < size:
                self._buffers[tile.lane, place] = buffer = x_RD.new_empty(size)
            out_RC = buffer[:size].view(len(x_RD), len(y_CD))
        if self.metric == "dot":
            return torch.addmm(out_RC, x_RD, y_CD.T, beta=0, alpha=self.scale, out=out_RC)
        torch.mm(x_RD, y_CD.T, out=out_RC)
        if self.metric == "squared" and self.scale < 0:
            return out_RC.clamp_max_(0)
        out_RC.clamp_min_(0)
        if self.metric == "euclidean":
            out_RC.sqrt_()
            return out_RC if self.scale == 1 else out_RC.mul_(self.scale)
        return out_RC

    def between(self, rows: Tensor, cols: slice) -> Tensor:
        """Dot products or squared distances of a few rows, by number, and a run of columns; not cut off at 0."""
        return self._left[rows] @ self._right[cols].T

    def open_gradients(self) -> None:
        """Start from zero."""
        self._dx = self._row_part.new_zeros(self._row_part.shape)
        self._dy = self._dx if self.same else self._col_part.new_zeros(self._col_part.shape)

    def add(self, slope_RC: Tensor, tile: Tile) -> None:
        """Add what one tile's slopes mean for rows and columns.

        They are by the entry for ``dot`` and ``squared``, by the squared distance for ``euclidean`` and ``hinge``.
        """
        self._dx[tile.rows].addmm_(slope_RC, self._col_part[tile.cols])
        self._dy[tile.cols].addmm_(slope_RC.T, self._row_part[tile.rows])

    def add_rows(self, group: list[tuple[Tile, Tensor]], weight_R: Tensor) -> None:
        """Add tiles that are all the columns of some rows of dot products, each row times its weight.

        The weights meet the rows and not the tiles, which are longer.
        """
        rows = group[0][0].rows
        weighted_RD, dx_RD = self.x[rows] * weight_R[:, None], self._dx[rows]
        for tile, slope_RC in group:
            dx_RD.addmm_(slope_RC, self.y[tile.cols])
            self._dy[tile.cols].addmm_(slope_RC.T, weighted_RD)
        dx_RD.mul_(weight_R[:, None])

    def add_pairs(self, slope_N: Tensor, cols_N: Tensor) -> None:
        """Add the slopes of one dot product per row."""
        for part in row_parts(self.x):
            slope, cols = slope_N[part, None], cols_N[part]
            self._dx[part].addcmul_(slope, self.y.index_select(0, cols))
            self._dy.index_add_(0, cols, slope * self.x[part])

    def close_gradients(self) -> tuple[Tensor, Tensor | None]:
        """The gradients of rows and columns; of the rows alone where they are the same."""
        dx, dy = self._dx, self._dy
        del self._dx, self._dy
        if self.metric == "dot":
            dx = dx if self.scale == 1 else dx.mul_(self.scale)
            return dx, None if self.same else dy if self.scale == 1 else dy.mul_(self.scale)
        factor = 2 * self.scale if self.metric == "squared" else 2.0
        return _fold(dx, self.x, factor), None if self.same else _fold(dy, self.y, factor)


def _fold(sums: Tensor, own: Tensor, factor: float) -> Tensor:
    """factor · (own · sum of slopes - sum of slopes times the other side)."""
    return torch.addcmul(sums[:, :-1], own, sums[:, -1:], value=-1).mul_(-factor)


def without_zero(distance_RC: Tensor) -> Tensor:
    """The distances to divide by, in place: one that is 0 becomes so large that rows that lie together move each other not.

    One pass, where looking for what became infinite or NaN afterwards takes several.
    """
    return torch.threshold_(distance_RC, 0, 1e15)


def sorted_rows(x: Tensor, order: Tensor | None) -> Tensor:
    """The rows in another order. Whole rows are copied; indexing would copy entry by entry, ten times slower."""
    return x if order is None else x.index_select(0, order)


def row_parts(x: Tensor) -> Iterator[slice]:
    """Runs of rows that stay in the cache: what is done row by row then takes no memory of the size of the batch."""
    step = max(1, (1 << 17) // max(x.shape[1], 1)) if x.device.type == "cpu" else max(1, len(x))
    for first in range(0, len(x), step):
        yield slice(first, min(first + step, len(x)))


def picked_dots(x: Tensor, y: Tensor, picks: Tensor) -> Tensor:
    """(N,) x_i·y_p of each row and the row of ``y`` that it picks, without gradient."""
    out = x.new_empty(len(x))
    for part in row_parts(x):
        torch.sum(y.detach().index_select(0, picks[part]).mul_(x.detach()[part]), dim=1, out=out[part])
    return out


class _RowDots(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(x, y)
        out = x.new_empty(len(x))
        for part in row_parts(x):
            torch.sum(x.detach()[part] * y.detach()[part], dim=1, out=out[part])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, y = ctx.saved_tensors
        each = grads[0][:, None]
        return each * y if ctx.needs_input_grad[0] else None, each * x if ctx.needs_input_grad[1] else None


def row_dots(x: Tensor, y: Tensor) -> Tensor:
    """(N,) x_i·y_i. ``linalg.vecdot`` makes N matrix products of single rows of it, thirty times slower on the CPU."""
    dots: Tensor = _RowDots.apply(x, y)  # type: ignore[no-untyped-call]
    return dots
