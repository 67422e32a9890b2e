"""Positive pairs that each meet all columns: strips of B pairs × M columns, the pairs numbered and never listed.

Columns are sorted by label, so the positives of a row are a run of places and pair k of the batch is found from two
vectors of length N. A class of K rows has K² pairs: N rows in classes of K cost N · K · M.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from likewise.losses._batch import LabelledBatch
from likewise.losses._strips import strip_sum


@dataclass(frozen=True, slots=True)
class PairStrip:
    """B ordered pairs (anchor, positive) and which of the M columns are what to them."""

    rows: Tensor  # (B,) the anchors among the rows
    anchors: Tensor  # (B, D)
    positives: Tensor  # (B, D)
    columns: Tensor  # (M, D)
    places: Tensor  # (B,) the positives among the columns
    same: Tensor  # (B, M) bool: the anchor's class
    selves: Tensor  # (B, M) bool: the anchor itself


class PositivePairs:
    """The ordered pairs (row of this rank, positive column), by row.

    Args:
        batch: rows and columns.
        with_self: a row is its own positive too.
    """

    def __init__(self, batch: LabelledBatch, *, with_self: bool = False) -> None:
        self.batch, self.with_self = batch, with_self
        layout = batch.layout
        self.labels = layout.col_labels
        self.columns = batch.all_columns if layout.col_order is None else batch.all_columns[layout.col_order]
        self._first = torch.searchsorted(self.labels, batch.labels)
        size = torch.searchsorted(self.labels, batch.labels, right=True) - self._first
        self._own = batch.own_columns()
        if layout.col_order is not None:
            place = torch.arange(len(self.labels), device=self.labels.device)
            self._own = torch.empty_like(place).index_copy(0, layout.col_order, place)[self._own]
        self.counts = size if with_self else size - 1
        self._ends = self.counts.cumsum(0)
        self.total = int(self._ends[-1]) if len(self._ends) else 0

    def _take(self, part: slice, rows_ND: Tensor, columns_MD: Tensor) -> PairStrip:
        number = torch.arange(part.start, part.stop, device=self.labels.device)
        row = torch.searchsorted(self._ends, number, right=True)
        place = self._first[row] + number - (self._ends[row] - self.counts[row])
        if not self.with_self:
            place = place + (place >= self._own[row])  # step over the row itself
        every = torch.arange(len(self.labels), device=self.labels.device)
        return PairStrip(
            row,
            rows_ND[row],
            columns_MD[place],
            columns_MD,
            place,
            self.batch.labels[row, None] == self.labels,
            self._own[row, None] == every,
        )

    def sum(self, value: Callable[[PairStrip], Tensor], tile_size: int | None) -> Tensor:
        """Sum over strips of a differentiable value; ``tile_size`` pairs at a time, or 2^19 entries."""
        # strips are runs of pair numbers: a tensor of no width has as many rows and no memory
        numbers = self.batch.rows.detach().new_zeros(self.total, 0)

        def strip(part: slice, _: Tensor, rows_ND: Tensor, columns_MD: Tensor) -> Tensor:
            return value(self._take(part, rows_ND, columns_MD))

        width = max(self.columns.shape)
        return strip_sum(strip, numbers, self.batch.rows, self.columns, columns=width, tile_size=tile_size)
