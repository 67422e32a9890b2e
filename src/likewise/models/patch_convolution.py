"""A 2D convolution that trains faster on the small grids at the end of a network, on processors that multiply bfloat16.

On a grid of 8×8 oneDNN finds the gradient of the weights at half of what a matrix product reaches, on one of 4×4 at a tenth.
But that gradient is a matrix product, of the patches that the kernel saw with the gradient of what it made of them. On the
smallest grids the forward pass and the gradient of the input are faster so as well. Everything else, and every other place,
is ``nn.Conv2d``: names of weights, initial values, results within rounding and exported graphs are the same.

`benchmarks/simclr_step.py` measures what a training step gains.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["Conv2d"]

# Positions of a result up to which products of patches were the faster ones, by the time of whole training steps.
SMALL_GRID = 64
TINY_GRID = 16

Pair = tuple[int, int]


class Conv2d(nn.Conv2d):
    """``nn.Conv2d`` that computes by products of patches in training where that is faster."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, H', W')."""
        if not self._pays(input):
            return super().forward(input)
        low = torch.bfloat16
        arguments = (input.to(low), self.weight.to(low), self.stride, self.padding)
        return cast(Tensor, _PatchConvolution.apply(*arguments))  # type: ignore[no-untyped-call]

    def _pays(self, grid: Tensor) -> bool:
        return (
            self.training
            and torch.is_grad_enabled()
            and not torch.compiler.is_compiling()
            and self.weight.requires_grad
            and len(grid) > 0
            and grid.device.type == "cpu"
            and _computes_in(grid) == torch.bfloat16
            and self.bias is None
            and self.groups == 1
            and self.dilation == (1, 1)
            and self.padding_mode == "zeros"
            and not isinstance(self.padding, str)
            and _positions(grid, self.kernel_size, self.stride, self.padding) <= SMALL_GRID
        )


class _PatchConvolution(torch.autograd.Function):
    """Convolution of (N, C, H, W) by (O, C, *kernel), both bfloat16."""

    @staticmethod
    def forward(ctx: Any, grid: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
        ctx.save_for_backward(grid, weight)
        ctx.stride, ctx.padding = stride, padding
        if _positions(grid, weight.shape[2:], stride, padding) <= TINY_GRID:
            return _by_patches(grid, weight, stride, padding)
        return F.conv2d(grid, weight, None, stride, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (grid, weight), stride, padding = ctx.saved_tensors, ctx.stride, ctx.padding
        kernel = (weight.shape[2], weight.shape[3])
        of_grid = of_weight = None
        if ctx.needs_input_grad[0]:
            if stride == (1, 1) and gradient.shape[2:].numel() <= TINY_GRID:
                # A convolution again: by the kernel turned by half a circle, its channels the other way round.
                around = (kernel[0] - 1 - padding[0], kernel[1] - 1 - padding[1])
                of_grid = _by_patches(gradient, weight.flip(2, 3).transpose(0, 1), (1, 1), around)
            else:
                common = (None, stride, padding, (1, 1), False, (0, 0), 1)
                of_grid = torch.ops.aten.convolution_backward(gradient, grid, weight, *common, (True, False, False))[0]
        if ctx.needs_input_grad[1]:
            rows = _patches(grid, kernel, stride, padding)
            product = gradient.permute(0, 2, 3, 1).reshape(len(rows), -1).T @ rows
            of_weight = product.view(len(weight), *kernel, -1).permute(0, 3, 1, 2)
        return of_grid, of_weight, None, None


def _by_patches(grid: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """The convolution as one product, its result with the channels last."""
    kernel = (weight.shape[2], weight.shape[3])
    height, width = _size(grid, kernel, stride, padding)
    product = _patches(grid, kernel, stride, padding) @ weight.permute(0, 2, 3, 1).reshape(len(weight), -1).T
    return product.view(len(grid), height, width, -1).permute(0, 3, 1, 2)


def _patches(grid: Tensor, kernel: Pair, stride: Pair, padding: Pair) -> Tensor:
    """(N · H' · W', kernel · C): what the kernel sees at each position of ``grid`` (N, C, H, W)."""
    (down, right), last = padding, grid.permute(0, 2, 3, 1)
    padded = F.pad(last, (0, 0, right, right, down, down)) if down or right else last
    seen = padded.unfold(1, kernel[0], stride[0]).unfold(2, kernel[1], stride[1])  # (N, H', W', C, kernel)
    return seen.permute(0, 1, 2, 4, 5, 3).reshape(seen.shape[:3].numel(), -1)


def _size(grid: Tensor, kernel: Pair, stride: Pair, padding: Pair) -> Pair:
    height, width = ((grid.shape[2 + i] + 2 * padding[i] - kernel[i]) // stride[i] + 1 for i in (0, 1))
    return height, width


def _positions(grid: Tensor, kernel: Any, stride: Any, padding: Any) -> int:
    height, width = _size(grid, kernel, stride, padding)
    return height * width


def _computes_in(grid: Tensor) -> torch.dtype:
    """Type of numbers in which a convolution of ``grid`` is computed here."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else grid.dtype
