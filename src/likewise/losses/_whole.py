"""A small batch is one tile that holds all its pairs, in the order given, and a mask that tells them apart.

Sorting by label, boxes and blocks save work where there are many tiles. On 64 rows they would take longer than the loss
itself: the plain formulation of a loss is some fifty operations of a few microseconds each.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch
from torch import Tensor

from likewise.losses._layout import Layout, Tile

# up to so many pairs; measure again with benchmarks/losses.py --forms
WHOLE_ENTRIES = 1 << 17


def is_small(rows: int, columns: int, tile_size: int | None) -> bool:
    """Whether a batch is taken as a whole: it is small, and no side of a tile was asked for."""
    return tile_size is None and rows * columns <= WHOLE_ENTRIES


class Whole:
    """All pairs of a small batch. The engine takes it in place of a ``Layout``.

    Args:
        same_RC: (R, C) bool: a positive pair, or a row and itself.
        selves_RC: (R, C) bool: a row and itself; None: where both numbers are equal if ``symmetric``, else nowhere.
        symmetric: rows and columns are the same tensor.
    """

    tile_size = row_order = col_order = None

    def __init__(self, same_RC: Tensor, *, selves_RC: Tensor | None = None, symmetric: bool) -> None:
        self.same, self._selves, self.symmetric = same_RC, selves_RC, symmetric
        self.shape = (same_RC.shape[0], same_RC.shape[1])
        self.tile = max(self.shape)
        self.on_host = same_RC.device.type == "cpu"

    @functools.cached_property
    def selves(self) -> Tensor | None:
        """(R, C) bool: a row and itself; None: no column is a row."""
        if self._selves is None and self.symmetric:
            return torch.eye(self.shape[0], dtype=torch.bool, device=self.same.device)
        return self._selves

    @functools.cached_property
    def positive(self) -> Tensor:
        """(R, C) bool."""
        return self.same if self.selves is None else self.same & ~self.selves

    def tiles(self, over: str, rows_at_once: int | None = None) -> Iterator[Tile]:
        """The one tile, as ``Layout.tiles`` has it."""
        rows, cols = slice(0, self.shape[0]), slice(0, self.shape[1])
        if 0 in self.shape:
            return
        if over == "positive":
            yield Tile(rows, cols, False, mask=~self.positive)
        elif over == "negative":
            yield Tile(rows, cols, False, mask=self.same)
        else:
            yield Tile(rows, cols, False, mask=self.same, selves=self.selves)

    def turns(self, over: str, lanes: int) -> Iterator[list[Iterator[Tile]]]:
        """The one tile."""
        yield [self.tiles(over)]


Pairs = Layout | Whole


def pairs_of(
    row_labels: Tensor, col_labels: Tensor | None = None, *, tile_size: int | None = None, ascending: bool = False
) -> Pairs:
    """Rows against columns, equal label = positive pair, in the form that suits their number."""
    cols = row_labels if col_labels is None else col_labels
    if is_small(len(row_labels), len(cols), tile_size):
        return Whole(row_labels[:, None] == cols, symmetric=col_labels is None)
    return Layout(row_labels, col_labels, tile_size=tile_size, ascending=ascending)
