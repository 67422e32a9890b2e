"""Contract of every objective: on two ranks its loss and gradients are those of one process on the whole batch."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
import torch
import torch.distributed as dist
from test_objectives import attend, build, toy
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from likewise.data.draws import Draws
from likewise.errors import TrainingError
from likewise.models import synchronize_batch_norm
from likewise.objectives import objective_names
from rank_pool import RankPool

BATCH = 21  # 10 and 11 images
STEPS = 3
Outcome = tuple[list[float], dict[str, Tensor]]


def outcome(name: str, options: dict[str, Any], ranks: int) -> Outcome:
    """Losses of some steps, and the last gradients and state, in float64 throughout."""
    with mock.patch.object(Tensor, "float", Tensor.double):
        return _outcome(name, options, ranks)


def _outcome(name: str, options: dict[str, Any], ranks: int) -> Outcome:
    objective = build(name, 3, 13, **options).double().train()
    module: torch.nn.Module = objective
    rank = 0
    if ranks > 1:
        rank = dist.get_rank()
        objective.spread(dist.group.WORLD)
        if not objective.normalizes_apart:
            synchronize_batch_norm(objective, dist.group.WORLD)
        module = DistributedDataParallel(objective, broadcast_buffers=False)
    images, labels = toy(70, 3, 13)
    optimizer = torch.optim.SGD([p for p in objective.parameters() if p.requires_grad], lr=0.01)
    losses: list[float] = []
    attend(objective, labels, images)
    plan = objective.epoch(labels, BATCH, torch.Generator().manual_seed(0))
    for step, whole in zip(range(STEPS), plan, strict=False):
        batch = whole.part(rank, ranks)
        batch = batch._replace(draws=Draws(torch.Generator().manual_seed(step), batch.rows, total=batch.total))
        optimizer.zero_grad()
        loss = objective.of_whole_batch(module(images[batch.indices], batch), batch)
        loss.backward()
        objective.before_step()
        optimizer.step()
        objective.after_step((step + 1) / STEPS)
        losses.append(loss.item())
    state = {f"grad {n}": p.grad for n, p in objective.named_parameters() if p.grad is not None}
    return losses, state | {n: value.clone() for n, value in objective.state_dict().items()}


SMALL: dict[str, dict[str, Any]] = {
    "moco_v2": {"queue": 64, "batch_splits": 4},
    "swav": {"prototypes": 12, "freeze_prototypes": 0.5},
    "dino": {"outputs": 32, "hidden_width": 32, "bottleneck": 16, "freeze_last": 0.5},
}
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("cross_entropy", {"label_smoothing": 0.1}),
    ("moco_v2", {"queue": 64, "batch_splits": 1}),
    ("swav", {"prototypes": 12, "freeze_prototypes": 0.5, "queue": 30, "queue_from": 0.0}),
    ("clip", {"loss": "sigmoid", "temperature": 0.1}),
    ("clip", {"loss": "soft_targets", "temperature": 1.0}),
    ("metric", {"loss": {"name": "arcface"}}),
    ("metric", {"loss": {"name": "supcon"}, "sampler": {"name": "classes", "images_per_class": 7}}),
    ("metric", {"loss": {"name": "margin"}, "miner": {"name": "distance_weighted"}, "memory": 30}),
]


@pytest.mark.parametrize(
    ("name", "options"), [(name, SMALL.get(name, {})) for name in objective_names()] + OTHERS, ids=str
)
def test_two_ranks_are_one_process(name: str, options: dict[str, Any], two_ranks: RankPool) -> None:
    if build(name, 3, 13, **options).across_ranks is None:
        pytest.skip("trains on one rank only, and says so")
    losses, state = outcome(name, options, 1)
    for losses_there, state_there in two_ranks.run(outcome, name, options, 2):
        assert losses_there == pytest.approx(losses, rel=1e-9)
        assert state_there.keys() == state.keys()
        for key, expected in state.items():
            torch.testing.assert_close(state_there[key], expected, rtol=1e-7, atol=1e-10, msg=key)


def test_parts_that_ranks_cannot_share_whole_are_refused(two_ranks: RankPool) -> None:
    with pytest.raises(TrainingError, match=r"21 images that is normalised in 3 parts cannot be shared by 2 ranks"):
        two_ranks.run(outcome, "moco_v2", {"queue": 64, "batch_splits": 3}, 2)
