"""Batch normalisation over ranks is that of one process on the whole batch: values, gradients, running averages."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from likewise.models.synchronized_batch_norm import synchronize_batch_norm
from rank_pool import RankPool

LAYERS = {
    "2d": lambda: nn.BatchNorm2d(3),
    "2d without weights": lambda: nn.BatchNorm2d(3, affine=False),
    "2d cumulative": lambda: nn.BatchNorm2d(3, momentum=None),
    "1d": lambda: nn.BatchNorm1d(3, eps=1e-3, momentum=0.3),
    "1d without averages": lambda: nn.BatchNorm1d(3, track_running_stats=False),
}


def network(kind: str) -> nn.Sequential:
    torch.manual_seed(0)
    first = nn.Conv2d(2, 3, 3) if "2d" in kind else nn.Linear(8, 3)
    module = nn.Sequential(first, LAYERS[kind](), nn.Tanh()).double()
    with torch.no_grad():
        for parameter in module[1].parameters():
            parameter.add_(torch.rand(3).double())
    return module


def inputs(kind: str) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(1)
    shape = (7, 2, 5, 4) if "2d" in kind else (7, 8)
    x = torch.randn(shape, generator=draws).double() * 3 + 5
    rows = torch.randn(7, 3, 3, 2, generator=draws) if "2d" in kind else torch.randn(7, 3, generator=draws)
    return x, rows.double()


def outcome(module: nn.Sequential, x: Tensor, weights: Tensor, factor: float = 1.0) -> dict[str, Tensor]:
    x = x.clone().requires_grad_()
    for _ in range(2):
        module.zero_grad()
        y = module(x)
        loss = (y * weights).sum() * factor
        (gradient,) = torch.autograd.grad(loss, [x], retain_graph=True)
        loss.backward()
    found = {"y": y.detach(), "x": gradient / factor}
    found |= {f"grad {name}": p.grad for name, p in module.named_parameters() if p.grad is not None}
    found |= {name: buffer.clone().double() for name, buffer in module.named_buffers()}
    return found | {"evaluated": module.eval()(x.detach()).detach()}


class AsCudaAsks(TorchDispatchMode):
    """The CPU's kernel does without a weight and what a forward pass saves; that of CUDA ends or gives nothing."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.native_batch_norm_backward.default:
            _, _, weight, _, _, mean, deviation, *_ = args
            assert None not in (weight, mean, deviation)
            assert mean.shape == deviation.shape == weight.shape
        return func(*args, **(kwargs or {}))


def on_a_rank(kind: str, sizes: tuple[int, int]) -> dict[str, Tensor]:
    rank = dist.get_rank()
    module = network(kind)
    synchronize_batch_norm(module, dist.group.WORLD)
    x, weights = (tensor.split(list(sizes))[rank] for tensor in inputs(kind))
    with AsCudaAsks():
        found = outcome(module, x, weights, factor=2.0)
    for name in [name for name in found if name.startswith("grad ")]:
        dist.all_reduce(found[name])
        found[name] /= 2  # as DistributedDataParallel does
    return found


@pytest.mark.parametrize("sizes", [(4, 3), (6, 1)])
@pytest.mark.parametrize("kind", LAYERS)
def test_it_is_the_batch_norm_of_the_whole_batch(kind: str, sizes: tuple[int, int], two_ranks: RankPool) -> None:
    whole = outcome(network(kind), *inputs(kind))
    parts = two_ranks.run(on_a_rank, kind, sizes)
    for name, expected in whole.items():
        if name in ("y", "x") or (name == "evaluated" and "without averages" not in kind):
            together = torch.cat([part[name] for part in parts])
            torch.testing.assert_close(together, expected, rtol=1e-9, atol=1e-12, msg=name)
        elif name != "evaluated":
            for part in parts:
                torch.testing.assert_close(part[name], expected, rtol=1e-9, atol=1e-12, msg=name)


def test_names_of_the_state_stay(two_ranks: RankPool) -> None:
    for names, changed_names, shared in two_ranks.run(states):
        assert changed_names == names
        assert shared


def states() -> tuple[list[str], list[str], bool]:
    plain, changed = network("2d"), network("2d")
    weight = changed[1].weight
    synchronize_batch_norm(changed, dist.group.WORLD)
    changed.load_state_dict(plain.state_dict())
    return list(plain.state_dict()), list(changed.state_dict()), changed[1].weight is weight
