"""Contract of the tasks that are made from images: they learn, draw all chance from the batch, and show what they do."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.ImageCms import PyCMSError, applyTransform, buildTransform, createProfile

from likewise.data.draws import Draws
from likewise.data.lab import from_lab, to_lab
from likewise.errors import ModelError
from likewise.models import EmbeddingModel, InputSpec, SmallCNNOptions, VisionTransformerOptions
from likewise.objectives import Batch, Objective, find_objective
from likewise.objectives.colorization import rebalancing_weights, screen_colors
from likewise.objectives.denoising import with_noise
from likewise.objectives.jigsaw import permutation_set
from likewise.objectives.masked_reconstruction import draw_visible
from likewise.objectives.rotation import turned

TASKS: dict[str, tuple[str, dict[str, object]]] = {
    "autoencoder": ("autoencoder", {}),
    "variational": ("autoencoder", {"variational": True, "beta": 0.1}),
    "noisy": ("autoencoder", {"noise": 0.1}),
    "denoising": ("denoising", {}),
    "salted": ("denoising", {"noise": "salt_and_pepper", "level": 0.3}),
    "super_resolution": ("super_resolution", {"factor": 3}),
    "colorization": ("colorization", {"grid": 20}),
    "rotation": ("rotation", {}),
    "one_turn": ("rotation", {"turns": "one"}),
    "jigsaw": ("jigsaw", {"grid": 2, "permutations": 6, "jitter": 1}),
    "tiles": ("jigsaw", {"grid": 2, "permutations": 6, "jitter": 1, "form": "tiles"}),
    "masked": ("masked_reconstruction", {"mask_ratio": 0.5}),
    "mae": ("masked_reconstruction", {"decoder_dim": 32}),
}


def build(task: str, channels: int = 3, side: int = 16, dim: int = 16) -> Objective:
    torch.manual_seed(0)
    name, options = TASKS[task]
    chosen = find_objective(name)(**options)  # type: ignore[arg-type]
    spec = InputSpec(channels=channels, height=side, width=side, mean=(0.4,) * channels, std=(0.25,) * channels)
    encoder = VisionTransformerOptions(dim=32, depth=2) if task == "mae" else SmallCNNOptions(widths=(16, 32))
    return chosen.build(EmbeddingModel(encoder, spec, embedding_dim=dim))


def scenes(count: int, channels: int = 3, side: int = 16) -> torch.Tensor:
    """A bright sky above, a dark ground below, and a coloured sun somewhere in between."""
    draws = torch.Generator().manual_seed(1)
    rows = torch.linspace(230, 30, side).view(1, 1, side, 1).expand(count, channels, side, side).clone()
    place = torch.randint(2, side - 5, (count, 2), generator=draws)
    colors = torch.randint(0, 256, (count, channels, 1, 1), generator=draws).float()
    for image, (row, column), color in zip(rows, place.tolist(), colors, strict=True):
        image[:, row : row + 4, column : column + 4] = color
    return rows.round().to(torch.uint8)


def batch_of(images: torch.Tensor, seed: int = 0) -> Batch:
    count = len(images)
    return Batch(torch.arange(count), torch.full((count,), -1), draws=Draws(torch.Generator().manual_seed(seed)))


CHANNELS = [(task, 3) for task in TASKS] + [("autoencoder", 1), ("jigsaw", 1), ("mae", 1)]


@pytest.mark.parametrize(("task", "channels"), CHANNELS)
def test_the_task_is_learned(task: str, channels: int) -> None:
    objective = build(task, channels)
    images = scenes(24, channels)
    optimizer = torch.optim.Adam(objective.parameters(), lr=1e-2)
    losses = []
    for step in range(45):
        loss = objective(images, batch_of(images, step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < 0.88 * np.mean(losses[:3])
    trained = dict(objective.named_parameters())
    assert all(parameter.grad is not None for parameter in trained.values())


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("side", "count"), [(16, 1), (13, 3)])
def test_odd_sizes_a_batch_of_one_and_examples(task: str, side: int, count: int) -> None:
    objective = build(task, 3, side)
    images = scenes(count, 3, side)
    loss = objective(images, batch_of(images))
    assert loss.shape == ()
    assert torch.isfinite(loss)
    objective.eval()
    with torch.no_grad():
        columns = objective.examples(images, torch.Generator().manual_seed(0))
    assert list(columns) == ["input", "target", "prediction"]
    assert all(column.dtype == torch.uint8 and len(column) == count for column in columns.values())
    assert torch.equal(columns["target"], images)
    assert columns["prediction"].shape == columns["input"].shape
    if task not in ("rotation", "one_turn", "jigsaw", "tiles"):
        assert not torch.equal(columns["prediction"], columns["input"])


@pytest.mark.parametrize("task", TASKS)
def test_all_chance_comes_from_the_batch(task: str) -> None:
    objective = build(task)
    images = scenes(12)
    values = []
    for seed, torchs in ((3, 0), (3, 1), (4, 0)):
        torch.manual_seed(torchs)
        values.append(float(objective(images, batch_of(images, seed)).detach()))
    assert values[0] == pytest.approx(values[1], rel=1e-6) or task == "colorization"
    if task not in ("autoencoder", "super_resolution", "colorization", "rotation"):
        assert values[0] != values[2]


@pytest.mark.parametrize("task", TASKS)
def test_it_needs_no_labels_and_explains_its_loss(task: str) -> None:
    name, options = TASKS[task]
    chosen = find_objective(name)(**options)  # type: ignore[arg-type]
    assert not chosen.needs_labels
    assert chosen.sees_images
    assert chosen.task.startswith("input: ")  # type: ignore[attr-defined]
    objective, images = build(task).eval(), scenes(12)
    with torch.no_grad():
        explained = objective.explain(images, batch_of(images))
        torch.testing.assert_close(explained["loss"], objective(images, batch_of(images)))
    assert all(value.shape == () for value in explained.values())


def test_the_autoencoders_loss_is_the_error_of_standardised_pixels() -> None:
    objective, images = build("autoencoder").eval(), scenes(5)
    true = (images.float() / 255 - 0.4) / 0.25
    drawn = objective.decoder(objective.model(images))  # type: ignore[operator]
    expected = ((drawn - true) ** 2).mean()
    torch.testing.assert_close(objective(images, batch_of(images)), expected)


def test_the_divergence_is_gaussian_and_vanishes_at_the_standard_normal() -> None:
    objective, images = build("variational").eval(), scenes(4)
    model = objective.model
    features = model.encoder(model.normalized(images))
    mean, log_variance = model.embedding(features), objective.log_variance(features)  # type: ignore[operator]
    ours = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    known = torch.distributions.kl_divergence(ours, torch.distributions.Normal(0.0, 1.0)).sum(dim=1).mean()
    parts = objective.explain(images, batch_of(images))
    torch.testing.assert_close(parts["divergence"], known)
    torch.testing.assert_close(parts["loss"], parts["reconstruction"] + 0.1 * known / images[0].numel())


def test_noise_is_of_its_kind_and_level() -> None:
    images, draws = torch.full((50, 3, 16, 16), 100), torch.Generator().manual_seed(0)
    gaussian = with_noise(images, 0.2, draws)
    assert float(gaussian.mean()) == pytest.approx(100, abs=1)
    assert float(gaussian.std()) == pytest.approx(51, rel=0.02)
    masked = with_noise(images, 0.3, draws, "masking")
    assert float((masked == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert ((masked == 0).all(dim=1) | (masked == 100).all(dim=1)).all()
    salted = with_noise(images, 0.4, draws, "salt_and_pepper")
    shares = [float((salted == value).float().mean()) for value in (0, 100, 255)]
    assert shares == pytest.approx([0.2, 0.6, 0.2], abs=0.015)


def test_turns_are_quarter_turns_and_come_back() -> None:
    images, quarters = scenes(8), torch.arange(8) % 4
    seen = turned(images, quarters)
    for image, quarter, one in zip(images, quarters.tolist(), seen, strict=True):
        assert torch.equal(one, torch.rot90(image, quarter, (1, 2)))
    assert torch.equal(turned(seen, 4 - quarters), images)


def test_permutations_are_far_from_each_other() -> None:
    chosen = permutation_set(4, 8)
    every = np.array(list(itertools.permutations(range(4))))
    for count in range(1, 8):
        distances = (every[:, None] != chosen[:count]).sum(axis=2).mean(axis=1)
        distances[[next(i for i, row in enumerate(every) if (row == done).all()) for done in chosen[:count]]] = -1
        assert (chosen[count] != chosen[:count]).sum(axis=1).mean() == distances.max()
    nine = permutation_set(9, 64)
    assert len(np.unique(nine, axis=0)) == 64
    assert (np.sort(nine, axis=1) == np.arange(9)).all()
    off_diagonal = (nine[:, None] != nine).sum(axis=2)[~np.eye(64, dtype=bool)]
    assert off_diagonal.mean() > 8


def test_a_solved_jigsaw_is_the_image() -> None:
    objective = build("jigsaw")
    objective.options = objective.options.model_copy(update={"jitter": 0, "standardize_tiles": False})
    images = scenes(6)
    which = torch.arange(6)
    tiles = objective._shuffled(images, which, torch.Generator())  # type: ignore[operator]
    orders = objective.orders[which]  # type: ignore[index]
    for image, order, shuffled in zip(images.float(), orders, tiles, strict=True):
        for place, source in enumerate(order.tolist()):
            row, column = source // 2 * 8, source % 2 * 8
            torch.testing.assert_close(shuffled[place], image[:, row : row + 8, column : column + 8])


def test_masks_cover_their_share_and_the_loss_ignores_what_is_visible() -> None:
    visible = draw_visible(5, 16, 0.75, torch.Generator().manual_seed(0))
    assert visible.shape == (5, 4)
    assert all(len(set(row)) == 4 for row in visible.tolist())
    objective, images = build("masked"), scenes(3)
    objective.decoder.requires_grad_(False)
    for parameter in objective.decoder.parameters():
        parameter.zero_()
    expected = objective.model.normalized(images).square()
    shown = objective._shown(objective._visible(images, torch.Generator().manual_seed(7)))  # type: ignore[operator]
    mask = ~shown.view(3, 1, 4, 1, 4, 1).expand(3, 3, 4, 4, 4, 4).reshape(3, 3, 16, 16)
    torch.testing.assert_close(objective(images, batch_of(images, 7)), expected[mask].mean())


def test_lab_is_the_colour_management_systems() -> None:
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (1, 3, 20, 20), generator=draws, dtype=torch.uint8)
    lab = to_lab(images)
    torch.testing.assert_close(from_lab(lab), images.float(), atol=0.5, rtol=0)
    try:
        transform = buildTransform(createProfile("sRGB"), createProfile("LAB"), "RGB", "LAB")
    except PyCMSError:
        pytest.skip("Pillow was built without littlecms")
    picture = Image.fromarray(images[0].permute(1, 2, 0).numpy())
    theirs = np.asarray(applyTransform(picture, transform)).astype(np.int16)
    # Pillow's LAB keeps L as 0 … 255 and a, b as signed bytes, under D50: lightness agrees, hues nearly.
    lightness = torch.from_numpy(theirs[..., 0] / 2.55)
    torch.testing.assert_close(lab[0, 0].double(), lightness, atol=3.0, rtol=0)
    signs = torch.from_numpy(np.where(theirs[..., 1] > 127, theirs[..., 1] - 256, theirs[..., 1]))
    clear = signs.abs() > 20
    assert (lab[0, 1][clear].sign() == signs[clear].sign()).float().mean() > 0.98


def test_colour_classes_cover_the_screen_and_rare_ones_weigh_more() -> None:
    centers = screen_colors(10)
    assert 250 < len(centers) < 340
    share = torch.rand(len(centers)) ** 4
    share = share / share.sum()
    identity = torch.eye(len(centers))
    weights = rebalancing_weights(share, identity, 0.5)
    assert float((share * weights).sum()) == pytest.approx(1, rel=1e-5)
    order = share.argsort()
    assert (weights[order].diff() <= 1e-6).all()
    torch.testing.assert_close(rebalancing_weights(share, identity, 1.0), torch.ones(len(centers)))


def test_soft_colour_targets_are_the_nearest_classes() -> None:
    objective = build("colorization")
    row = (37 + 55) * 111 + 60  # any node of the table
    a, b = -110 + 2 * (row // 111), -110 + 2 * (row % 111)
    distances = (objective.centers - torch.tensor([a, b])).square().sum(dim=1)  # type: ignore[operator]
    nearest = distances.topk(5, largest=False)
    assert sorted(objective.near[row].tolist()) == sorted(nearest.indices.tolist())  # type: ignore[index]
    gauss = torch.exp(-nearest.values / (2 * 10**2))
    expected = (gauss / gauss.sum()).sort().values
    torch.testing.assert_close(objective.near_weights[row].sort().values, expected)  # type: ignore[index]


def test_what_cannot_be_done_is_named() -> None:
    spec = InputSpec(channels=1, height=12, width=10, mean=(0.5,), std=(0.2,))
    model = EmbeddingModel(SmallCNNOptions(), spec, embedding_dim=4)
    with pytest.raises(ModelError, match=r"12×10 cannot be turned"):
        find_objective("rotation")().build(model)  # type: ignore[call-arg]
    with pytest.raises(ModelError, match="grey images"):
        find_objective("colorization")().build(model)  # type: ignore[call-arg]
    with pytest.raises(ModelError, match="at most 24 orders"):
        find_objective("jigsaw")(grid=2, permutations=30).build(model)  # type: ignore[call-arg]
    with pytest.raises(ModelError, match="one patch"):
        find_objective("masked_reconstruction")(patch_size=20).build(model)  # type: ignore[call-arg]
    vit = EmbeddingModel(VisionTransformerOptions(), spec, embedding_dim=4)
    with pytest.raises(ModelError, match="encoder's is 4"):
        find_objective("masked_reconstruction")(patch_size=2).build(vit)  # type: ignore[call-arg]
