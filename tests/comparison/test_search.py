"""The search on validation: the same budget for all, resumable, and blind for test."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from PIL import Image

from likewise.comparison import Comparison, as_dict, compare
from likewise.comparison.processes import killed
from likewise.comparison.search import SEARCH_SEED, search, search_space
from likewise.comparison.table import chosen_lines
from likewise.comparison.work import Outcome, Work, perform
from likewise.errors import Interrupted, RecipeError, TrainingError
from likewise.losses import Range
from likewise.recipe import Recipe
from likewise.recipes import load_recipe
from likewise.training import Run, try_out
from likewise.training.trial import selection_metric

from .conftest import recipe_of

CROSS, SIAMESE = recipe_of("cross_entropy"), recipe_of("siamese")
SUPCON = recipe_of("metric", name="digits-supcon").with_overrides({"objective.loss": "supcon"})

Value = Callable[[Recipe], float]


def best_at(rate: float) -> Value:
    """Highest at one learning rate."""
    return lambda recipe: 0.9 - 0.1 * abs(math.log(recipe.training.learning_rate / rate))


class Tryer:
    """Stands in for ``try_out``: the value of a trial is a function of its recipe."""

    def __init__(self, value: Value) -> None:
        self.value = value
        self.tried: list[Recipe] = []

    def __call__(self, recipe: Recipe, folder: Path, *, quiet: bool) -> dict[str, float]:
        self.tried.append(recipe)
        return {"val_knn1_accuracy": self.value(recipe), "total_seconds": 2.0}


@pytest.fixture
def trying(monkeypatch: pytest.MonkeyPatch) -> Callable[[Value], Tryer]:
    def install(value: Value) -> Tryer:
        tryer = Tryer(value)
        monkeypatch.setattr(importlib.import_module("likewise.comparison.search"), "try_out", tryer)
        return tryer

    return install


def test_the_space_is_the_learning_rate_and_what_the_loss_declares() -> None:
    assert search_space(SUPCON) == {
        "training.learning_rate": Range(2e-4, 5e-3),
        "objective.loss.temperature": Range(0.03, 1.0),
    }
    proxies = SUPCON.with_overrides({"objective.loss": "proxy_anchor", "objective.loss_learning_rate": 1000.0})
    assert set(search_space(proxies)) == {
        "training.learning_rate",
        "objective.loss.margin",
        "objective.loss.alpha",
        "objective.loss_learning_rate",
    }
    assert search_space(proxies)["objective.loss_learning_rate"].high == 1000


def test_a_search_chooses_the_best_on_validation_and_starts_with_the_recipe(trying: Any, tmp_path: Path) -> None:
    tryer = trying(best_at(3e-3))
    found = search(SIAMESE, "all", tmp_path, 8)
    assert tryer.tried[0] == SIAMESE.with_overrides({"seed": SEARCH_SEED})
    assert {recipe.seed for recipe in tryer.tried} == {SEARCH_SEED}
    values = [tryer.value(recipe) for recipe in tryer.tried]
    best = tryer.tried[values.index(max(values))]
    assert len(values) == found.trials == 8
    assert found.value == max(values) > values[0] == found.own_value
    assert found.chosen == {
        "training.learning_rate": best.training.learning_rate,
        "objective.margin": best.objective.margin,  # type: ignore[attr-defined]
    }
    assert found.seconds == 16
    for recipe in tryer.tried[1:]:
        assert 2e-4 <= recipe.training.learning_rate <= 5e-3
        assert 0.5 <= recipe.objective.margin <= 10  # type: ignore[attr-defined]


def test_the_first_trials_are_spread_evenly_over_the_space(trying: Any, tmp_path: Path) -> None:
    tryer = trying(best_at(1e-3))
    search(SIAMESE, "all", tmp_path, 4)
    rates = sorted(math.log(recipe.training.learning_rate / 2e-4, 25) for recipe in tryer.tried)
    gaps = [later - earlier for earlier, later in pairwise([0.0, *rates, 1.0])]
    assert max(gaps) < 0.27
    margins = sorted(recipe.objective.margin for recipe in tryer.tried[1:])
    assert margins[0] < 0.75
    assert margins[-1] > 3


def test_what_comes_after_the_spread_trials_is_drawn_from_what_they_found(trying: Any, tmp_path: Path) -> None:
    rates = []
    for best in (2e-4, 5e-3):
        tryer = trying(best_at(best))
        search(SIAMESE, "all", tmp_path / str(best), 6)
        rates.append([recipe.training.learning_rate for recipe in tryer.tried])
    assert rates[0][:4] == rates[1][:4]
    assert rates[0][4:] != rates[1][4:]  # drawn at random they would be the same, as the seed is


@pytest.mark.parametrize("stop_at", [1, 5, 10])
def test_a_killed_search_computes_no_trial_twice_and_chooses_the_same(
    stop_at: int, trying: Any, tmp_path: Path
) -> None:
    whole_tryer = trying(best_at(1e-3))
    whole = search(SIAMESE, "all", tmp_path / "whole", 12)

    class Killed(BaseException):
        pass

    def killed(recipe: Recipe) -> float:
        if len(tryer.tried) == stop_at:
            raise Killed
        return best_at(1e-3)(recipe)

    tryer = trying(killed)
    with pytest.raises(Killed):
        search(SIAMESE, "all", tmp_path / "cut", 12)
    again = trying(best_at(1e-3))
    assert search(SIAMESE, "all", tmp_path / "cut", 12) == whole
    assert [*tryer.tried[:-1], *again.tried] == whole_tryer.tried
    last = trying(best_at(1e-3))
    assert search(SIAMESE, "all", tmp_path / "cut", 12) == whole
    assert last.tried == []


def test_failed_trials_count_and_are_told(trying: Any, tmp_path: Path) -> None:
    def diverges(recipe: Recipe) -> float:
        if recipe.training.learning_rate > 1e-3:
            raise TrainingError("The loss is nan at step 3.")
        return best_at(1e-4)(recipe)

    tryer = trying(diverges)
    found = search(SIAMESE, "all", tmp_path, 8)
    failed = [recipe for recipe in tryer.tried if recipe.training.learning_rate > 1e-3]
    assert found.failed == len(failed) > 0
    assert found.error == "TrainingError: The loss is nan at step 3."
    assert found.chosen is not None
    assert found.chosen["training.learning_rate"] <= 1e-3


def test_trials_of_another_recipe_are_refused(trying: Any, tmp_path: Path) -> None:
    trying(best_at(1e-3))
    search(SIAMESE, "all", tmp_path, 1)
    with pytest.raises(RecipeError, match=r"trials of another digits-siamese.*another --out"):
        search(SIAMESE.with_overrides({"epochs": 3}), "all", tmp_path, 1)


def test_the_storage_is_optunas_own(trying: Any, tmp_path: Path) -> None:
    trying(best_at(1e-3))
    search(SIAMESE, "100", tmp_path, 3)
    storage = f"sqlite:///{tmp_path / 'search' / 'trials.sqlite3'}"
    study = optuna.load_study(study_name="digits-siamese, train size 100", storage=storage)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 3


def test_every_cell_takes_what_was_chosen_for_its_recipe_and_size(trying: Any, stand_in: Any, tmp_path: Path) -> None:
    tryer = trying(lambda recipe: best_at(1e-4 if recipe.data.train_size == 100 else 5e-3)(recipe))
    stand_in(lambda recipe: 0.8)
    result = compare([CROSS, SIAMESE], seeds=2, train_sizes=[100, 0.5], trials=6, out=tmp_path)
    assert len(tryer.tried) == 2 * 2 * 6
    for found in result.searches:
        assert (found.trials, found.seed) == (6, SEARCH_SEED)
        for cell in result.done(found.recipe, found.condition):
            recipe = Run.load(tmp_path / cell.folder).recipe
            assert found.chosen is not None
            assert recipe.training.learning_rate == found.chosen["training.learning_rate"]
    rates = {found.condition: found.chosen["training.learning_rate"] for found in result.searches if found.chosen}
    assert rates["100"] < rates["0.5"]
    assert Comparison.load(tmp_path).searches == result.searches
    assert as_dict(result)["searches"][0]["space"]["training.learning_rate"] == [2e-4, 5e-3, "log"]
    assert any("6 trials of seed 1000 for each recipe and training size" in note for note in result.notes)
    assert len(chosen_lines(result)) == 4
    tryer.tried.clear()
    compare([CROSS, SIAMESE], seeds=3, train_sizes=[100, 0.5], trials=6, out=tmp_path)
    assert tryer.tried == []


def test_a_recipe_whose_trials_all_fail_is_shown_as_failed_and_the_rest_goes_on(
    trying: Any, stand_in: Any, tmp_path: Path
) -> None:
    def broken(recipe: Recipe) -> float:
        if recipe.objective.name == "siamese":
            raise TrainingError("The disk is full.")
        return 0.8

    trying(broken)
    stand_in(lambda recipe: 0.8)
    result = compare([SIAMESE, CROSS], seeds=1, trials=2, out=tmp_path)
    assert [cell.status for cell in result.cells] == ["failed", "done"]
    assert result.cells[0].error == (
        "All 2 trials on validation failed; the first with: TrainingError: The disk is full."
    )
    assert "digits-siamese" not in [run.parts[-3] for run in tmp_path.glob("cells/*/*/seed-0")]
    trying(lambda recipe: 0.8)
    mended = compare([SIAMESE, CROSS], seeds=1, trials=2, out=tmp_path)
    assert [cell.status for cell in mended.cells] == ["done", "done"]


def test_a_search_whose_process_is_killed_has_failed_and_the_rest_goes_on(
    trying: Any, stand_in: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def engine(works: Sequence[Work], begun: Callable[[int], None]) -> Iterator[tuple[int, Outcome]]:
        # Workers of their own open the trials at once, so the tables must be there before the first begins.
        assert not works[0].trials or optuna.get_all_study_names(storage) == []
        for number, work in enumerate(works):
            siamese = work.recipe.objective.name == "siamese"
            yield number, killed(work, "SIGKILL") if siamese else perform(work, quiet=True)

    storage = f"sqlite:///{tmp_path / 'search' / 'trials.sqlite3'}"
    trying(lambda recipe: 0.8)
    stand_in(lambda recipe: 0.8)
    module = importlib.import_module("likewise.comparison.compare")
    with monkeypatch.context() as patched:
        patched.setattr(module, "_engine", lambda *_, **__: engine)
        result = compare([SIAMESE, CROSS], seeds=1, trials=2, out=tmp_path)
    assert [cell.status for cell in result.cells] == ["failed", "done"]
    assert "The search on validation failed: TrainingError: Its process ended" in str(result.cells[0].error)
    assert f"see {tmp_path / 'search' / 'digits-siamese' / 'train-all'} for" in str(result.cells[0].error)
    assert chosen_lines(result)[0].endswith("the search failed")
    assert Comparison.load(tmp_path) == result
    mended = compare([SIAMESE, CROSS], seeds=1, trials=2, out=tmp_path)
    assert [cell.status for cell in mended.cells] == ["done", "done"]


def test_an_interrupted_search_says_so_and_goes_on(trying: Any, stand_in: Any, tmp_path: Path) -> None:
    def stopped(recipe: Recipe) -> float:
        raise Interrupted("SIGTERM after step 5 of 9.")

    trying(stopped)
    stand_in(lambda recipe: 0.8)
    with pytest.raises(Interrupted, match="same command again"):
        compare([CROSS], seeds=1, trials=2, out=tmp_path)
    trying(lambda recipe: 0.8)
    assert compare([CROSS], seeds=1, trials=2, out=tmp_path).complete


def test_another_number_of_trials_is_refused_where_cells_are_done(trying: Any, stand_in: Any, tmp_path: Path) -> None:
    trying(lambda recipe: 0.8)
    stand_in(lambda recipe: 0.8)
    compare([CROSS], seeds=1, trials=2, out=tmp_path)
    with pytest.raises(RecipeError, match=r"has --trials 2, and 0 was asked for.*another --out"):
        compare([CROSS], seeds=1, out=tmp_path)
    with pytest.raises(RecipeError, match=r"seeds other than 1000"):
        compare([CROSS], seeds=[1000], trials=2, out=tmp_path / "other")
    with pytest.raises(RecipeError, match=r"--trials is -1"):
        compare([CROSS], seeds=1, trials=-1, out=tmp_path / "other")


class Unseen:
    """Stands in for the test split: it may be listed, but no image of it may be looked at."""

    bad_images = ()

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a trial asked for test.{name}")


@pytest.fixture
def no_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs whose test split may not be looked at."""
    training = importlib.import_module("likewise.training.train")
    data_of = training.data_of

    def without_test(recipe: Recipe) -> Any:
        splits = data_of(recipe)
        object.__setattr__(splits, "test", Unseen())
        return splits

    monkeypatch.setattr(training, "data_of", without_test)


@pytest.mark.usefixtures("no_test")
def test_a_trial_never_looks_at_a_test_image(tmp_path: Path) -> None:
    found = try_out(SIAMESE, tmp_path / "trial", quiet=True)
    assert 0.1 < found["val_knn1_accuracy"] <= 1
    assert not [name for name in found if "knn1" in name and not name.startswith("val_")]
    assert not (tmp_path / "trial" / "checkpoints").exists()
    assert try_out(SIAMESE, tmp_path / "trial", quiet=True) == found


@pytest.mark.usefixtures("no_test")
def test_with_captions_a_trial_is_judged_by_the_images_that_they_find(tmp_path: Path) -> None:
    small = {"encoder.widths": (4, 8), "text_encoder.width": 16, "text_encoder.heads": 2, "learning_rate": 5e-3}
    named = load_recipe("captions-clip", budget="smoke").with_overrides(
        {"data.source": "digits", "data.train_size": 200, "data.caption_templates": ("the digit {}",), **small}
    )
    found = search(named, "all", tmp_path, 1, quiet=True)
    assert found.metric == "val_zero_shot_accuracy"  # all images of a class share their caption
    assert found.value is not None
    assert found.value > 0.15
    own = load_recipe("captions-clip", budget="smoke").with_overrides({"data.train_size": 200, "epochs": 1, **small})
    trial = try_out(own, tmp_path / "trial", quiet=True)
    assert selection_metric(own) == "val_text_to_image_recall_at_1"
    assert selection_metric(own) in trial
    assert "val_knn1_accuracy" not in trial
    assert search_space(own).keys() == {"training.learning_rate"}


def test_trials_that_nothing_could_judge_are_refused_before_the_first(trying: Any, tmp_path: Path) -> None:
    for number in range(8):
        Image.fromarray(np.full((8, 8), 30 * number, np.uint8)).save(tmp_path / f"{number}.png")
    recipe = recipe_of("simclr", data={"source": str(tmp_path), "validation": 2})
    tryer = trying(best_at(1e-3))
    with pytest.raises(RecipeError, match=r"no labels, and trials of simclr.*1-NN accuracy.*Leave out --trials"):
        compare([recipe], seeds=1, trials=2, out=tmp_path / "out")
    assert tryer.tried == []


def test_trials_without_captions_are_refused_before_the_first(trying: Any, tmp_path: Path) -> None:
    tryer = trying(best_at(1e-3))
    recipe = load_recipe("captions-clip", budget="smoke").with_overrides({"data.source": "digits"})
    with pytest.raises(RecipeError, match=r"digits has no captions, and trials of clip.*caption_templates"):
        compare([recipe], seeds=1, trials=2, out=tmp_path / "out")
    assert tryer.tried == []
