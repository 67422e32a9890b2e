"""The only code of the losses that knows of ranks.

A loss of a global batch is a sum over rows. Each rank computes its own rows against the columns of all ranks, so
work and memory per rank fall with their number W. Three rules make the result equal one process on the concatenated
batch, in value on every rank and in every parameter's gradient after DDP has averaged:

- columns come from ``gather``, whose backward adds up what all ranks want of a row and hands it to its owner;
- the scalar goes through ``combine``: its value is the sum over ranks, its gradient W times the local part, because DDP
  divides by W;
- a statistic that all ranks use alike (a covariance) goes through ``all_sum``, whose backward is again a sum.

Batches may have different sizes on different ranks, 0 included. ``group=None`` means one process and costs nothing.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

Group = dist.ProcessGroup | None


def world_size(group: Group) -> int:
    """Number of ranks; 1 without a group."""
    return 1 if group is None else dist.get_world_size(group)


def _sizes(rows: int, device: torch.device, group: dist.ProcessGroup) -> list[int]:
    # Between the CPUs where the group can do that: reading a count from a GPU would wait for all that it has to do.
    between_cpus = "cpu:" in dist.get_backend_config(group)
    counts = torch.zeros(dist.get_world_size(group), dtype=torch.int64, device="cpu" if between_cpus else device)
    counts[dist.get_rank(group)] = rows
    dist.all_reduce(counts, group=group)
    sizes: list[int] = counts.tolist()
    return sizes


def _all_rows(x: Tensor, sizes: list[int], group: dist.ProcessGroup) -> Tensor:
    padded = x.new_zeros((max(sizes), *x.shape[1:]))
    padded[: x.shape[0]] = x
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded, group=group)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, sizes: list[int], group: dist.ProcessGroup) -> Tensor:
        ctx.group, ctx.rows = group, x.shape[0]
        ctx.start = sum(sizes[: dist.get_rank(group)])
        return _all_rows(x.detach(), sizes, group)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        total = grads[0].contiguous().clone()
        dist.all_reduce(total, group=ctx.group)
        return total[ctx.start : ctx.start + ctx.rows], None, None


def gather(x: Tensor, group: Group) -> tuple[Tensor, int]:
    """All rows of all ranks in rank order, and the place of this rank's first row. Carries gradients."""
    if group is None:
        return x, 0
    sizes = _sizes(x.shape[0], x.device, group)
    start = sum(sizes[: dist.get_rank(group)])
    if torch.is_grad_enabled() and x.requires_grad and x.is_floating_point():
        rows: Tensor = _Gather.apply(x, sizes, group)  # type: ignore[no-untyped-call]
        return rows, start
    return _all_rows(x.detach(), sizes, group), start


class _Combine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.world = dist.get_world_size(group)
        total = x.detach().clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return grads[0] * ctx.world, None


def combine(local: Tensor, group: Group) -> Tensor:
    """The sum over ranks of a part that each rank computed from its own rows; gradient W times the local one."""
    if group is None:
        return local
    total: Tensor = _Combine.apply(local, group)  # type: ignore[no-untyped-call]
    return total


class _AllSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        total = x.detach().clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        total = grads[0].contiguous().clone()
        dist.all_reduce(total, group=ctx.group)
        return total, None


def all_sum(x: Tensor, group: Group) -> Tensor:
    """The sum over ranks of a statistic from which every rank then computes the same loss."""
    if group is None:
        return x
    total: Tensor = _AllSum.apply(x, group)  # type: ignore[no-untyped-call]
    return total


def total_rows(rows: int, group: Group, device: torch.device) -> int:
    """How many rows the global batch has."""
    return rows if group is None else sum(_sizes(rows, device, group))


def all_max(x: Tensor, group: Group) -> Tensor:
    """The largest value of each column over the rows of all ranks, without gradient."""
    low = torch.finfo(x.dtype).min
    top = x.detach().amax(dim=0) if len(x) else x.new_full((x.shape[1],), low)
    if group is not None:
        dist.all_reduce(top, op=dist.ReduceOp.MAX, group=group)
    return top
