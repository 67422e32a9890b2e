"""A shuffle cut into batches."""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.errors import DatasetError

__all__ = ["shuffled_batches"]


def shuffled_batches(n: int, batch_size: int, generator: torch.Generator, drop_last: bool = False) -> list[Tensor]:
    """A random order of 0..n-1 cut into batches.

    Args:
        n: number of images, ≥ 0.
        batch_size: ≥ 1; the last batch is shorter where n is no multiple of it.
        generator: the only source of chance.
        drop_last: leave the shorter last batch out, unless it is the only one.

    Returns:
        (B,) int64 tensors.

    Raises:
        DatasetError: n or batch_size is out of range.

    Example:
        >>> [len(batch) for batch in shuffled_batches(10, 4, torch.Generator().manual_seed(0))]
        [4, 4, 2]
    """
    if n < 0 or batch_size < 1:
        raise DatasetError(
            f"Batches of {batch_size} from {n} images were asked for.", expected="Expected batch_size ≥ 1 and n ≥ 0."
        )
    order = torch.randperm(n, generator=generator)
    batches = [order[first : first + batch_size] for first in range(0, n, batch_size)]
    return batches[:-1] if drop_last and len(batches) > 1 and len(batches[-1]) < batch_size else batches
