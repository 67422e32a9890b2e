"""The metric objective: every loss of labelled embeddings by name, with the batches of a sampler."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from likewise import losses
from likewise.data.draws import Draws
from likewise.errors import DatasetError, LossInputError, RecipeError
from likewise.models import EmbeddingModel, InputSpec, SmallCNNOptions
from likewise.objectives import Metric, MetricOptions, label_losses
from likewise.recipe import TrainingOptions
from likewise.training.optimizers import build_optimizer

NAMES = ("ant", "bee", "cat", "dog")


def build(**options: Any) -> Metric:
    torch.manual_seed(0)
    spec = InputSpec(channels=1, height=8, width=8, mean=(0.5,), std=(0.3,))
    model = EmbeddingModel(SmallCNNOptions(widths=(4, 8, 8)), spec, embedding_dim=4, class_names=NAMES)
    return MetricOptions(**options).build(model)


def toy(count: int = 80) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.arange(count) % 4
    noise = torch.randint(0, 60, (count, 1, 8, 8), generator=torch.Generator().manual_seed(1))
    return (noise + 60 * labels[:, None, None, None]).clamp(0, 255).to(torch.uint8), labels


def batches(objective: Metric, labels: torch.Tensor, batch_size: int, seed: int = 0) -> list[torch.Tensor]:
    return [batch.indices for batch in objective.epoch(labels, batch_size, torch.Generator().manual_seed(seed))]


@pytest.mark.parametrize("name", sorted(label_losses()))
def test_every_loss_of_labels_trains_by_name(name: str) -> None:
    objective = build(loss=name)
    images, labels = toy()
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.01)
    values = []
    for epoch in range(6):
        total = 0.0
        for batch in objective.epoch(labels, 20, torch.Generator().manual_seed(epoch)):
            loss = objective(images[batch.indices], batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        values.append(total)
    assert values[-1] < values[0]


def test_the_loss_is_the_librarys_with_the_options_given() -> None:
    objective = build(loss={"name": "triplet_loss", "margin": 0.7, "mining": "hard"}).eval()
    images, labels = toy(20)
    [batch] = objective.epoch(labels, 20, torch.Generator().manual_seed(0))
    embeddings = objective.model(images[batch.indices])
    expected = losses.triplet_loss(embeddings, batch.labels, margin=0.7, mining="hard")
    assert objective(images[batch.indices], batch).item() == expected.item()


def test_proxies_belong_to_the_objective_and_not_to_the_model() -> None:
    objective = build(loss={"name": "soft_triple", "centers": 3}, loss_learning_rate=100)
    optimizer = build_optimizer(TrainingOptions(), objective)
    factors = {id(p): group["lr_factor"] for group in optimizer.param_groups for p in group["params"]}
    assert factors.pop(id(objective.loss.proxies)) == 100
    assert set(factors.values()) == {1.0}
    assert objective.loss.proxies.shape == (4 * 3, 4)
    assert not [name for name in objective.model.state_dict() if "prox" in name]


def test_a_wrong_option_is_named_before_there_is_a_model() -> None:
    with pytest.raises(ValueError, match=r"margin is -1.*Expected a finite number, 0 or above"):
        MetricOptions(loss={"name": "triplet", "margin": -1})  # type: ignore[arg-type]


def test_reading_a_recipe_draws_nothing_from_the_global_generator() -> None:
    state = torch.get_rng_state()
    MetricOptions(loss="proxy_anchor")  # type: ignore[arg-type]
    assert torch.equal(torch.get_rng_state(), state)


def test_classes_times_images_fill_the_batch_size() -> None:
    _, labels = toy()
    for indices in batches(build(sampler={"name": "classes", "images_per_class": 5}), labels, 15):
        assert labels[indices].unique(return_counts=True)[1].tolist() == [5, 5, 5]


def test_a_hierarchical_batch_takes_its_super_classes_from_the_recipe() -> None:
    _, labels = toy()
    sampler = {
        "name": "hierarchical",
        "super_classes": {"insects": ["ant", "bee"], "pets": ["dog", "cat"]},
        "super_classes_per_batch": 1,
        "images_per_class": 4,
    }
    for indices in batches(build(sampler=sampler), labels, 8):
        assert sorted(labels[indices].unique().tolist()) in ([0, 1], [2, 3])


def test_balanced_and_distinct_batches() -> None:
    labels = torch.tensor([0] * 60 + [1] * 10 + [2] * 5 + [3] * 5)
    drawn = torch.cat(batches(build(sampler="balanced"), labels, 20))
    assert torch.bincount(labels[drawn]).tolist() == [20, 20, 20, 20]
    for indices in batches(build(loss="arcface", sampler="distinct"), toy()[1], 4):
        assert sorted(toy()[1][indices].tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("sampler", "batch_size", "message"),
    [
        ({"name": "classes", "images_per_class": 5}, 32, r"batch_size is 32.*multiple of 5.*batch_size=30"),
        ({"name": "classes", "images_per_class": 4}, 32, r"are 8 classes.*at most 4.*images_per_class to 8"),
        ({"name": "distinct"}, 32, r"32 different ids.*Expected 1 to 4"),
        ({"name": "hierarchical", "super_classes": {"pets": ["cat", "dog"]}}, 32, r"2 of 4 classes.*ant, bee"),
    ],
)
def test_batches_that_cannot_be_drawn_are_an_error_in_training_and_a_shuffle_in_validation(
    sampler: dict[str, Any], batch_size: int, message: str
) -> None:
    objective = build(sampler=sampler)
    _, labels = toy()
    with pytest.raises((RecipeError, DatasetError), match=message):
        batches(objective, labels, batch_size)
    assert [len(indices) for indices in batches(objective.eval(), labels, batch_size)] == [32, 32]


def test_a_batch_without_a_positive_pair_is_the_losses_own_error() -> None:
    objective = build(loss="supcon")
    images, labels = toy(4)
    [batch] = objective.epoch(labels, 4, torch.Generator().manual_seed(0))
    with pytest.raises(LossInputError, match=r"no positive pair.*P × K"):
        objective(images[batch.indices], batch)


FITTING = [
    (loss, miner.name)
    for loss, row in label_losses().items()
    for miner in losses.MINERS
    if row.tuples == "pairs" or (row.tuples and row.tuples == miner.gives)
]


@pytest.mark.parametrize(("loss", "miner"), FITTING)
def test_a_loss_that_takes_tuples_trains_on_what_a_miner_finds(loss: str, miner: str) -> None:
    objective = build(
        loss={"name": loss} | ({"form": "triplet", "alpha": 5.0} if loss == "angular" else {}), miner=miner
    )
    _, labels = toy(20)
    images = torch.randint(0, 256, (20, 1, 8, 8), generator=torch.Generator().manual_seed(2)).to(torch.uint8)
    [batch] = objective.epoch(labels, 20, torch.Generator().manual_seed(0))
    value = objective(images[batch.indices], batch)
    value.backward()
    assert value > 0
    assert any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in objective.parameters())


def test_the_miners_options_count() -> None:
    objective = build(loss={"name": "triplet", "margin": 0.3}, miner={"name": "hard", "distance": "euclidean"}).eval()
    images, labels = toy(20)
    [batch] = objective.epoch(labels, 20, torch.Generator().manual_seed(0))
    expected = losses.triplet_loss(objective.model(images[batch.indices]), batch.labels, margin=0.3, mining="hard")
    assert objective(images[batch.indices], batch).item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_miner_that_draws_takes_the_steps_own_generator() -> None:
    objective = build(loss={"name": "margin", "margin": 0.2}, miner="distance_weighted").eval()
    images, labels = toy(40)
    [batch] = objective.epoch(labels, 40, torch.Generator().manual_seed(0))

    def value(seed: int) -> float:
        draws = Draws(torch.Generator().manual_seed(seed))
        return float(objective(images[batch.indices], batch._replace(draws=draws)).detach())

    assert value(1) == value(1)
    assert value(1) != value(2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "supcon", "miner": "hard"}, r"supcon takes no triplets.*triplet.*miner=null"),
        ({"loss": "triplet", "miner": "multi_similarity"}, r"triplet takes no pairs.*contrastive"),
        ({"loss": "triplet", "miner": "hadr"}, r"'hadr' is no miner.*semihard.*Did you mean 'hard'"),
        ({"loss": "triplet", "miner": {"name": "hard", "margin": 1}}, r"unknown option 'margin'.*distance"),
        ({"loss": "triplet", "miner": {"name": "hard", "distance": "far"}}, r"'far'.*euclidean"),
        ({"loss": "pml:TripletMarginLoss", "miner": "hard"}, r"takes no triplets"),
    ],
)
def test_a_miner_that_does_not_fit_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MetricOptions(**options)


@pytest.mark.parametrize("miner", [None, "multi_similarity"])
def test_a_memory_is_earlier_batches_as_further_columns(miner: str | None) -> None:
    loss = {"name": "multi_similarity", "alpha": 3.0}
    objective = build(loss=loss, miner=miner, memory=30)
    images, labels = toy(60)
    kept = (torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    for batch in objective.epoch(labels, 20, torch.Generator().manual_seed(0)):
        embeddings = objective.model(images[batch.indices])
        memory = {"memory": kept} if len(kept[0]) else {}
        found = {} if miner is None else {"tuples": losses.find_miner(miner)(embeddings, batch.labels, **memory)}
        expected = losses.multi_similarity_loss(embeddings, batch.labels, alpha=3.0, **memory, **found)
        assert objective(images[batch.indices], batch).item() == pytest.approx(expected.item(), rel=1e-5)
        kept = (
            torch.cat([kept[0], embeddings.detach()])[-30:],
            torch.cat([kept[1], batch.labels])[-30:],
        )
    again = build(loss=loss, miner=miner, memory=30)
    again.load_state_dict(objective.state_dict())
    assert again(images[:20], batch).item() == objective(images[:20], batch).item()
    assert not [name for name in objective.model.state_dict() if "loss" in name]


def test_validation_sees_the_batch_alone() -> None:
    objective = build(loss="supcon", memory=40)
    images, labels = toy(40)
    [batch] = objective.epoch(labels, 40, torch.Generator().manual_seed(0))
    objective(images[batch.indices], batch)
    objective.eval()
    alone = losses.supcon_loss(objective.model(images[batch.indices]), batch.labels)
    for _ in range(2):
        assert objective(images[batch.indices], batch).item() == alone.item()


@pytest.mark.parametrize("loss", ["arcface", "pml:TripletMarginLoss"])
def test_a_loss_that_compares_with_no_images_takes_no_memory(loss: str) -> None:
    with pytest.raises(ValueError, match=rf"{loss} compares with nothing.*supcon.*memory=null"):
        MetricOptions(loss=loss, memory=100)  # type: ignore[arg-type]
