"""Contract of every objective: batches cover the data, the loss is finite, falls, and is the loss of its equation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from likewise.data import ImageDataset
from likewise.errors import RecipeError
from likewise.models import EmbeddingModel, InputSpec, SmallCNNOptions, SmallTransformerOptions
from likewise.objectives import Objective, find_objective, objective_names

CAPTIONS = ("a red apple", "two green birds", "the blue car")


def build(name: str, channels: int = 1, side: int = 12, **options: object) -> Objective:
    torch.manual_seed(0)
    chosen = find_objective(name)(**options)  # type: ignore[arg-type]
    spec = InputSpec(channels=channels, height=side, width=side, mean=(0.5,) * channels, std=(0.3,) * channels)
    text = SmallTransformerOptions(width=8, heads=2, layers=1).fitted(CAPTIONS) if chosen.needs_captions else None
    model = EmbeddingModel(
        SmallCNNOptions(widths=(4, 8, 16)),
        spec,
        embedding_dim=3,
        class_names="abc",
        class_scores=chosen.scores,
        text_encoder=text,
    )
    return chosen.build(model)


def attend(objective: Objective, labels: torch.Tensor, images: torch.Tensor | None = None) -> None:
    """Let the objective see the data set, each image captioned by its class."""
    pixels = torch.arange(len(labels)).view(-1, 1, 1, 1).byte() if images is None else images
    captions = tuple((CAPTIONS[label],) for label in labels.tolist())
    ids = tuple(str(position) for position in range(len(labels)))
    objective.attend(ImageDataset("toy", "train", pixels, labels, tuple("abc"), captions, ids, "0" * 64, "by hand"))


def toy(count: int, channels: int, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(1)
    labels = torch.arange(count) % 3
    noise = torch.randint(0, 60, (count, channels, side, side), generator=draws)
    return (noise + 80 * labels[:, None, None, None]).clamp(0, 255).to(torch.uint8), labels


# those that draw views see other images each time; test_view_objectives.py holds their views still
LEARN_FROM_LABELS = [
    name
    for name in objective_names()
    if (options := find_objective(name)(name=name)).needs_labels and not options.sees_images
]


@pytest.mark.parametrize("name", LEARN_FROM_LABELS)
@pytest.mark.parametrize(("channels", "side"), [(1, 12), (3, 13)])
def test_the_loss_falls(name: str, channels: int, side: int) -> None:
    objective = build(name, channels, side)
    images, labels = toy(60, channels, side)
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.02)
    losses = []
    for epoch in range(8):
        total = 0.0
        for batch in objective.epoch(labels, 20, torch.Generator().manual_seed(epoch)):
            loss = objective(images[batch.indices], batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total)
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("name", objective_names())
def test_an_epoch_is_reproducible_and_visits_each_image_once(name: str) -> None:
    objective = build(name, 3)
    labels = torch.arange(47) % 3
    attend(objective, labels)
    first, again, other = (list(objective.epoch(labels, 10, torch.Generator().manual_seed(seed))) for seed in (5, 5, 6))
    assert len(first) == 4
    assert all(torch.equal(a.indices, b.indices) for a, b in zip(first, again, strict=True))
    assert any(not torch.equal(a.indices, b.indices) for a, b in zip(first, other, strict=True))
    seen = torch.cat([batch.indices[:10] for batch in first])
    assert len(seen.unique()) == 40
    for batch in first:
        assert torch.equal(batch.labels, labels[batch.indices])


@pytest.mark.parametrize("name", objective_names())
def test_a_set_smaller_than_a_batch_is_one_batch(name: str) -> None:
    objective = build(name, 3)
    images, labels = toy(5, 3, 12)
    attend(objective, labels, images)
    [batch] = objective.epoch(labels, 64, torch.Generator().manual_seed(0))
    loss = objective(images[batch.indices], batch)
    assert loss.shape == ()
    assert torch.isfinite(loss)


def test_cross_entropy_is_cross_entropy() -> None:
    objective = build("cross_entropy", label_smoothing=0.1)
    images, labels = toy(20, 1, 12)
    [batch] = objective.epoch(labels, 20, torch.Generator().manual_seed(0))
    objective.eval()
    scores = objective.model.classify(objective.model(images[batch.indices]))
    plain = -scores.log_softmax(dim=1)[torch.arange(20), batch.labels].mean()
    torch.testing.assert_close(objective(images[batch.indices], batch), plain)
    objective.train()
    assert objective(images[batch.indices], batch) != plain


def test_siamese_pairs_pass_as_twins_and_give_the_papers_loss() -> None:
    objective = build("siamese", margin=2.5).eval()
    images, labels = toy(30, 1, 12)
    [batch] = objective.epoch(labels, 30, torch.Generator().manual_seed(0))
    assert batch.different is not None
    assert torch.equal(batch.different, (batch.labels[:30] != batch.labels[30:]).float())
    first, second = objective.model(images[batch.indices]).chunk(2)
    squared = (first - second).pow(2).sum(dim=1)
    each = torch.where(batch.different > 0, F.relu(2.5 - squared.sqrt()).square(), squared)
    torch.testing.assert_close(objective(images[batch.indices], batch), each.mean())


def test_contrastive_sums_or_averages_all_pairs() -> None:
    images, labels = toy(12, 1, 12)
    values = {}
    for reduction in ("sum", "mean"):
        objective = build("contrastive", reduction=reduction).eval()
        [batch] = objective.epoch(labels, 12, torch.Generator().manual_seed(0))
        values[reduction] = objective(images[batch.indices], batch).item()
    assert values["sum"] == pytest.approx(66 * values["mean"], rel=1e-5)


def test_an_unknown_objective_is_named() -> None:
    with pytest.raises(RecipeError, match=r"'tripplet' is not known\. Known: .*contrastive"):
        find_objective("tripplet")
