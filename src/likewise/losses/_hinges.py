"""Sums of hinges over all pairs, whose slope and knees belong to the row: margin loss and signal-to-noise ratio.

With m the distance of row i and column j:  positives max(0, a_i m - p_i),  negatives max(0, q_i - a_i m). Each is a line
where it is not 0, so its derivative by a_i is a sum of distances and by p_i and q_i a count, and one pass gives the value
and every gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from likewise.losses._batch import LabelledBatch
from likewise.losses._layout import Tile
from likewise.losses._tiled import SumRule, run_tiles


@dataclass(frozen=True, slots=True)
class _Side:
    """A tile seen from its rows, or from its columns as rows."""

    part: slice
    dim: int  # the dimension to sum over
    slope: Tensor
    near: Tensor
    far: Tensor


class Hinges(SumRule):
    """The sum over ordered pairs; and per row the active distances (positives less negatives) and how many are active.

    Args:
        slope, near, far: the a, p and q, each (N,) in the order of the layout.
    """

    over = "both"

    def __init__(self, like: Tensor, *, metric: str, slope: Tensor, near: Tensor, far: Tensor) -> None:
        self.metric, self._slope, self._near, self._far = metric, slope, near, far
        super().__init__(like)
        self.distances, self.positives, self.negatives = (like.new_zeros(len(slope)) for _ in range(3))

    def _sides(self, tile: Tile) -> Iterator[_Side]:
        of = (self._slope, self._near, self._far)
        yield _Side(tile.rows, 1, *(x[tile.rows, None] for x in of))
        if tile.mirrored:
            yield _Side(tile.cols, 0, *(x[None, tile.cols] for x in of))

    @staticmethod
    def _signs(tile_RC: Tensor, tile: Tile, side: _Side) -> tuple[Tensor, Tensor]:
        """The values, and 1 on active positives, -1 on active negatives, 0 elsewhere."""
        scaled_RC = tile_RC * side.slope
        value_RC = side.far - scaled_RC
        if tile.mask is None:
            return value_RC.clamp_min_(0), (value_RC > 0).to(tile_RC.dtype).neg_()
        value_RC = torch.where(tile.mask, scaled_RC - side.near, value_RC).clamp_min_(0)
        if tile.selves is not None:
            value_RC.masked_fill_(tile.selves, 0)
        active_RC = (value_RC > 0).to(tile_RC.dtype)
        return value_RC, torch.where(tile.mask, active_RC, -active_RC)

    def reduce(self, tile_RC: Tensor, tile: Tile) -> None:
        """Add the tile's values and counts, for its rows and, where mirrored, its columns."""
        for side in self._sides(tile):
            value_RC, sign_RC = self._signs(tile_RC, tile, side)
            self.count(value_RC.sum(), tile)
            self.distances[side.part] += (sign_RC * tile_RC).sum(dim=side.dim)
            self.positives[side.part] += sign_RC.clamp_min(0).sum(dim=side.dim)
            self.negatives[side.part] -= sign_RC.clamp_max(0).sum(dim=side.dim)

    def results(self) -> tuple[Tensor, ...]:
        """Sum; per row distances, active positives, active negatives."""
        return *super().results(), self.distances, self.positives, self.negatives

    def slope(self, tile_RC: Tensor, tile: Tile, kept: bool) -> Tensor:
        """Slope of the sum by each entry of the tile, by the squared distance."""
        out_RC = torch.zeros_like(tile_RC)
        for side in self._sides(tile):
            out_RC.addcmul_(self._signs(tile_RC, tile, side)[1], side.slope)
        if self.metric == "euclidean":
            out_RC.mul_(torch.where(tile_RC > 0, 0.5 / tile_RC, 0))
        return out_RC


def hinge_sum(batch: LabelledBatch, *, metric: str, slope: Tensor, near: Tensor, far: Tensor) -> tuple[Tensor, Tensor]:
    """The sum over this rank's ordered pairs, differentiable in the batch and in slope, near and far, all (N,); and the
    number of pairs that are not 0.

    ``metric`` is ``euclidean`` or ``squared``.
    """
    order = batch.pairs.row_order
    if order is not None:
        slope, near, far = slope[order], near[order], far[order]
    rule = Hinges(batch.rows, metric=metric, slope=slope.detach(), near=near.detach(), far=far.detach())
    total, *per_row = run_tiles(*batch.centered, batch.pairs, rule)
    distances, positives, negatives = (x.detach() for x in per_row)
    # zero in value; its derivatives by slope, near and far are the sums and counts
    lines = (slope - slope.detach()) * distances - (near - near.detach()) * positives + (far - far.detach()) * negatives
    return total.to(batch.rows.dtype) + lines.sum(), (positives + negatives).sum()
