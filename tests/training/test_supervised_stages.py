"""The shipped recipes in stages do what their names say, on small files in CIFAR-10's format."""

from __future__ import annotations

from pathlib import Path

import pytest

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
