"""Stages, starting weights and frozen encoders: what is kept is kept to the bit, what is trained moves."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch

from likewise import report
from likewise.errors import RecipeError, TrainingError
from likewise.models import EmbeddingModel
from likewise.recipe import Recipe
from likewise.training import Run, train

from .test_resume import assert_same_run, tiny

train_module = importlib.import_module("likewise.training.train")
STAGED = {
    "objective": "cross_entropy",
    "training": {"epochs": 2, "batch_size": 50, "freeze": "encoder"},
    "before": [
        {"name": "pretrain", "set": {"objective": "contrastive", "training.freeze": "nothing", "embedding_dim": 4}}
    ],
}


def staged(**values: Any) -> Recipe:
    return Recipe.parse(tiny("cross_entropy").model_dump() | {"name": "staged"} | STAGED | values)


def encoder_of(model: EmbeddingModel) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in model.state_dict().items() if name.startswith("encoder.")}


def assert_same_encoder(one: EmbeddingModel, other: EmbeddingModel) -> None:
    first, second = encoder_of(one), encoder_of(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIKEWISE_HOME", str(tmp_path_factory.mktemp("home")))
        return train(staged(), tmp_path_factory.mktemp("runs") / "staged", quiet=True)


def test_a_stage_is_a_run_of_its_own_and_the_next_leaves_its_frozen_encoder_alone(run: Run) -> None:
    first = Run.load(run.folder / "stages" / "pretrain")
    assert first.recipe.objective.name == "contrastive"
    assert first.recipe.name == "staged-pretrain"
    assert first.model.embedding_dim == 4
    assert_same_encoder(run.model, first.model)
    assert run.model.embedding_dim == 8
    assert run.history[-1]["train_loss"] < run.history[0]["train_loss"]
    assert run.metrics["train_seconds"] > first.metrics["train_seconds"]
    assert run.metrics["total_seconds"] > first.metrics["total_seconds"]


def test_the_report_lists_the_stages(run: Run) -> None:
    page = report.write_run_report(run, run.data()).read_text("utf-8")
    assert "Each stage starts from the weights of the one before" in page
    assert "contrastive, 2 epochs" in page
    assert "cross-entropy, 2 epochs, encoder frozen" in page


def test_features_computed_once_train_as_features_computed_each_time(run: Run, tmp_path: Path) -> None:
    recipe = staged(before=(), start=str(run.folder / "stages" / "pretrain"), start_take="encoder")
    cached = train(recipe, tmp_path / "cached", quiet=True, training__precision="32-true")
    # a limit below the size of the features but not of the images
    least = 600 * cached.model.encoder.out_features * 4 - 1
    each = train(recipe, tmp_path / "each", quiet=True, training__precision="32-true", data__memory_limit=least)
    assert "do not fit into memory" in (each.folder / "log.txt").read_text()
    assert "features of the frozen encoder: 600" in (cached.folder / "log.txt").read_text()
    for name, tensor in cached.model.state_dict().items():
        torch.testing.assert_close(each.model.state_dict()[name], tensor, rtol=1e-4, atol=1e-5)


def test_a_run_that_dies_between_stages_goes_on_with_the_next(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, calls = train_module.fit, 0

    def dies_second(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise RuntimeError("killed")
        return fit(*args, **kwargs)

    monkeypatch.setattr(train_module, "fit", dies_second)
    with pytest.raises(RuntimeError, match="killed"):
        train(staged(), tmp_path / "again", quiet=True)
    resumed = train(staged(), tmp_path / "again", resume=True, quiet=True)
    assert calls == 3
    assert_same_run(resumed, run)


def test_fine_tuning_takes_the_whole_model_and_moves_its_encoder_slowly(run: Run, tmp_path: Path) -> None:
    recipe = staged(before=(), start=str(run.folder), start_take="model", training={"epochs": 1, "batch_size": 50})
    moved = {}
    for rate in (0.001, 1.0):
        tuned = train(recipe, tmp_path / f"rate-{rate}", quiet=True, training__encoder_rate=rate)
        assert "weights of encoder and embedding and classifier" in (tuned.folder / "log.txt").read_text()
        now, then = encoder_of(tuned.model), encoder_of(run.model)
        weights = [name for name in now if name.endswith("weight")]
        moved[rate] = sum(float((now[name] - then[name]).abs().sum()) for name in weights)
    assert 0 < moved[0.001] < 0.01 * moved[1.0]


def test_weights_that_are_not_there_or_do_not_fit_are_named(run: Run, tmp_path: Path) -> None:
    recipe = staged(before=())
    with pytest.raises(TrainingError, match=r"start is 'nowhere'.*no such folder"):
        train(recipe, tmp_path / "a", start="nowhere", quiet=True)
    with pytest.raises(
        TrainingError, match=r"has the encoder SmallCNNOptions.*widths=\(4, 8, 16\).*This run has SiameseCNN"
    ):
        train(recipe, tmp_path / "b", start=str(run.folder), encoder="siamese_cnn", quiet=True)


def test_settings_of_a_stage_are_checked_with_the_recipe() -> None:
    assert staged().with_overrides({"before.pretrain.training.epochs": 7}).stage(0).training.epochs == 7
    assert staged().with_overrides({"seed": 3}).stage(0).seed == 3
    with pytest.raises(RecipeError, match=r"'before.probe.epochs' is not a setting of a stage.*pretrain"):
        staged().with_overrides({"before.probe.epochs": 7})
    with pytest.raises(RecipeError, match="'epoch' is not a setting"):
        staged(before=[{"name": "pretrain", "set": {"epoch": 3}}])
    with pytest.raises(RecipeError, match="two stages have the same name"):
        staged(before=[{"name": "a"}, {"name": "a"}])
    again = Recipe.from_yaml(staged().to_yaml())
    assert again == staged()
    assert again.stage(0).objective.name == "contrastive"


def test_a_stage_with_tuples_is_the_same_when_it_is_read_back() -> None:
    recipe = staged(before=[{"name": "pretrain", "set": {"encoder.widths": (8, 8), "objective": "contrastive"}}])
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe


def test_a_frozen_encoder_is_measured_as_it_is_and_not_trained_in_vain(tmp_path: Path) -> None:
    values = {
        "encoder.widths": (2, 4, 4),
        "head": "none",
        "embedding_dim": 36,
        "freeze": "encoder",
        "projection": "pca",
    }
    recipe = tiny("contrastive").with_overrides(values)
    with pytest.raises(TrainingError, match=r"nothing to train: training.freeze is encoder.*Set head=linear"):
        train(recipe, tmp_path / "in-vain", quiet=True)
    run = train(recipe, tmp_path / "as-it-is", epochs=0, quiet=True)
    assert run.metrics["knn1_accuracy"] > 0.1
    assert run.metrics["train_steps"] == 0
    assert run.history == []
