"""Soft histograms of each row's cosines, positives and negatives apart, streamed over tiles.

Nodes stand evenly from -1 to 1. A cosine between two nodes gives each a share by its nearness, so a histogram is a
piecewise linear function of the cosines and its slope is the difference of the two nodes' gradients. N × 2 × nodes
numbers are kept, no cosine is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.losses._batch import LabelledBatch
from likewise.losses._layout import Tile
from likewise.losses._rules import unsort
from likewise.losses._tiled import Rule, run_tiles


class Histograms(Rule):
    """Per row the histogram over its negatives, then that over its positives: (N, 2 · nodes)."""

    over = "both"

    def __init__(self, like: Tensor, rows: int, nodes: int) -> None:
        self.nodes = nodes
        self.counts = like.new_zeros(rows, 2 * nodes)

    def _places(self, tile_RC: Tensor, tile: Tile) -> tuple[Tensor, Tensor]:
        """The node below each cosine, positives behind the negatives, and the share of the node above."""
        place_RC = tile_RC.add_(1).mul_((self.nodes - 1) / 2)
        low_RC = place_RC.long().clamp_(0, self.nodes - 2)
        share_RC = place_RC.sub_(low_RC)
        return (low_RC if tile.mask is None else low_RC + self.nodes * tile.mask), share_RC

    def reduce(self, tile_RC: Tensor, tile: Tile) -> None:
        """Add the tile's shares to its rows and, where mirrored, to its columns."""
        low_RC, share_RC = self._places(tile_RC, tile)
        for bin_RC, weight_RC in ((low_RC, 1 - share_RC), (low_RC + 1, share_RC)):
            if tile.selves is not None:
                weight_RC.masked_fill_(tile.selves, 0)
            self.counts[tile.rows].scatter_add_(1, bin_RC, weight_RC)
            if tile.mirrored:
                self.counts[tile.cols].scatter_add_(1, bin_RC.T, weight_RC.T)

    def results(self) -> tuple[Tensor, ...]:
        """The histograms."""
        return (self.counts,)

    def prepare(self, grads: tuple[Tensor, ...]) -> None:
        """Between two nodes the slope is the difference of their gradients over the distance between them."""
        self.steps = torch.zeros_like(grads[0])
        self.steps[:, :-1] = grads[0].diff(dim=1) * ((self.nodes - 1) / 2)

    def slope(self, tile_RC: Tensor, tile: Tile, kept: bool) -> Tensor:
        """The slopes of the two nodes around each cosine."""
        low_RC, _ = self._places(tile_RC, tile)
        out_RC = self.steps[tile.rows].gather(1, low_RC)
        if tile.mirrored:
            out_RC += self.steps[tile.cols].gather(1, low_RC.T).T
        return out_RC if tile.selves is None else out_RC.masked_fill_(tile.selves, 0)


def cosine_histograms(batch: LabelledBatch, nodes: int) -> tuple[Tensor, Tensor]:
    """Per row the histograms of the cosines with its positives and with its negatives, both (N, nodes), from -1 to 1."""
    rule = Histograms(batch.rows, len(batch.rows), nodes)
    counts = unsort(run_tiles(batch.rows, batch.columns, batch.layout, rule)[0], batch.layout.row_order)
    return counts[:, nodes:], counts[:, :nodes]
