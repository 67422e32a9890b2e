"""Contract of every objective: it takes what real data brings, and goes on from its state with the same bits."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from test_objectives import CAPTIONS, attend, toy
from torch import Tensor

from likewise.data.draws import Draws
from likewise.errors import LossInputError
from likewise.models import EmbeddingModel, InputSpec, SmallCNNOptions, SmallTransformerOptions
from likewise.objectives import Batch, Objective, find_objective, objective_names

# The published widths are made for ImageNet.
SMALL: dict[str, dict[str, Any]] = {
    "moco_v2": {"queue": 64},
    "swav": {"prototypes": 12},
    "dino": {"outputs": 32, "hidden_width": 32, "bottleneck": 16},
    "colorization": {"grid": 20},
    "jigsaw": {"grid": 2, "permutations": 6, "jitter": 1},
    "metric": {"loss": {"name": "supcon"}},
}
NEED_COLOR = {"colorization"}
NEED_SQUARES = {"rotation"}
NEED_TWO = {"barlow_twins", "vicreg"}  # a variance of one image is none


def build(name: str, channels: int = 3, height: int = 13, width: int = 13) -> Objective:
    torch.manual_seed(0)
    chosen = find_objective(name)(**{"name": name} | SMALL.get(name, {}))
    spec = InputSpec(channels=channels, height=height, width=width, mean=(0.5,) * channels, std=(0.3,) * channels)
    text = SmallTransformerOptions(width=8, heads=2, layers=1).fitted(CAPTIONS) if chosen.needs_captions else None
    model = EmbeddingModel(
        SmallCNNOptions(widths=(4, 8, 16)),
        spec,
        embedding_dim=8,
        class_names="abc",
        class_scores=chosen.scores if chosen.scores != "embedding" else "linear",
        text_encoder=text,
    )
    return chosen.build(model)


def first_batch(objective: Objective, images: Tensor, labels: Tensor, seed: int = 0) -> tuple[Tensor, Batch]:
    attend(objective, labels, images)
    batch = next(iter(objective.epoch(labels, len(labels), torch.Generator().manual_seed(seed))))
    batch = batch._replace(draws=Draws(torch.Generator().manual_seed(seed)))
    return images[batch.indices], batch


def step(objective: Objective, images: Tensor, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
    loss = objective(images, batch)
    optimizer.zero_grad()
    loss.backward()
    objective.before_step()
    optimizer.step()
    objective.after_step(0.3)
    return loss.detach()


def optimizer_of(objective: Objective) -> torch.optim.Optimizer:
    return torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=1e-3)


@pytest.mark.parametrize("name", objective_names())
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 13, 13), (3, 13, 13), (3, 9, 15)])
def test_colours_and_odd_sizes(name: str, channels: int, height: int, width: int) -> None:
    if (name in NEED_COLOR and channels == 1) or (name in NEED_SQUARES and height != width):
        pytest.skip("cannot be done, and says so")
    objective = build(name, channels, height, width)
    images, labels = toy(9, channels, 15)
    images, batch = first_batch(objective, images[:, :, :height, :width], labels)
    loss = step(objective, images, batch, optimizer_of(objective))
    assert loss.shape == ()
    assert loss.isfinite()
    assert all(p.isfinite().all() for p in objective.parameters())


@pytest.mark.parametrize("name", objective_names())
def test_images_that_are_all_alike_give_numbers(name: str) -> None:
    """Black images have no contrast, no colour and no neighbours: nothing may divide by that."""
    objective = build(name)
    images, batch = first_batch(objective, torch.zeros(9, 3, 13, 13, dtype=torch.uint8), torch.arange(9) % 3)
    assert step(objective, images, batch, optimizer_of(objective)).isfinite()
    assert all(p.isfinite().all() for p in objective.parameters())
    with torch.no_grad():
        assert all(value.isfinite() for value in objective.eval().explain(images, batch).values())


@pytest.mark.parametrize("name", [n for n in objective_names() if not find_objective(n)(name=n).needs_labels])
def test_a_last_batch_of_one_can_be_looked_at(name: str) -> None:
    objective = build(name).eval()
    images, labels = toy(1, 3, 13)
    images, batch = first_batch(objective, images, labels)
    if name in NEED_TWO:
        with pytest.raises(LossInputError, match=r"1 row\(s\)"):  # for which the loop's look at validation waits
            objective.explain(images, batch)
        return
    with torch.no_grad():
        explained = objective.explain(images, batch)
    assert explained["loss"].shape == ()
    assert not any(value.isnan() for value in explained.values())


@pytest.mark.parametrize("name", objective_names())
def test_it_goes_on_from_its_state_with_the_same_bits(name: str) -> None:
    whole = build(name)
    images, labels = toy(12, 3, 13)
    optimizer = optimizer_of(whole)
    for seed in range(2):
        step(whole, *first_batch(whole, images, labels, seed), optimizer)
    resumed = build(name)
    resumed.load_state_dict(copy.deepcopy(whole.state_dict()))
    other = optimizer_of(resumed)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    losses = [
        step(each, *first_batch(each, images, labels, 2), its) for each, its in ((whole, optimizer), (resumed, other))
    ]
    assert torch.equal(*losses)
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key
