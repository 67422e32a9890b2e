"""Pairs of images, of the same class or of two."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from likewise.data.samplers._by_class import ByClass, Integers, uniform_below
from likewise.errors import DatasetError

__all__ = ["PairSampler"]


class PairSampler:
    """Partners for given images: of the same class or of another, each with probability ½.

    A same-class partner is uniform over the other images of the class, never the anchor itself; a different-class
    partner is uniform over all images of other classes. A class of one image always gets a different-class partner,
    and a set of one class always a same-class one.

    Args:
        labels: (N,) integers, any values, N ≥ 2.

    Raises:
        DatasetError: fewer than two images, or labels that are not integers.

    Example:
        >>> sampler = PairSampler(torch.tensor([0, 0, 1, 1]))
        >>> anchors = torch.tensor([0, 1, 2, 3])
        >>> partners, different = sampler.draw(anchors, torch.Generator().manual_seed(0))
        >>> bool((partners != anchors).all()), different.dtype
        (True, torch.float32)
    """

    def __init__(self, labels: Tensor) -> None:
        self._sorted = ByClass(labels)
        if len(labels) < 2:
            raise DatasetError("Pairs were asked of one image.", expected="Expected at least two images.")

    def draw(self, anchors: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """One partner for each anchor.

        Args:
            anchors: (B,) int64, positions in ``labels``.
            generator: the only source of chance.

        Returns:
            partners: (B,) int64.
            different: (B,) float32, 1 where the classes differ, else 0.
        """
        by_class = self._sorted
        chosen: Integers = anchors.to("cpu", torch.int64).numpy()
        classes = by_class.class_of[chosen]
        start, count = by_class.start[classes], by_class.count[classes]
        outside = len(by_class.order) - count
        same = torch.rand(len(chosen), generator=generator).numpy() < 0.5
        same = (same & (count > 1)) | (outside == 0)
        others = uniform_below(np.where(same, count - 1, outside), generator)
        within = start + (by_class.rank[chosen] + 1 + others) % count  # 1..count-1 steps on: never back to the anchor
        beyond = np.where(others < start, others, others + count)  # jump over the run of the anchor's class
        partners = by_class.order[np.where(same, within, beyond)]
        return torch.from_numpy(partners), torch.from_numpy((~same).astype(np.float32))
