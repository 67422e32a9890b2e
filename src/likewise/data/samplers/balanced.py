"""Batches in which every class has its share: P classes with K images each, or all classes evenly."""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.data.samplers._by_class import ByClass, turns
from likewise.errors import DatasetError

__all__ = ["ClassBalancedSampler", "PKSampler"]


class PKSampler:
    """Batches of P classes with K images each, for losses that need positives in the batch.

    The classes go round in shuffled turns, so that over an epoch all come about equally often; a class hands
    out its images in shuffled order and starts over when they are used up, so a batch repeats an image only where the
    class has fewer than K. Large classes are not seen as a whole in one epoch: that is the meaning of balanced.

    Args:
        labels: (N,) integers.
        classes_per_batch: P ≥ 1, at most the number of classes.
        images_per_class: K ≥ 1.

    Raises:
        DatasetError: P or K is out of range.

    Example:
        >>> sampler = PKSampler(torch.arange(100) % 5, classes_per_batch=3, images_per_class=4)
        >>> sampler.epoch(torch.Generator().manual_seed(0)).shape
        torch.Size([8, 12])
    """

    def __init__(self, labels: Tensor, classes_per_batch: int, images_per_class: int) -> None:
        self._sorted = ByClass(labels)
        classes = len(self._sorted.count)
        if not 1 <= classes_per_batch <= classes:
            raise DatasetError(
                f"Batches of {classes_per_batch} classes were asked for.",
                expected=f"Expected 1 to {classes}: the training images have {classes} classes.",
                advice="Lower classes_per_batch.",
            )
        if images_per_class < 1:
            raise DatasetError(
                f"Batches with {images_per_class} images per class were asked for.", expected="Expected 1 or more."
            )
        self._classes_per_batch = classes_per_batch
        self._images_per_class = images_per_class

    def __len__(self) -> int:
        """Batches in an epoch: N // (P·K), at least 1."""
        return max(1, len(self._sorted.order) // (self._classes_per_batch * self._images_per_class))

    def epoch(self, generator: torch.Generator) -> Tensor:
        """All batches of an epoch: (number of batches, P·K) int64; the K images of a class stand together."""
        P, K = self._classes_per_batch, self._images_per_class
        classes = turns(len(self._sorted.count), P, len(self), generator)
        images = self._sorted.in_turn(classes.reshape(-1), K, generator)
        return torch.from_numpy(images.reshape(len(self), P * K))


class ClassBalancedSampler:
    """Batches in which no class is rarer than another, however uneven the classes of the data are.

    An epoch has as many places as there are images, and the classes share them evenly: a small class gives its images
    several times, a large one only a part of them. Which classes meet in a batch is left to chance, unlike with P × K.

    Args:
        labels: (N,) integers.
        batch_size: ≥ 1.

    Raises:
        DatasetError: batch_size is out of range.

    Example:
        >>> labels = torch.tensor([0] * 90 + [1] * 10)
        >>> batches = ClassBalancedSampler(labels, batch_size=20).epoch(torch.Generator().manual_seed(0))
        >>> batches.shape, torch.bincount(labels[batches].reshape(-1)).tolist()
        (torch.Size([5, 20]), [50, 50])
    """

    def __init__(self, labels: Tensor, batch_size: int) -> None:
        self._sorted = ByClass(labels)
        if batch_size < 1:
            raise DatasetError(f"Batches of {batch_size} images were asked for.", expected="Expected 1 or more.")
        self._batch_size = min(batch_size, len(labels))

    def __len__(self) -> int:
        """Batches in an epoch: N // batch_size, at least 1."""
        return max(1, len(self._sorted.order) // self._batch_size)

    def epoch(self, generator: torch.Generator) -> Tensor:
        """All batches of an epoch: (number of batches, batch_size) int64."""
        count, places = len(self._sorted.count), len(self) * self._batch_size
        classes = turns(count, count, -(-places // count), generator).reshape(-1)[:places]
        images = self._sorted.in_turn(classes, 1, generator).reshape(-1)
        order = torch.randperm(places, generator=generator)
        return torch.from_numpy(images)[order].reshape(len(self), self._batch_size)
