"""Progressive resizing: sizes grow with the run, whole images end it, and what takes images of one size only says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import likewise as lw
from likewise.errors import RecipeError
from likewise.models.small_cnn import SmallCNN
from likewise.recipe import Recipe, TrainingOptions
from likewise.training.progressive import resized, size_at
from likewise.training.train import resolve

SMALL = {
    "training.initial_scale": 0.5,
    "training.epochs": 10,
    "training.batch_size": 64,
    "data.train_size": 256,
}


def test_the_side_grows_in_steps_and_is_whole_at_the_end() -> None:
    options = TrainingOptions(initial_scale=0.5, finetune_fraction=0.25)
    sides = [size_at(step, 100, 96, options) for step in range(100)]
    assert sides[0] == 48
    assert sides == sorted(sides)
    assert set(sides[75:]) == {96}
    assert sides[74] < 96
    assert all(side % 4 == 0 for side in sides)


def test_sides_are_never_above_the_whole_nor_zero() -> None:
    options = TrainingOptions(initial_scale=0.1)
    for side in (1, 3, 7, 30, 33):
        sides = [size_at(step, 40, side, options) for step in range(40)]
        assert min(sides) >= 1
        assert max(sides) == sides[-1] == side


def test_reduced_images_keep_their_mean_and_shape() -> None:
    images = torch.randint(0, 256, (4, 3, 32, 48), dtype=torch.uint8)
    small = resized(images, 16)
    assert small.shape == (4, 3, 16, 24)
    assert small.dtype == torch.uint8
    assert torch.allclose(small.float().mean((2, 3)), images.float().mean((2, 3)), atol=4)
    assert resized(images, 32) is images


class OnGPU(torch.Tensor):
    """A tensor that says it is on a GPU, which reduces no bytes with antialiasing."""

    @property
    def device(self) -> torch.device:
        return torch.device("cuda")


def test_a_gpu_reduces_images_as_the_cpu_does(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.randint(0, 256, (4, 3, 32, 48), dtype=torch.uint8)
    interpolate, given = torch.nn.functional.interpolate, []

    def watched(images: torch.Tensor, **options: Any) -> torch.Tensor:
        given.append(images.dtype)
        return interpolate(images, **options)

    monkeypatch.setattr("likewise.training.progressive.F.interpolate", watched)
    small = resized(images.as_subclass(OnGPU), 16).as_subclass(torch.Tensor)
    assert set(given) == {torch.float32}
    assert small.dtype == torch.uint8
    assert (small.int() - resized(images, 16).int()).abs().max() <= 1


def test_a_run_trains_on_small_images_first_and_is_measured_on_whole_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []
    forward = SmallCNN.forward

    def watched(self: SmallCNN, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            seen.append(tuple(images.shape[2:]))
        return forward(self, images)

    monkeypatch.setattr(SmallCNN, "forward", watched)
    run = lw.train(resolve("digits-crossentropy", budget="smoke", overrides=SMALL), tmp_path / "run", quiet=True)
    assert seen[0] == (4, 4)
    assert seen[-1] == (8, 8)
    assert run.metrics["classifier_accuracy"] > 0.5


@pytest.mark.parametrize(
    "overrides",
    [
        {"encoder": {"name": "siamese_cnn"}},
        {"objective": {"name": "jigsaw"}},
        {"training.freeze": "encoder"},
        {"training.initial_scale": 1.5},
    ],
)
def test_what_takes_one_size_only_is_refused(overrides: dict[str, object]) -> None:
    recipe = resolve("digits-crossentropy", budget="smoke")
    with pytest.raises(RecipeError, match="initial_scale"):
        Recipe.with_overrides(recipe, {"training.initial_scale": 0.5} | overrides)
