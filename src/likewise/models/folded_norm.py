"""Blocks of convolution, ReLU and batch normalisation in fewer passes over memory, for few channels on a CPU.

A batch-normalised grid a·r + b goes into the next convolution W as

    W * (a r + b) + c  =  (W a) * r  +  (W * b + c),     one number a and b for each channel of r,

so it is never written: the scale goes into the filter, and what the shift becomes behind the convolution is one grid for the
whole batch (not one number a channel, since the border is padded with zeros after the normalisation). In the backward pass
the two sums that batch normalisation needs then come from the gradients of filter and grid, not from another reading of
the batch. With eight channels torch's own batch normalisation leaves most of a vector register empty besides; here rows of
pixels are taken together. Values and gradients are those of the layers one after the other, up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Affine", "convolved", "folds", "rectified"]

Affine = tuple[Tensor, Tensor]  # (C,) scale and (C,) shift that a grid is still to be given


def folds(layers: Iterable[nn.Module], images: Tensor) -> bool:
    """Whether ``images`` pass ``layers`` faster so: on a CPU, as written and not compiled, with a batch of this process alone.

    What compiles or exports a network reads its layers, and batch normalisation over ranks is a layer of its own.
    """
    norms = [layer for layer in layers if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    plain = all(type(norm) is nn.BatchNorm2d and norm.weight.dtype == torch.float32 for norm in norms)
    return images.device.type == "cpu" and plain and not torch.compiler.is_compiling()


def convolved(conv: nn.Conv2d, grid: Tensor, affine: Affine | None) -> tuple[Tensor, Tensor | None]:
    """``conv`` of the grid that ``affine`` makes of ``grid``, but for what every image is still to be given.

    Args:
        conv: 3×3, stride 1, padding 1, with a bias.
        grid: (N, C, H, W).
        affine: None: the grid as it is.

    Returns:
        (N, O, H, W), and (1, O, H, W) to add to it, or None.
    """
    if affine is None:
        return F.conv2d(grid, conv.weight, conv.bias, padding=1), None
    scale, shift = affine
    with torch.autocast(grid.device.type, enabled=False):
        shifts = shift.view(1, -1, 1, 1).expand(1, -1, *grid.shape[2:])
        offsets = F.conv2d(shifts, conv.weight, conv.bias, padding=1)
    out = F.conv2d(grid, conv.weight * scale.view(1, -1, 1, 1), padding=1)
    return out, offsets.to(out.dtype)


def rectified(grid: Tensor, offsets: Tensor | None, norm: nn.BatchNorm2d) -> tuple[Tensor, Affine]:
    """``max(0, grid + offsets)``, in the place of ``grid``, and what ``norm`` makes of it; its averages move in training.

    Args:
        grid: (N, C, H, W), which nothing else needs any more.
        offsets: as ``convolved`` gives them.
        norm: in training mode it takes the statistics of the batch.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    if norm.training:
        grid = grid.contiguous(memory_format=torch.channels_last)
        grid, mean, variance = _Rectified.apply(grid, offsets)  # type: ignore[no-untyped-call]
        count = grid.numel() // grid.shape[1]
        with torch.no_grad():
            norm.num_batches_tracked.add_(1)
            rate = norm.momentum if norm.momentum is not None else 1 / float(norm.num_batches_tracked)
            norm.running_mean.lerp_(mean, rate)
            norm.running_var.lerp_(variance * (count / max(count - 1, 1)), rate)
    else:
        grid = F.relu_(grid if offsets is None else grid.add_(offsets))
        mean, variance = norm.running_mean, norm.running_var
    scale = norm.weight * torch.rsqrt(variance + norm.eps)
    return grid, (scale, norm.bias - mean * scale)


def _rows(grid: Tensor) -> Tensor:
    """(N, C, H, W), channels last, as (N·H, W·C): a column is a channel at one place of its row."""
    return grid.permute(0, 2, 3, 1).flatten(2).flatten(0, 1)


class _Rectified(torch.autograd.Function):
    """(N, C, H, W) and offsets to ``max(0, grid + offsets)``, its mean (C,) and its variance (C,), divided by the count."""

    @staticmethod
    def forward(ctx: Any, grid: Tensor, offsets: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        F.relu_(grid if offsets is None else grid.add_(offsets))
        ctx.mark_dirty(grid)
        rows, channels = _rows(grid), grid.shape[1]
        unused = torch.zeros(rows.shape[1])
        means, variances = torch.batch_norm_update_stats(rows, unused, unused, 0.0)
        between, mean = torch.var_mean(means.view(-1, channels), dim=0, correction=0)
        ctx.save_for_backward(grid, mean)
        return grid, mean, variances.view(-1, channels).mean(dim=0) + between

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None]:
        of_grid, of_mean, of_variance = gradients
        grid, mean = ctx.saved_tensors
        n, channels, height, width = grid.shape
        count = n * height * width
        slope = of_variance * (2 / count)
        level = of_mean / count - mean * slope
        rows = _rows(grid)
        zeros, ones = torch.zeros(rows.shape[1]), torch.ones(rows.shape[1])
        # level + slope · r, the way of the gradient through the statistics: a normalisation with given numbers
        total, *_ = torch.native_batch_norm(
            rows, slope.repeat(width), level.repeat(width), zeros, ones, False, 0.0, 0.0
        )
        total.add_(_rows(of_grid.contiguous(memory_format=torch.channels_last)))
        torch.ops.aten.threshold_backward.grad_input(total, rows, 0, grad_input=total)
        gradient = total.view(n, height, width, channels).permute(0, 3, 1, 2)
        if not ctx.needs_input_grad[1]:
            return gradient, None
        # over the images in the order of memory: a twentieth of the time of gradient.sum(dim=0)
        of_offsets = total.view(n, -1).sum(dim=0).view(1, height, width, channels).permute(0, 3, 1, 2)
        return gradient, of_offsets
