"""Arrays in memory as training data: vectors of measurements, or images that somebody has loaded already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["ArraySamples", "as_images", "mean_and_deviation", "standardized"]

Array = NDArray[Any]
Vector = NDArray[np.float64]

_ROWS = 4096  # samples that are float64 at a time


@dataclass(frozen=True)
class ArraySamples:
    """What the training loop asks of its data, over a tensor.

    Args:
        images: (N, C, H, W) uint8 or float32.
        labels: (N,) int64, 0 … K-1.
        name: for messages.
        fingerprint: empty: nothing of such a training is kept.
    """

    images: Tensor
    labels: Tensor
    name: str = "the samples"
    fingerprint: str = ""

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, index_batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """(indices, images) for each batch of indices, in order."""
        for indices in index_batches:
            yield indices, self.images.index_select(0, indices)


def mean_and_deviation(samples: Array, axes: tuple[int, ...]) -> tuple[Vector, Vector]:
    """Over ``axes``, the first among them, in float64 and two passes; the deviation of what is constant is taken as 1.

    Example:
        >>> mean_and_deviation(np.array([[1.0, 0.1], [3.0, 0.1]]), (0,))
        (array([2. , 0.1]), array([1., 1.]))
    """
    parts = [samples[start : start + _ROWS] for start in range(0, len(samples), _ROWS)]
    mean: Vector = np.sum([part.sum(axis=axes, dtype=np.float64) for part in parts], axis=0)
    count = samples.size // mean.size
    mean = mean / count
    centre = np.expand_dims(mean, axes)
    variance = np.sum([np.square(part - centre).sum(axis=axes) for part in parts], axis=0) / count
    # A constant has the variance that the rounding of its own mean gives it.
    rounding = np.square(count * np.finfo(np.float64).eps * mean)
    return mean, np.where(variance > rounding, np.sqrt(variance), 1.0)


def standardized(samples: Array, mean: Vector, scale: Vector) -> Tensor:
    """Vectors (N, features) as (N, 1, 1, features) float32, the difference and quotient taken in float64."""
    result = np.empty(samples.shape, dtype=np.float32)
    for start in range(0, len(samples), _ROWS):
        rows = slice(start, start + _ROWS)
        result[rows] = (samples[rows] - mean) / scale
    return torch.from_numpy(result)[:, None, None]


def as_images(samples: Array) -> Tensor:
    """Images (N, H, W) or (N, C, H, W) as (N, C, H, W), uint8 where they are, else float32."""
    kept = samples if samples.dtype == np.uint8 else samples.astype(np.float32)
    images = torch.from_numpy(kept if kept.flags.writeable else kept.copy())
    return images if images.ndim == 4 else images[:, None]
