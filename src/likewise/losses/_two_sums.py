"""The log-sum-exps over positives and over negatives in one pass, where no shift is needed (|score| <= 60).

Two streams would compute each mixed tile twice; with ten classes at N = 1,024 every tile is mixed. Beyond 60 the two
streams with a running maximum remain.
"""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.losses._tiled import Layout, Rule, Tile


class TwoSums(Rule):
    """Per row log of the sum of exp(dot) over its positives, and over its negatives; -inf over none.

    Args:
        with_self: the row itself is a positive.
    """

    over = "both"
    keeps = True

    def __init__(self, layout: Layout, like: Tensor, *, with_self: bool) -> None:
        self.with_self = with_self
        self.positive, self.negative = (like.new_zeros(layout.shape[0]) for _ in range(2))

    def reduce(self, tile_RC: Tensor, tile: Tile) -> None:
        """Leaves the exponentials in the tile."""
        tile_RC.exp_()
        if tile.barred is None:
            self._add(self.negative, tile_RC, tile)
            return
        self._add(self.negative, tile_RC.masked_fill(tile.barred, 0), tile)
        own = tile_RC.masked_fill(~tile.barred, 0)
        self._add(self.positive, own if tile.selves is None else own.masked_fill_(tile.selves, 0), tile)

    @staticmethod
    def _add(total: Tensor, tile_RC: Tensor, tile: Tile) -> None:
        total[tile.rows] += tile_RC.sum(dim=1)
        if tile.mirrored:
            total[tile.cols] += tile_RC.sum(dim=0)

    def results(self) -> tuple[Tensor, ...]:
        """Positives, negatives."""
        return self.positive.log(), self.negative.log()

    def prepare(self, grads: tuple[Tensor, ...]) -> None:
        """Weights of the exponentials: gradient over sum. An empty sum has no slope."""
        self.pull = torch.where(self.positive > 0, grads[0] / self.positive, 0)
        self.push = torch.where(self.negative > 0, grads[1] / self.negative, 0)

    def slope(self, tile_RC: Tensor, tile: Tile, kept: bool) -> Tensor:
        """The softmax weights of this tile times the gradients of the rows they belong to."""
        weight_RC = self._weight(self.push, tile)
        if tile.barred is not None:
            weight_RC = torch.where(tile.barred, self._weight(self.pull, tile), weight_RC)
            if tile.selves is not None:
                weight_RC.masked_fill_(tile.selves, 0)
        return tile_RC * weight_RC if kept else tile_RC.exp_().mul_(weight_RC)

    @staticmethod
    def _weight(weight: Tensor, tile: Tile) -> Tensor:
        rows = weight[tile.rows, None]
        return rows + weight[None, tile.cols] if tile.mirrored else rows
