"""The shipped recipes in stages do what their names say, on small files in CIFAR-10's format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from likewise.recipes import load_recipe
from likewise.training import Run, train


def test_npairs_pretrains_freezes_and_fine_tunes(cifar: Path, tmp_path: Path) -> None:
    small = {"data__validation": 50, "data__train_size": 200, "training__min_steps": 0, "training__batch_size": 50}
    recipe = load_recipe("cifar10-resnet50-npairs-finetune", budget="smoke")
    run = train(recipe, tmp_path / "run", data=str(cifar), quiet=True, **small)
    pretrain, probe = (Run.load(run.folder / "stages" / name) for name in ("pretrain", "probe"))
    assert pretrain.recipe.objective.name == "metric"
    assert "classifier_accuracy" not in pretrain.metrics
    assert (probe.recipe.training.freeze, run.recipe.training.freeze) == ("encoder", "nothing")
    weights = [dict(each.model.encoder.named_parameters()) for each in (pretrain, probe, run)]
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[0])
    assert not all(weights[1][name].equal(weights[2][name]) for name in weights[0])


@pytest.mark.parametrize("source", ["cifar10", "cifar100"])
def test_every_recipe_shows_the_encoder_the_same_number_of_images(source: str) -> None:
    for budget in ("smoke", "laptop", "paper"):
        learned = {}
        for name in ("crossentropy", "npairs", "npairs-finetune"):
            recipe = load_recipe(f"{source}-resnet50-{name}", budget=budget)  # type: ignore[arg-type]
            stages = [*(recipe.stage(i) for i in range(len(recipe.before))), recipe]
            learned[name] = sum(each.training.epochs for each in stages if each.training.freeze == "nothing")
        assert learned["crossentropy"] == learned["npairs"]
        assert budget == "smoke" or learned["npairs-finetune"] == learned["npairs"]


def test_supcon_trains_on_two_views_of_a_folder_and_freezes_the_base(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    stripes = np.tile([[[200]], [[200]], [[40]], [[40]]], (6, 24, 3))
    for name, pattern in (("lying", stripes), ("standing", stripes.transpose(1, 0, 2))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(40):
            pixels = pattern + draws.integers(0, 50, (24, 24, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / name / f"{number}.png")
    run = train(
        load_recipe("folder-supcon", budget="smoke"),
        tmp_path / "run",
        data=str(tmp_path / "photos"),
        quiet=True,
        data__image_size=16,
        training__batch_size=20,
        training__min_steps=10,
        before__pretrain__training__batch_size=20,
        before__pretrain__training__min_steps=30,
    )
    pretrain = Run.load(run.folder / "stages" / "pretrain")
    assert pretrain.recipe.objective.name == "supcon_views"
    assert {"val_loss", "val_pair_distance", "val_uniformity"} <= set(pretrain.history[-1])
    assert pretrain.history[-1]["train_loss"] < pretrain.history[0]["train_loss"]
    now, then = run.model.state_dict(), pretrain.model.state_dict()
    assert all(now[name].equal(then[name]) for name in now if name.startswith("encoder."))
