"""What a loss needs of whole classes: the sum of a row's class, met by the row, without a mask and without copies.

The sum over the positives of a row is one dot product with the class sum. Classes stand as (C, D) sums; rows meet theirs a
run at a time, so that nothing of the size of the batch is made but the gradient. On CUDA, where the number of classes is
not read back, C is the number of columns.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from likewise.losses._layout import Layout
from likewise.losses._space import row_parts


class Classes:
    """The class numbers, 0 … C - 1, of rows and columns.

    Args:
        layout: its columns.
        labels: (N,) of the rows; each is that of a column.
    """

    def __init__(self, layout: Layout, labels: Tensor) -> None:
        ordered, order = layout.col_labels, layout.col_order
        steps = (ordered[1:] != ordered[:-1]).long()
        number = torch.cat([steps.new_zeros(min(len(ordered), 1)), steps.cumsum(0)])
        self.rows = number[torch.searchsorted(ordered, labels)]
        self.columns = number if order is None else torch.empty_like(number).index_copy(0, order, number)
        self.count = len(ordered)
        if layout.on_host and len(ordered):
            self.count = int(number[-1]) + 1

    def sums(self, columns: Tensor) -> Tensor:
        """(C, D) sums of the columns of each class, without gradient."""
        return columns.new_zeros(self.count, columns.shape[1]).index_add_(0, self.columns, columns.detach())

    def sizes(self, like: Tensor) -> Tensor:
        """(C,) columns of each class."""
        return like.new_zeros(self.count).index_add_(0, self.columns, like.new_ones(len(self.columns)))


class _ClassDots(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor | None, classes: Classes) -> Tensor:
        sums = classes.sums(x if y is None else y)
        ctx.save_for_backward(x, sums)
        ctx.classes, ctx.same = classes, y is None
        out = x.new_empty(len(x))
        for part in row_parts(x):
            torch.sum(x.detach()[part] * sums.index_select(0, classes.rows[part]), dim=1, out=out[part])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, sums = ctx.saved_tensors
        classes, g = ctx.classes, grads[0][:, None]
        dx = torch.empty_like(x)
        of_sums = torch.zeros_like(sums)
        for part in row_parts(x):
            torch.mul(g[part], sums.index_select(0, classes.rows[part]), out=dx[part])
            of_sums.index_add_(0, classes.rows[part], g[part] * x[part])
        if ctx.same:
            for part in row_parts(x):
                dx[part] += of_sums.index_select(0, classes.columns[part])
            return dx, None, None
        return dx, of_sums.index_select(0, classes.columns) if ctx.needs_input_grad[1] else None, None


def class_dots(rows: Tensor, columns: Tensor | None, classes: Classes) -> Tensor:
    """(N,) the dot product of each row with the sum of the columns of its class; ``columns`` None: the rows themselves."""
    dots: Tensor = _ClassDots.apply(rows, columns, classes)  # type: ignore[no-untyped-call]
    return dots


class _ToMeans(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, means: Tensor, numbers: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, means, numbers)
        out = x.new_empty(len(x))
        for part in row_parts(x):
            torch.sum((x.detach()[part] - _picked(means, numbers, part)).square_(), dim=1, out=out[part])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, means, numbers = ctx.saved_tensors
        dx = torch.empty_like(x)
        for part in row_parts(x):
            torch.sub(x[part], _picked(means, numbers, part), out=dx[part]).mul_(2 * grads[0][part, None])
        return dx, None, None


def _picked(means: Tensor, numbers: Tensor | None, part: slice) -> Tensor:
    return means[part] if numbers is None else means.index_select(0, numbers[part])


def squared_to_rows(rows: Tensor, others: Tensor) -> Tensor:
    """(N,) the squared distance of each row to that row of the others, which are constants for the gradient."""
    squared: Tensor = _ToMeans.apply(rows, others, None)  # type: ignore[no-untyped-call]
    return squared


def squared_to_means(rows: Tensor, columns: Tensor, classes: Classes) -> Tensor:
    """(N,) the squared distance of each row to the mean of its class, which is a constant for the gradient."""
    means = classes.sums(columns).div_(classes.sizes(columns).clamp_min_(1)[:, None])
    squared: Tensor = _ToMeans.apply(rows, means, classes.rows)  # type: ignore[no-untyped-call]
    return squared
