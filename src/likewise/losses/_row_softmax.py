"""One direction, one positive per row: blocks of whole rows, value and gradient in a single pass.

A block of rows sees all its columns, so the softmax of a row, its loss and the slopes of that loss are known before the
next block: three matrix products and one exponential per entry, where tiles that come back for the gradient need four
and two. The slopes wait for one number, the gradient of the sum. Where a block would no longer fit the memory that a loss
may take, tiles come back. A small batch is one block without the engine, whose bookkeeping would take longer than the loss.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from likewise.losses._layout import Layout, Tile
from likewise.losses._rules import SAFE_SCORE, largest_dot, pair_logsumexp, softplus
from likewise.losses._space import Space, picked_dots
from likewise.losses._tiled import SumRule, one_group_each, run_tiles
from likewise.losses._tuples import measure
from likewise.losses._whole import Pairs, is_small

MOST_COLUMNS = 1 << 14
MOST_ROWS, MOST_ENTRIES = 512, 1 << 21


class RowSoftmax(SumRule):
    """Sum over rows of -log softmax at their positive, as softplus(log-sum-exp of the negatives - positive).

    No |score| may be above 60.

    Args:
        positive_N: scores of the positives.
        columns_N: their columns.
    """

    one_adds = True

    def __init__(self, positive_N: Tensor, columns_N: Tensor) -> None:
        super().__init__(positive_N)
        self.positive_N, self.columns_N = positive_N, columns_N
        self.sum_N, self.pull_N = torch.zeros_like(positive_N), torch.zeros_like(positive_N)

    def turns(self, layout: Pairs, lanes: int) -> Iterator[list[Iterator[list[Tile]]]]:
        """A block of rows for each lane."""
        return one_group_each(self._blocks(layout, lanes), lanes)

    def _blocks(self, layout: Pairs, lanes: int) -> Iterator[list[Tile]]:
        fitting = max(1, MOST_ENTRIES // (lanes * max(layout.shape[1], 1)))
        height = layout.tile_size or (min(MOST_ROWS, fitting) if layout.on_host else layout.tile)
        for _, group in itertools.groupby(layout.tiles("negative", height), key=lambda tile: tile.rows.start):
            yield list(group)

    def reduce(self, tile_RC: Tensor, tile: Tile) -> None:
        """Leaves the exponentials of the negatives in the tile."""
        tile.bar(tile_RC.exp_(), 0)
        self.sum_N[tile.rows] += tile_RC.sum(dim=1)

    def close(self, group: list[Tile]) -> None:
        """The losses of these rows."""
        rows = group[0].rows
        sum_R = self.sum_N[rows]
        gap_R = sum_R.log() - self.positive_N[rows]
        self.count(softplus(gap_R).sum(), group[0])
        self.pull_N[rows] = torch.sigmoid(gap_R)

    def add(self, space: Space, group: list[tuple[Tile, Tensor]]) -> None:
        """Softmax of the negatives times what is missing at the positive."""
        rows = group[0][0].rows
        space.add_rows(group, torch.where(self.sum_N[rows] > 0, self.pull_N[rows] / self.sum_N[rows], 0))

    def finish(self, space: Space) -> None:
        """What is missing at the positives."""
        space.add_pairs(-self.pull_N, self.columns_N)


class _WholeSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x_RD: Tensor, y: Tensor | None, positive_R: Tensor, barred: Tensor | None, scale: float
    ) -> Tensor:
        y_CD, positive_R1 = x_RD if y is None else y, positive_R[:, None]
        score_RC = torch.mm(x_RD, y_CD.T).mul_(scale)
        pull_R1 = score_RC.gather(1, positive_R1)
        score_RC.scatter_(1, positive_R1, -torch.inf)
        if barred is not None:
            score_RC.scatter_(1, barred[:, None], -torch.inf)
        # a number also where a row has no negative
        top_R1 = score_RC.amax(dim=1, keepdim=True).clamp_min_(torch.finfo(x_RD.dtype).min / 4)
        share_RC = score_RC.sub_(top_R1).exp_()
        sum_R1 = share_RC.sum(dim=1, keepdim=True)
        gap_R1 = sum_R1.log().add_(top_R1).sub_(pull_R1)
        missing_R1 = torch.sigmoid(gap_R1)
        # the largest share is 1, so a smaller sum is one over nothing
        slope_RC = share_RC.mul_(missing_R1 / sum_R1.clamp_min_(1)).scatter_(1, positive_R1, missing_R1.neg_())
        ctx.save_for_backward(x_RD, y, slope_RC)
        ctx.scale = scale
        return softplus(gap_R1).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x_RD, y, slope_RC = ctx.saved_tensors
        factor = grads[0] * ctx.scale
        if y is None:
            return torch.addmm(slope_RC @ x_RD, slope_RC.T, x_RD).mul_(factor), None, None, None, None
        dx = (slope_RC @ y).mul_(factor) if ctx.needs_input_grad[0] else None
        dy = (slope_RC.T @ x_RD).mul_(factor) if ctx.needs_input_grad[1] else None
        return dx, dy, None, None, None


def row_softmax_sum(
    rows: Tensor,
    columns: Tensor | None,
    positive: Tensor,
    *,
    barred: Tensor | None = None,
    scale: float = 1.0,
    bound: float | None = None,
    tile_size: int | None = None,
) -> Tensor:
    """Sum over rows of -log softmax(scale · rows columnsᵀ) at each row's ``positive`` column, ``barred`` left out.

    ``columns`` None: the rows themselves, where the batch is small enough to be taken as a whole.

    The smaller of both must not fall from one row to the next. ``bound`` is the largest |score| that can occur; None: it
    is read from the norms (CPU).
    """
    others = rows if columns is None else columns
    if is_small(len(rows), len(others), tile_size) and len(others):
        whole: Tensor = _WholeSoftmax.apply(rows, columns, positive, barred, scale)  # type: ignore[no-untyped-call]
        return whole
    labels = torch.arange(len(others), device=rows.device)
    mine = positive
    if barred is not None:
        # a row, its positive and itself get one label: what is left are its negatives
        mine = torch.minimum(positive, barred)
        labels = labels.index_copy(0, positive, mine).index_copy(0, barred, mine)
    layout = Layout(mine, labels, tile_size=tile_size, ascending=True)
    if bound is None and layout.on_host:
        bound = largest_dot(rows, columns, scale)
    if bound is not None and bound <= SAFE_SCORE and len(others) <= MOST_COLUMNS:
        scores = picked_dots(rows, others, positive) * scale
        total: Tensor = run_tiles(rows, columns, layout, RowSoftmax(scores, positive), scale)[0]
        return total.to(rows.dtype)
    push, _ = pair_logsumexp(rows, columns, layout, over="negative", scale=scale, bound=bound)
    every = torch.arange(len(rows), device=rows.device)
    return softplus(push - measure(rows, columns, every, positive, metric="dot") * scale).sum()
