"""One direction, one positive per row: blocks of whole rows, value and gradient in a single pass.

A block of rows sees all its columns, so the softmax of a row, its loss and the slopes of that loss are known before the
next block: three matrix products and one exponential per entry, where tiles that come back for the gradient need four
and two. The slopes wait for one number, the gradient of the sum. Where a block would no longer fit the memory that a loss
may take, tiles come back.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from likewise.losses._layout import Tile
from likewise.losses._rules import SAFE_SCORE, largest_dot, pair_logsumexp, softplus
from likewise.losses._space import Space, picked_dots
from likewise.losses._tiled import Rule, run_tiles
from likewise.losses._tuples import measure
from likewise.losses._whole import Pairs, pairs_of

MOST_COLUMNS = 1 << 14
MOST_ROWS, MOST_ENTRIES = 512, 1 << 21


class RowSoftmax(Rule):
    """Sum over rows of -log softmax at their positive, as softplus(log-sum-exp of the negatives - positive).

    No |score| may be above 60.

    Args:
        positive_N: scores of the positives.
        columns_N: their columns.
    """

    separable = True

    def __init__(self, positive_N: Tensor, columns_N: Tensor) -> None:
        self.positive_N, self.columns_N = positive_N, columns_N
        self.sum_N, self.pull_N = torch.zeros_like(positive_N), torch.zeros_like(positive_N)
        self.total = positive_N.new_zeros((), dtype=torch.float64)

    def groups(self, layout: Pairs) -> Iterator[list[Tile]]:
        """Blocks of rows."""
        fitting = max(1, MOST_ENTRIES // max(layout.shape[1], 1))
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
        self.total += softplus(gap_R).sum()
        self.pull_N[rows] = torch.sigmoid(gap_R)

    def results(self) -> tuple[Tensor, ...]:
        """The sum, a float64 scalar."""
        return (self.total.clone(),)

    def add(self, space: Space, group: list[tuple[Tile, Tensor]]) -> None:
        """Softmax of the negatives times what is missing at the positive."""
        rows = group[0][0].rows
        weight_R = torch.where(self.sum_N[rows] > 0, self.pull_N[rows] / self.sum_N[rows], 0)
        if not space.same:
            space.add_rows(group, weight_R)
            return
        for tile, tile_RC in group:
            space.add(tile_RC.mul_(weight_R[:, None]), tile)

    def finish(self, space: Space) -> None:
        """What is missing at the positives."""
        space.add_pairs(-self.pull_N, self.columns_N)


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
    labels = torch.arange(len(others), device=rows.device)
    mine = positive
    if barred is not None:
        # a row, its positive and itself get one label: what is left are its negatives
        mine = torch.minimum(positive, barred)
        labels = labels.index_copy(0, positive, mine).index_copy(0, barred, mine)
    layout = pairs_of(mine, labels, tile_size=tile_size, ascending=True)
    if bound is None and layout.on_host:
        bound = largest_dot(rows, columns, scale)
    if bound is not None and bound <= SAFE_SCORE and len(others) <= MOST_COLUMNS:
        scores = picked_dots(rows, others, positive) * scale
        total: Tensor = run_tiles(rows, columns, layout, RowSoftmax(scores, positive), scale)[0]
        return total.to(rows.dtype)
    push, _ = pair_logsumexp(rows, columns, layout, over="negative", scale=scale, bound=bound)
    every = torch.arange(len(rows), device=rows.device)
    return softplus(push - measure(rows, columns, every, positive, metric="dot") * scale).sum()
