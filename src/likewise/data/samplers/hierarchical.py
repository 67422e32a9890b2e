"""Batches of related classes: some super-classes, of each some classes, of each class some images."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from likewise.data.samplers._by_class import ByClass, turns
from likewise.errors import DatasetError

__all__ = ["HierarchicalSampler"]


class HierarchicalSampler:
    """Batches of G super-classes with P classes each and K images of each class.

    Classes of one super-class (shoes: sandal, sneaker, boot) are hard to tell apart, so a batch that holds several of
    them holds hard negatives without looking for any. Super-classes, classes within one and images within one go round in
    shuffled turns. A super-class of fewer than P classes gives several K images of some.

    Args:
        labels: (N,) integers, the class of each image.
        super_labels: (N,) integers, its super-class; all images of a class must have the same.
        super_classes_per_batch: G ≥ 1, at most the number of super-classes.
        classes_per_super_class: P ≥ 1.
        images_per_class: K ≥ 1.

    Raises:
        DatasetError: G, P or K is out of range, or a class lies in two super-classes.

    Example:
        >>> labels = torch.arange(80) % 8
        >>> sampler = HierarchicalSampler(labels, labels // 4, 1, 2, 5)
        >>> batches = sampler.epoch(torch.Generator().manual_seed(0))
        >>> batches.shape, [len(set((labels[batch] // 4).tolist())) for batch in batches]
        (torch.Size([8, 10]), [1, 1, 1, 1, 1, 1, 1, 1])
    """

    def __init__(
        self,
        labels: Tensor,
        super_labels: Tensor,
        super_classes_per_batch: int,
        classes_per_super_class: int,
        images_per_class: int,
    ) -> None:
        self._classes = ByClass(labels)
        above = super_labels.detach().to("cpu")
        first = self._classes.order[self._classes.start]  # one image of each class
        if above.shape != labels.shape or not np.array_equal(
            above.numpy()[first][self._classes.class_of], above.numpy()
        ):
            raise DatasetError(
                "The super-classes do not fit the classes.",
                expected="Expected one super-class per image, the same for all images of a class.",
                advice="Give each class exactly one super-class.",
            )
        self._super_classes = ByClass(above[torch.from_numpy(first)])
        known = len(self._super_classes.count)
        if not 1 <= super_classes_per_batch <= known:
            raise DatasetError(
                f"Batches of {super_classes_per_batch} super-classes were asked for.",
                expected=f"Expected 1 to {known}: the training images have {known} super-classes.",
                advice="Change super_classes_per_batch.",
            )
        if min(classes_per_super_class, images_per_class) < 1:
            raise DatasetError(
                f"Batches with {classes_per_super_class} classes of a super-class and {images_per_class} images of a class "
                "were asked for.",
                expected="Expected 1 or more of both.",
            )
        self._sizes = (super_classes_per_batch, classes_per_super_class, images_per_class)

    def __len__(self) -> int:
        """Batches in an epoch: N // (G·P·K), at least 1."""
        G, P, K = self._sizes
        return max(1, len(self._classes.order) // (G * P * K))

    def epoch(self, generator: torch.Generator) -> Tensor:
        """All batches of an epoch: (number of batches, G·P·K) int64; the K images of a class stand together."""
        G, P, K = self._sizes
        super_classes = turns(len(self._super_classes.count), G, len(self), generator)
        classes = self._super_classes.in_turn(super_classes.reshape(-1), P, generator)
        images = self._classes.in_turn(classes.reshape(-1), K, generator)
        return torch.from_numpy(images.reshape(len(self), G * P * K))
