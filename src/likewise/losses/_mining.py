"""What miners do that need all distances of a row at once: B rows × M columns, ``strip_entries`` at a time, no gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from likewise.losses._batch import LabelledBatch, Memory
from likewise.losses._gather import Group
from likewise.losses._strips import row_strips, squared_distances, strip_entries
from likewise.losses._tuples import Triplets


@dataclass(frozen=True, slots=True)
class Strip:
    """B rows against all columns, the columns sorted by label so that the positives of a row stand together."""

    rows: Tensor  # (B,) their numbers
    squared: Tensor  # (B, M) squared distances; 2 - 2 cosine where rows have length 1, or 0
    same: Tensor  # (B, M) bool: the row's class, itself included
    self_: Tensor  # (B, M) bool: the row itself


def without_gradient(x: Tensor) -> Tensor:
    """The same values; what is no tensor is left for the checks of the batch to name."""
    return x.detach() if isinstance(x, Tensor) else x


class Search:
    """Rows against sorted columns, strip by strip, without gradient.

    Args:
        embeddings: (N, D) float of this rank.
        labels: (N,) integers.
        unit: rows at length 1.
        group, memory: as for ``LabelledBatch``.
    """

    def __init__(self, embeddings: Tensor, labels: Tensor, *, unit: bool, group: Group, memory: Memory) -> None:
        self.unit = unit
        self.batch = LabelledBatch(without_gradient(embeddings), labels, normalize=unit, group=group, memory=memory)
        layout = self.batch.layout
        self.labels = layout.col_labels
        place = torch.arange(len(self.labels), device=self.labels.device)
        self.order = place if layout.col_order is None else layout.col_order
        center = 0 if unit or not len(self.order) else self.batch.all_columns.mean(dim=0)
        self.columns = self.batch.all_columns[self.order] - center
        self.rows = self.batch.rows - center

    def strips(self, tile_size: int | None) -> Iterator[Strip]:
        """The rows in their order, as many at a time as ``strip_entries`` allows, or ``tile_size``."""
        own = self.batch.own_columns()
        for part in row_strips(len(self.rows), len(self.columns), tile_size, strip_entries(self.rows.device)):
            yield Strip(
                torch.arange(part.start, part.stop, device=own.device),
                self._squared(self.rows[part]),
                self.batch.labels[part, None] == self.labels,
                own[part, None] == self.order,
            )

    def _squared(self, rows: Tensor) -> Tensor:
        if self.unit:
            return (2 - 2 * rows @ self.columns.T).clamp_min_(0)
        return squared_distances(rows, self.columns)

    def widest(self) -> int:
        """Members of the largest class among the columns."""
        return int(torch.unique_consecutive(self.labels, return_counts=True)[1].max()) if len(self.labels) else 0

    def triplets(self, found: list[tuple[Tensor, Tensor, Tensor]]) -> Triplets:
        """From rows and sorted columns to the caller's numbers."""
        none = self.order[:0]
        rows, near, far = (torch.cat([none, *(part[k] for part in found)]) for k in range(3))
        return Triplets(rows, self.order[near], self.order[far])
