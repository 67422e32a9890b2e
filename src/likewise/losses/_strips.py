"""Losses whose rows need all their columns at once (sorting, ranks, histograms): strips of B rows × M columns.

``fn`` is plain differentiable torch on one strip. Its sum over strips is taken with the gradient of each strip computed
right after its value, so that one strip and its intermediate results are all that is ever in memory: a strip has at
most 2^19 entries on a CPU (2 MiB), B = 64 at M = 8,192. A statistic that a loss then goes on with (a histogram) is a vector;
its strips are computed again backward.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from likewise.losses._checks import sum_dtype

STRIP_ENTRIES = 1 << 19
StripFunction = Callable[..., Tensor]


def strip_entries(device: torch.device, entries: int = STRIP_ENTRIES) -> int:
    """How many numbers a strip has: what a processor's cache holds; sixteen times that on a GPU, which less leaves idle."""
    return entries if device.type == "cpu" else entries << 4


def row_strips(rows: int, columns: int, tile_size: int | None, entries: int) -> list[slice]:
    """Runs of rows so that one against all columns has at most so many entries; or of ``tile_size`` rows."""
    step = tile_size or max(1, entries // max(columns, 1))
    return [slice(i, min(i + step, rows)) for i in range(0, rows, step)]


class _Strips(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, fn: StripFunction, strips: list[slice], scalar: bool, *inputs: Tensor) -> Tensor:
        rows, others = inputs[0].detach(), [x.detach() for x in inputs[1:]]
        wanted = [x.requires_grad for x in inputs]
        at_once = scalar and any(wanted)
        ctx.fn, ctx.strips, ctx.scalar, ctx.wanted = fn, strips, scalar, wanted
        if not scalar:
            ctx.save_for_backward(rows, *others)
        total: Tensor | None = None
        grads = [torch.zeros_like(x) if at_once and w else None for x, w in zip(inputs, wanted, strict=True)]
        for strip in strips:
            if at_once:
                value = _value_and_add(fn, strip, rows, others, wanted, grads, None)
            else:
                with torch.no_grad():
                    value = fn(strip, rows[strip], *others)
            total = value.to(sum_dtype(value.device)) if total is None else total + value
        ctx.grads = grads
        return rows.new_zeros(()) if total is None else total.to(rows.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outs: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.scalar:
            return None, None, None, *(None if g is None else g * outs[0] for g in ctx.grads)
        rows, *others = ctx.saved_tensors
        inputs = [rows, *others]
        grads = [torch.zeros_like(x) if w else None for x, w in zip(inputs, ctx.wanted, strict=True)]
        for strip in ctx.strips:
            _value_and_add(ctx.fn, strip, rows, others, ctx.wanted, grads, outs[0])
        return None, None, None, *grads


def _value_and_add(
    fn: StripFunction,
    strip: slice,
    rows: Tensor,
    others: list[Tensor],
    wanted: list[bool],
    grads: list[Tensor | None],
    out: Tensor | None,
) -> Tensor:
    with torch.enable_grad():
        leaves = [x.detach().requires_grad_(w) for x, w in zip([rows[strip], *others], wanted, strict=True)]
        value = fn(strip, *leaves)
        if value.requires_grad:
            asked = [leaf for leaf in leaves if leaf.requires_grad]
            found = iter(torch.autograd.grad(value, asked, grad_outputs=out, allow_unused=True))
            for number, leaf in enumerate(leaves):
                grad = next(found) if leaf.requires_grad else None
                total = grads[number]
                if grad is not None and total is not None:
                    (total[strip] if number == 0 else total).add_(grad)
    return value.detach()


def strip_sum(
    fn: StripFunction, rows: Tensor, *others: Tensor, columns: int, tile_size: int | None = None, scalar: bool = True
) -> Tensor:
    """Sum over strips of ``fn(strip, rows[strip], *others)``, differentiable in ``rows`` and ``others``.

    ``columns`` is the width that sets how many rows a strip has; ``tile_size`` sets their number itself.
    """
    strips = row_strips(len(rows), columns, tile_size, strip_entries(rows.device))
    total: Tensor = _Strips.apply(fn, strips, scalar, rows, *others)  # type: ignore[no-untyped-call]
    return total


def squared_distances(x_BD: Tensor, y_MD: Tensor) -> Tensor:
    """||x - y||² for all pairs, never below 0."""
    xx, yy = x_BD.pow(2).sum(dim=1, keepdim=True), y_MD.pow(2).sum(dim=1)
    return torch.addmm(xx + yy, x_BD, y_MD.T, alpha=-2).clamp_min(0)


def euclidean(squared: Tensor) -> Tensor:
    """The square root with slope 0 at 0."""
    apart = squared > 0
    return torch.where(apart, torch.where(apart, squared, 1).sqrt(), 0)
