"""Rows at length 1, and the look at their values that comes with their lengths."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from likewise.losses._checks import check_finite, may_look
from likewise.losses._space import row_parts


def _inverse_norms(x: Tensor, names: tuple[str, ...]) -> Tensor:
    """(N, 1), 0 for a row of zeros."""
    norm: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    if may_look(x) and len(x):
        # a row that is not finite has such a length: one look answers for the values and for the range of their squares
        low, high = torch.aminmax(norm)
        if float(low) > 1e-12 and float(high) < 1e12:
            return norm.reciprocal_()
        for place, name in enumerate(names):
            check_finite(name, x[place :: len(names)])
    # scaled by the largest entry first, so that squares neither overflow nor vanish
    largest = x.abs().amax(dim=1, keepdim=True)
    usable = torch.where(largest > 0, largest, 1)
    norm = torch.linalg.vector_norm(x / usable, dim=1, keepdim=True) * usable
    return torch.where(largest > 0, torch.where(largest > 0, norm, 1).reciprocal(), 0)


class _Unit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, names: tuple[str, ...]) -> Tensor:
        inverse = _inverse_norms(x.detach(), names)
        out = x.detach() * inverse
        ctx.save_for_backward(out, inverse)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        u, inverse = ctx.saved_tensors
        out = torch.empty_like(u)
        for part in row_parts(u):
            rows, grad = u[part], grads[0][part]
            along = (rows * grad).sum(dim=1, keepdim=True)
            torch.addcmul(grad, rows, along, value=-1, out=out[part]).mul_(inverse[part])
        return out, None


def unit(x: Tensor, *names: str) -> Tensor:
    """Rows at length 1. A row of zeros stays zero and gets no gradient.

    ``names``: what the caller called the rows, if nobody has looked at their values yet; several take turns.

    Raises:
        LossInputError: a value of a named input is not finite (on the CPU).
    """
    u: Tensor = _Unit.apply(x, names)  # type: ignore[no-untyped-call]
    return u
