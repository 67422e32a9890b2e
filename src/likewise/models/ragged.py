"""Items of different lengths in one tensor without padding: the states of texts, which would else be padded to the longest."""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor

__all__ = ["Ragged"]


class Ragged(NamedTuple):
    """N items of ``rows`` (S, F): item i has the ``length[i]`` rows from ``first[i]`` on.

    Example:
        >>> states = Ragged.empty(torch.tensor([1, 3]), 2)
        >>> states.put(torch.tensor([1]), torch.ones(1, 3, 2))
        >>> states.take(torch.tensor([1]))[0].shape, len(states.rows)
        (torch.Size([1, 3, 2]), 4)
    """

    rows: Tensor
    first: Tensor
    length: Tensor

    @classmethod
    def empty(cls, length: Tensor, width: int) -> Self:
        """Room for items of these lengths (N,), one after the other."""
        return cls(torch.empty(int(length.sum()), width), length.cumsum(0) - length, length)

    @classmethod
    def of_rows(cls, rows: Tensor) -> Self:
        """Items of one row each."""
        return cls(rows, torch.arange(len(rows)), torch.ones(len(rows), dtype=torch.int64))

    def take(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """Some items (B, L, F), behind the end of each zeros, and their lengths (B,)."""
        length = self.length[items]
        steps = torch.arange(int(length.max()) if len(items) else 0)
        inside = steps < length[:, None]
        taken = self.rows[torch.where(inside, self.first[items][:, None] + steps, 0)]
        return (taken if bool(inside.all()) else taken * inside[:, :, None]), length

    def put(self, items: Tensor, values: Tensor) -> None:
        """Write items (B, L, F); what stands behind the end of each is left out."""
        steps = torch.arange(values.shape[1])
        inside = steps < self.length[items][:, None]
        self.rows[(self.first[items][:, None] + steps)[inside]] = values[inside]

    def of(self, items: Tensor) -> Self:
        """Some items over the same rows, without copying these."""
        return self._replace(first=self.first[items], length=self.length[items])

    def packed(self) -> Self:
        """The same items, their rows one after the other and no others."""
        items = torch.repeat_interleave(torch.arange(len(self.length)), self.length)
        first = self.length.cumsum(0) - self.length
        within = torch.arange(len(items)) - first[items]
        return self._replace(rows=self.rows[self.first[items] + within], first=first)
