"""Training steps that a rank takes under DistributedDataParallel, for tests that compare them with one process.

Every function returns plain tensors. ``shares`` are the rows of each rank.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from likewise import losses


class Model(nn.Module):
    """A small encoder with dropout on request, and a proxy per class that a loss may use."""

    def __init__(self, dropout: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.body = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Dropout(dropout), nn.Linear(6, 4)).double()
            self.proxies = nn.Parameter(torch.randn(3, 4, dtype=torch.float64))
        self.most_rows = 0

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings; notes how many rows were there at once with a graph."""
        if torch.is_grad_enabled():
            self.most_rows = max(self.most_rows, len(x))
        return self.body(x)


def gradients(model: nn.Module) -> list[Tensor]:
    """One gradient per parameter."""
    return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in model.parameters()]


def make_loss(kind: str, model: Model, group: Any = None) -> Any:
    """A loss that pairs rows, with proxies of the model's own where ``kind`` says so."""
    if kind == "memory":
        return losses.CrossBatchMemory(losses.MultiSimilarityLoss(), 9, 4, group=group).double()
    if kind == "proxies":
        return lambda x, y: (
            losses.supcon_loss(x, y, group=group) + losses.proxy_anchor_loss(x, y, model.proxies, group=group)
        )
    return lambda x, y: losses.supcon_loss(x, y, group=group) + 0 * model.proxies.sum()


def cached_steps(
    rank: int, group: Any, *, kind: str, batches: list[list[tuple[Tensor, Tensor]]], chunk_size: int
) -> tuple[list[Tensor], list[list[Tensor]], int]:
    """GradCache under DDP over several batches: values, gradients, and how often gradients were averaged."""
    model = Model()
    parallel = DistributedDataParallel(model, process_group=group, find_unused_parameters=kind == "memory")
    calls = 0

    def averaged(_, bucket):  # type: ignore[no-untyped-def]  # DDP compares annotations with types, and here they are text
        nonlocal calls
        calls += 1
        whole = bucket.buffer() / dist.get_world_size(group)
        work = dist.all_reduce(whole, group=group, async_op=True)
        return work.get_future().then(lambda done: done.value()[0])

    parallel.register_comm_hook(None, averaged)
    cache = losses.GradCache(make_loss(kind, model, group), chunk_size=chunk_size)
    values, grads = [], []
    for shares in batches:
        x, labels = shares[rank]
        model.zero_grad()
        values.append(cache.backward([(parallel, x)], labels))
        grads.append(gradients(model))
    assert model.most_rows <= chunk_size
    return values, grads, calls


def memory_steps(
    rank: int, group: Any, *, loss: str, options: dict[str, Any], size: int, batches: list[list[tuple[Tensor, Tensor]]]
) -> list[tuple[Tensor, list[Tensor], Tensor, Tensor]]:
    """Steps with a cross-batch memory under DDP: value, gradients, and the memory after it."""
    model = Model()
    parallel = DistributedDataParallel(model, process_group=group, find_unused_parameters=True)
    function = getattr(losses, loss)
    remember = losses.CrossBatchMemory(lambda *a, **o: function(*a, **options, **o), size, 4, group=group).double()
    answers = []
    for shares in batches:
        x, labels = shares[rank]
        model.zero_grad()
        value = remember(parallel(x), labels)
        value.backward()
        answers.append((value.detach(), gradients(model), remember.embeddings.clone(), remember.labels.clone()))
    return answers
