"""What the loop asks of its data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from torch import Tensor

__all__ = ["TrainingData"]


class TrainingData(Protocol):
    """What the loop asks of its data; an ``ImageDataset`` has it, and so has a tensor with labels (``Embedder``)."""

    @property
    def name(self) -> str:
        """Of the data set."""

    @property
    def labels(self) -> Tensor | None:
        """(N,) int64, or None."""

    @property
    def fingerprint(self) -> str:
        """A run is not resumed on data with another one."""

    def __len__(self) -> int: ...

    def batches(self, index_batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """(indices, samples) for each batch of indices, in order."""
