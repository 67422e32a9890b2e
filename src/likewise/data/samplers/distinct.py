"""Batches in which no id occurs twice: every other row is then truly a negative."""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.data.samplers._by_class import ByClass
from likewise.errors import DatasetError

__all__ = ["DistinctSampler"]


class DistinctSampler:
    """Batches whose images all have different ids: the classes, or the photographs that captions belong to.

    With n batches in an epoch, the images in order of their ids (the ids shuffled, and the images of each) are dealt out to
    the n batches in turn: the images of one id stand beside each other, so at most n of them reach n different batches. Of
    an id with more than n images, n random ones take part in the epoch. Where few ids have most of the images the batches
    are smaller than asked, as large as the ids allow.

    Args:
        ids: (N,) integers.
        batch_size: ≥ 1, at most the number of different ids.

    Raises:
        DatasetError: batch_size is out of range.

    Example:
        >>> sampler = DistinctSampler(torch.arange(12) // 3, batch_size=4)
        >>> [sorted((batch // 3).tolist()) for batch in sampler.epoch(torch.Generator().manual_seed(0))]
        [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]]
    """

    def __init__(self, ids: Tensor, batch_size: int) -> None:
        self._sorted = ByClass(ids)
        known = len(self._sorted.count)
        if not 1 <= batch_size <= known:
            raise DatasetError(
                f"Batches of {batch_size} different ids were asked for.",
                expected=f"Expected 1 to {known}: the training images have {known} different ones.",
                advice="Change batch_size.",
            )
        self._batches = len(ids) // batch_size
        taken = int(self._sorted.count.clip(max=self._batches).sum())
        self._batch_size = min(batch_size, taken // self._batches)

    def __len__(self) -> int:
        """Batches in an epoch: N // batch_size, with the batch_size asked for."""
        return self._batches

    def epoch(self, generator: torch.Generator) -> Tensor:
        """All batches of an epoch: (number of batches, images in each) int64."""
        by_id = self._sorted
        order = torch.from_numpy(by_id.shuffled(generator))
        place = torch.from_numpy(by_id.class_of)[order]
        within = torch.arange(len(order)) - torch.from_numpy(by_id.start)[place]
        order, place = order[within < self._batches], place[within < self._batches]
        shuffled_ids = torch.randperm(len(by_id.count), generator=generator)
        dealt = order[shuffled_ids[place].argsort(stable=True)]
        return dealt[: self._batch_size * self._batches].reshape(self._batch_size, self._batches).T.contiguous()
