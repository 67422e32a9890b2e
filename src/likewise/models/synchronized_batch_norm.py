"""Batch normalisation over a batch that several processes share, on any device.

Each process has some rows of the batch. Normalised by their own statistics alone, they would see another network than one
process sees, one that changes with the number of processes. Here count, mean and variance of the parts are exchanged and
merged (Chan, Golub & LeVeque 1979), and the backward pass exchanges its two sums per channel, so that values, running
averages and gradients are those of one process on the whole batch, parts of unequal size included. torch's own
``SyncBatchNorm`` does this on GPUs only.

A layer of C channels sends 2C + 1 numbers forward and 2C backward.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from likewise.losses._uncompiled import uncompiled

__all__ = ["SynchronizedBatchNorm", "synchronize_batch_norm"]


def _merged(x: Tensor, group: dist.ProcessGroup) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and (biased) variance of each channel over all processes, and how many numbers a channel has; float64."""
    channels = x.shape[1]
    axes = [axis for axis in range(x.dim()) if axis != 1]
    variance, mean = torch.var_mean(x.to(_precise(x)), dim=axes, correction=0)
    # float64: the merge must not cost the digits that the parts still have
    own = torch.cat([variance, mean, mean.new_full((1,), x.numel() // channels)]).double()
    parts = own.new_empty(dist.get_world_size(group), len(own))
    dist.all_gather(list(parts.unbind()), own, group=group)
    counts = parts[:, -1:]
    total = counts.sum()
    means = parts[:, channels:-1]
    mean = (counts * means).sum(dim=0) / total
    variance = (counts * (parts[:, :channels] + (means - mean).square())).sum(dim=0) / total
    return mean, variance, total


def _precise(x: Tensor) -> torch.dtype:
    """What statistics of ``x`` are kept in: float32 at least."""
    return torch.promote_types(x.dtype, torch.float32)


class _Normalize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, group: dist.ProcessGroup
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean, variance, total = _merged(x, group)
        mean, variance = mean.to(_precise(x)), variance.to(_precise(x))
        ctx.save_for_backward(x, weight, mean, variance, total)
        ctx.eps, ctx.group = eps, group
        ctx.mark_non_differentiable(mean, variance, total)
        return F.batch_norm(x, mean, variance, weight, bias, eps=eps), mean, variance, total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance, total = ctx.saved_tensors
        # With mean and variance taken as constants: torch's own kernel, and the two sums that it needs anyway. On CUDA it
        # gives them only where there is a weight, and takes mean and deviation as a forward pass would have saved them.
        own = torch.ones_like(mean) if weight is None else weight
        inverse = (variance.double() + ctx.eps).rsqrt()
        direct, along, plain = torch.ops.aten.native_batch_norm_backward(
            grads[0].contiguous(memory_format=_format_of(x)),
            x,
            own,
            mean,
            variance,
            mean,
            inverse.to(mean.dtype),
            False,
            ctx.eps,
            [True, True, True],
        )
        sums = torch.stack([along, plain]).double()
        dist.all_reduce(sums, group=ctx.group)
        # … then what they owe to x themselves: subtract scale · (mean gradient + normalised x · mean of gradient · x).
        scale = inverse if weight is None else inverse * weight.double()
        slope = -scale * inverse * sums[0] / total
        offset = -scale * sums[1] / total - slope * mean.double()
        shape = [1, -1] + [1] * (x.dim() - 2)
        direct = torch.addcmul(direct, x, slope.to(direct.dtype).view(shape)).add_(offset.to(direct.dtype).view(shape))
        wanted = ctx.needs_input_grad
        return direct, along if wanted[1] else None, plain if wanted[2] else None, None, None


def _format_of(x: Tensor) -> torch.memory_format:
    channels_last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format


class SynchronizedBatchNorm(_BatchNorm):
    """``nn.BatchNorm1d``, ``2d`` or ``3d`` whose batch is that of all processes of a group.

    Shares parameters and buffers with the layer that it stands for; in evaluation mode it is that layer. Gradients of
    weight and bias are those of the own rows: DistributedDataParallel brings them together.

    Args:
        layer: the layer that it stands for.
        group: the processes that share a batch.
    """

    def __init__(self, layer: _BatchNorm, group: dist.ProcessGroup) -> None:
        super().__init__(
            layer.num_features, layer.eps, layer.momentum, affine=False, track_running_stats=False, device="meta"
        )
        self.affine, self.track_running_stats = layer.affine, layer.track_running_stats
        self.weight, self.bias = layer.weight, layer.bias
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, getattr(layer, name))
        self.group = group
        self.train(layer.training)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2 axes, got {input.dim()}")

    # Collectives inside a graph are not torch.compile's; what lies between the layers still is.
    @uncompiled
    def forward(self, input: Tensor) -> Tensor:
        """(N, C, …) float, N of this process; N differs from process to process."""
        self._check_input_dim(input)
        if not self.training and self.running_mean is not None:
            normalized: Tensor = super().forward(input)
            return normalized
        output, mean, variance, total = _Normalize.apply(  # type: ignore[no-untyped-call]
            input, self.weight, self.bias, self.eps, self.group
        )
        if self.training and self.running_mean is not None:
            self._remember(mean, variance * (total / (total - 1)))
        result: Tensor = output
        return result

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        averages, seen = (self.running_mean, self.running_var), self.num_batches_tracked
        if seen is not None:
            seen.add_(1)
        for average, new in zip(averages, (mean, variance), strict=True):
            if average is not None:
                factor = 1 / seen if self.momentum is None and seen is not None else self.momentum or 0.0
                average.lerp_(new.to(average.dtype), factor)


def synchronize_batch_norm(module: nn.Module, group: dist.ProcessGroup, *, leave: nn.Module | None = None) -> None:
    """Replace every batch normalisation inside ``module``, but for ``leave``, by one over the batch of all processes."""
    for name, child in module.named_children():
        if child is leave:
            continue
        if isinstance(child, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            setattr(module, name, SynchronizedBatchNorm(child, group))
        else:
            synchronize_batch_norm(child, group, leave=leave)
