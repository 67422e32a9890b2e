"""Parts of a batch that batch normalisation sees each on its own, the same parts on any number of ranks.

A rank holds neighbouring images of a batch, and whole parts where the number of parts is a multiple of that of ranks: then
nothing of a part has to be fetched from elsewhere.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from likewise.errors import TrainingError
from likewise.losses import sum_over_ranks

__all__ = ["StatisticsInTurn", "parts_here"]


def parts_here(total: int, splits: int, group: dist.ProcessGroup | None = None) -> list[slice]:
    """Where the parts of this rank lie among its own images; a part has two images at least.

    Args:
        total: images of the whole batch.
        splits: parts of the whole batch, fewer where it is small.
        group: the ranks that share the batch.

    Raises:
        TrainingError: the ranks cannot have whole parts.

    Example:
        >>> parts_here(7, 3)
        [slice(0, 2, None), slice(2, 4, None), slice(4, 7, None)]
    """
    parts = max(1, min(splits, total // 2))
    ranks, rank = (1, 0) if group is None else (dist.get_world_size(group), dist.get_rank(group))
    if parts % ranks:
        raise TrainingError(
            f"A batch of {total} images that is normalised in {parts} parts cannot be shared by {ranks} ranks.",
            expected="Expected as many parts for each.",
            advice=f"Set objective.batch_splits to a multiple of {ranks} and batch_size to at least twice that, or "
            "batch_splits to 1.",
        )
    ends = [total * part // parts for part in range(rank * parts // ranks, (rank + 1) * parts // ranks + 1)]
    return [slice(start - ends[0], end - ends[0]) for start, end in pairwise(ends)]


class StatisticsInTurn:
    """Running statistics as if one process had passed the parts of all ranks, one after the other in their order.

    Made before the parts are passed; ``settle`` is called when their gradients are there.

    Args:
        module: whose batch normalisation it is about.
        parts: that each rank passes.
        group: the ranks.
    """

    def __init__(self, module: nn.Module, parts: int, group: dist.ProcessGroup) -> None:
        self._norms = [
            norm
            for norm in module.modules()
            if isinstance(norm, _BatchNorm) and norm.training and norm.running_mean is not None
        ]
        self._before = [average.clone() for norm in self._norms for average in _averages(norm)]
        self._parts, self._group = parts, group

    @torch.no_grad()
    def settle(self) -> None:
        """Bring the ranks' statistics together: what a part added has faded by as many parts as came after it."""
        ranks, rank = dist.get_world_size(self._group), dist.get_rank(self._group)
        now = [average for norm in self._norms for average in _averages(norm)]
        fading = [(1 - (norm.momentum or 0.0)) ** self._parts for norm in self._norms for _ in _averages(norm)]
        if not now:
            return
        added = [
            ((new - faded * old) * faded ** (ranks - 1 - rank)).flatten()
            for new, old, faded in zip(now, self._before, fading, strict=True)
        ]
        total = sum_over_ranks(torch.cat(added), self._group).split([average.numel() for average in now])
        for new, old, faded, sum_ in zip(now, self._before, fading, total, strict=True):
            new.copy_(faded**ranks * old + sum_.view_as(old))
        for norm in self._norms:
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked += self._parts * (ranks - 1)


def _averages(norm: _BatchNorm) -> tuple[Tensor, ...]:
    return tuple(average for average in (norm.running_mean, norm.running_var) if average is not None)
