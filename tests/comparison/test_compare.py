"""The grid: what is computed, what is not computed again, and what happens to cells that fail or are stopped."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from command_line import Cli
from likewise.comparison import Cell, Comparison, compare
from likewise.comparison.command import command_of
from likewise.comparison.metrics import per_image
from likewise.errors import Interrupted, RecipeError, RunError, TrainingError
from likewise.recipe import Recipe
from likewise.recipes import load_recipe
from likewise.terminal import settings
from likewise.training import Run

from .conftest import recipe_of

CROSS, SIAMESE = recipe_of("cross_entropy"), recipe_of("siamese")


def test_every_recipe_size_and_seed_is_a_cell_of_its_own(stand_in: Any, tmp_path: Path) -> None:
    trainer = stand_in(lambda recipe: 0.8)
    seen: list[Cell] = []
    result = compare([CROSS, SIAMESE], seeds=2, train_sizes=[0.5, 100], out=tmp_path, on_cell=seen.append)
    assert sorted(trainer.calls) == sorted(
        f"{recipe}/train-{size}/seed-{seed}"
        for recipe in ("digits-crossentropy", "digits-siamese")
        for size in ("0.5", "100")
        for seed in (0, 1)
    )
    assert [cell.folder for cell in seen] == [cell.folder for cell in result.cells]
    assert result.complete
    assert [(condition.key, condition.count) for condition in result.conditions] == [("100", 100), ("0.5", 400)]


def test_one_seed_and_size_gives_all_recipes_the_same_images(stand_in: Any, tmp_path: Path) -> None:
    stand_in(lambda recipe: 0.8)
    result = compare([CROSS, SIAMESE], seeds=[5, 6], train_sizes=[100], out=tmp_path)
    recipes = {(cell.recipe, cell.seed): Run.load(tmp_path / cell.folder).recipe for cell in result.cells}
    for seed in (5, 6):
        one, two = recipes["digits-crossentropy", seed], recipes["digits-siamese", seed]
        assert (one.seed, two.seed) == (seed, seed)
        assert one.data == two.data
        assert one.data.train_size == 100


def test_finished_cells_are_never_computed_twice_and_a_grid_can_grow(stand_in: Any, tmp_path: Path) -> None:
    trainer = stand_in(lambda recipe: 0.8)
    first = compare([CROSS], seeds=2, out=tmp_path)
    trainer.calls.clear()
    again = compare([CROSS], seeds=2, out=tmp_path)
    assert trainer.calls == []
    assert again.summary == first.summary
    assert again.created == first.created
    compare([CROSS, SIAMESE], seeds=2, out=tmp_path)
    assert trainer.calls == ["digits-siamese/train-all/seed-0", "digits-siamese/train-all/seed-1"]


def test_without_a_folder_a_comparison_goes_on_only_where_it_has_all_that_is_there(
    stand_in: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = stand_in(lambda recipe: 0.8)
    monkeypatch.chdir(tmp_path)

    def folder(recipes: list[Recipe], **options: Any) -> str:
        trainer.calls.clear()
        return str(compare(recipes, **{"seeds": 1} | options).folder)

    assert folder([CROSS]) == "runs/comparison"
    assert (folder([CROSS]), trainer.calls) == ("runs/comparison", [])
    assert (folder([CROSS, SIAMESE], seeds=2), len(trainer.calls)) == ("runs/comparison", 3)
    assert (
        folder([CROSS]) == "runs/comparison-2"
    )  # the report of the first has a recipe and a seed that this one has not
    assert folder([CROSS], overrides={"epochs": 2}) == "runs/comparison-3"
    assert folder([CROSS, SIAMESE], seeds=2, overrides={"epochs": 2}) == "runs/comparison-3"
    assert (folder([CROSS, SIAMESE], seeds=2), trainer.calls) == ("runs/comparison", [])
    assert {cell.recipe for cell in Comparison.load("runs/comparison").cells} == {CROSS.name, SIAMESE.name}


def test_a_changed_recipe_in_the_same_folder_is_refused_before_anything_is_trained(
    stand_in: Any, tmp_path: Path
) -> None:
    trainer = stand_in(lambda recipe: 0.8)
    compare([CROSS], seeds=1, out=tmp_path)
    trainer.calls.clear()
    with pytest.raises(RecipeError, match=r"training\.epochs is 1 there and 4 now.*another --out"):
        compare([SIAMESE, CROSS], seeds=2, out=tmp_path, overrides={"epochs": 4})
    assert trainer.calls == []


def test_a_failed_cell_is_recorded_the_rest_goes_on_and_it_is_tried_again(stand_in: Any, tmp_path: Path) -> None:
    def diverges(recipe: Recipe) -> float:
        if recipe.objective.name == "siamese" and recipe.seed == 1:
            raise TrainingError("The loss is nan at step 3.")
        return 0.8

    stand_in(diverges)
    result = compare([CROSS, SIAMESE], seeds=2, out=tmp_path)
    assert [cell.status for cell in result.cells] == ["done", "done", "done", "failed"]
    assert result.cells[3].error == "TrainingError: The loss is nan at step 3."
    assert any("1 run of 4 failed" in note for note in result.notes)
    row = result.difference("digits-crossentropy", "digits-siamese", "all", "knn1_accuracy")
    assert row is not None
    assert row.n == 1
    trainer = stand_in(lambda recipe: 0.8)
    mended = compare([CROSS, SIAMESE], seeds=2, out=tmp_path)
    assert trainer.calls == ["digits-siamese/train-all/seed-1"]
    assert [cell.status for cell in mended.cells] == ["done"] * 4


def test_the_command_shows_what_it_has_and_ends_with_1_where_a_run_failed(
    run_cli: Cli, stand_in: Any, tmp_path: Path
) -> None:
    def fails_once(recipe: Recipe) -> float:
        if recipe.seed == 1:
            raise TrainingError("The loss is nan at step 3.")
        return 0.8

    stand_in(fails_once)
    command = ["compare", "digits-crossentropy", "--seeds", 2, "--out", tmp_path]
    ended = run_cli(*command)
    assert ended.code == 1
    assert "failed" in ended.out
    assert "report:" in ended.out
    assert "The loss is nan at step 3." in ended.err
    as_json = run_cli(*command, "--json")
    assert as_json.code == 1
    assert [cell["status"] for cell in as_json.json()["cells"]] == ["done", "failed"]
    stand_in(lambda recipe: 0.8)
    assert run_cli(*command).code == 0


def test_a_comparison_without_one_finished_run_is_an_error(stand_in: Any, tmp_path: Path) -> None:
    def fails(recipe: Recipe) -> float:
        raise TrainingError(f"seed {recipe.seed} is unlucky.")

    stand_in(fails)
    with pytest.raises(
        TrainingError, match=r"All 2 cells of the comparison failed; the first with: .*seed 0 is unlucky"
    ):
        compare([CROSS], seeds=2, out=tmp_path)
    assert [cell.status for cell in Comparison.load(tmp_path).cells] == ["failed", "failed"]


def test_a_bug_is_not_recorded_as_a_failed_cell(stand_in: Any, tmp_path: Path) -> None:
    def broken(recipe: Recipe) -> float:
        raise ZeroDivisionError

    stand_in(broken)
    with pytest.raises(ZeroDivisionError):
        compare([CROSS], seeds=1, out=tmp_path)
    assert [cell.status for cell in Comparison.load(tmp_path).cells] == ["pending"]


def test_an_interrupted_comparison_says_so_and_goes_on(stand_in: Any, tmp_path: Path) -> None:
    def stopped(recipe: Recipe) -> float:
        if recipe.seed == 1:
            raise Interrupted("SIGTERM after step 5 of 9.")
        return 0.8

    stand_in(stopped)
    with pytest.raises(Interrupted, match="same command again"):
        compare([CROSS], seeds=3, out=tmp_path)
    partial = Comparison.load(tmp_path)
    assert not partial.complete
    assert [cell.status for cell in partial.cells] == ["done", "pending", "pending"]
    assert [row.n for row in partial.summary if row.metric == "knn1_accuracy"] == [1]
    trainer = stand_in(lambda recipe: 0.8)
    assert compare([CROSS], seeds=3, out=tmp_path).complete
    assert trainer.calls == ["digits-crossentropy/train-all/seed-1", "digits-crossentropy/train-all/seed-2"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recipes": []}, "No recipe was given"),
        ({"recipes": [CROSS, CROSS]}, "digits-crossentropy stands more than once"),
        ({"recipes": [CROSS, recipe_of("siamese", data={"source": "mnist"})]}, "data.source is 'digits' in"),
        (
            {"recipes": [CROSS, SIAMESE.with_overrides({"data.train_size": 100})]},
            r"data\.train_size is None in .* 100 in .*--set data\.train_size=null",
        ),
        ({"recipes": [CROSS, SIAMESE.with_overrides({"data.label_column": "kind"})]}, r"data\.label_column is None in"),
        ({"recipes": [CROSS], "seeds": 0}, "The seeds are 0"),
        ({"recipes": [CROSS], "train_sizes": [100, 1.5]}, "The training sizes are 100, 1.5"),
        ({"recipes": [CROSS], "train_sizes": [0]}, "The training sizes are 0"),
        ({"recipes": [CROSS], "train_sizes": [10, 10]}, "The training sizes are 10, 10"),
    ],
)
def test_a_grid_that_cannot_be_compared_is_refused(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        compare(**arguments, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_conditions_give_recipes_of_different_training_sizes_the_same_one(tmp_path: Path, stand_in: Any) -> None:
    stand_in(lambda recipe: 0.8)
    small = SIAMESE.with_overrides({"data.train_size": 100})
    result = compare([CROSS, small], seeds=1, train_sizes=[50], out=tmp_path)
    assert [Run.load(tmp_path / cell.folder).recipe.data.train_size for cell in result.cells] == [50, 50]


def test_the_command_is_the_comparison_that_was_made_or_nothing() -> None:
    def command(**changed: Any) -> str:
        given: dict[str, Any] = {"recipes": ["digits-siamese"], "seeds": 2, "axes": {}, "equal": None, "trials": 0}
        return command_of(**given | {"data": None, "budget": None, "overrides": {}} | changed)

    overrides = {"data.train_size": None, "encoder.widths": (4, 8), "title": "one: two", "epochs": 3, "rate": 1e-5}
    words = shlex.split(command(seeds=[0, 1], overrides=overrides))
    assert words[:5] == ["likewise", "compare", "digits-siamese", "--seeds", "2"]
    assert settings(words[6::2]) == overrides | {"encoder.widths": [4, 8]}
    axes = {"train_sizes": ["10/class", 500], "label_noise": [0, 0.2], "unseen_classes": None}
    assert command(axes=axes, trials=6, equal="images=5000", budget="smoke").endswith(
        "--seeds 2 --train-sizes 10/class,500 --label-noise 0,0.2 --equal images=5000 --trials 6 --budget smoke"
    )
    assert command(seeds=[5, 7]) == ""
    assert command(overrides={"encoder": Path("mine")}) == ""
    shipped = load_recipe("digits-crossentropy", budget="smoke")
    assert command(recipes=[shipped], budget="smoke") == "likewise compare digits-crossentropy --seeds 2 --budget smoke"
    assert command(recipes=[SIAMESE]) == ""


def test_a_folder_with_other_files_is_left_alone(stand_in: Any, tmp_path: Path) -> None:
    stand_in(lambda recipe: 0.8)
    (tmp_path / "thesis.tex").write_text("do not touch")
    with pytest.raises(RunError, match="not a comparison"):
        compare([CROSS], seeds=1, out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_the_showcase_is_the_largest_size_and_first_seed_that_is_done(stand_in: Any, tmp_path: Path) -> None:
    def diverges(recipe: Recipe) -> float:
        if recipe.seed == 0 and recipe.data.train_size == 500:
            raise TrainingError("The loss is nan.")
        return 0.8

    stand_in(diverges)
    result = compare([CROSS], seeds=2, train_sizes=[500, 100], out=tmp_path)
    assert result.showcase() == [tmp_path / "cells" / "digits-crossentropy" / "train-500" / "seed-1"]


KILLED = """
import sys
from pathlib import Path
from tests.comparison.conftest import recipe_of
from likewise.comparison import compare
compare([recipe_of("cross_entropy"), recipe_of("siamese")], seeds=1, out=Path(sys.argv[1]), quiet=True)
"""


def test_a_killed_comparison_resumes_to_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = compare([CROSS, SIAMESE], seeds=1, out=tmp_path / "whole", quiet=True)
    root = Path(__file__).parents[2]
    killed = tmp_path / "killed"
    path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(killed)], cwd=root, env=os.environ | {"PYTHONPATH": path}
    )
    first = killed / whole.cells[0].folder / "metrics.json"
    deadline = time.monotonic() + 120
    while not first.is_file() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert first.is_file()
    before = first.stat().st_mtime_ns
    resumed = compare([CROSS, SIAMESE], seeds=1, out=killed, quiet=True)
    assert first.stat().st_mtime_ns == before
    timed = ("train_seconds", "total_seconds")
    assert [row for row in resumed.summary if row.metric not in timed] == [
        row for row in whole.summary if row.metric not in timed
    ]
    assert [row for row in resumed.differences if row.metric not in timed] == [
        row for row in whole.differences if row.metric not in timed
    ]
    assert resumed.statements == whole.statements


def test_the_values_per_image_average_to_the_numbers_of_a_real_run(tmp_path: Path) -> None:
    result = compare([CROSS], seeds=1, out=tmp_path, quiet=True)
    run = Run.load(tmp_path / result.cells[0].folder)
    compared = 0
    for metric in result.metrics:
        values = per_image(run.records(), metric.name)
        if values is not None:
            compared += 1
            assert values.mean() == pytest.approx(run.metrics[metric.name], abs=1e-6), metric.name
    assert compared >= 10
