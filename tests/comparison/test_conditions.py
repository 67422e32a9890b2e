"""Wrong labels, unseen classes and equal budgets as parts of one comparison: what is computed, and what is said of it."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from likewise.comparison import Comparison, as_table, compare
from likewise.errors import RecipeError
from likewise.recipe import Recipe
from likewise.report import write_comparison_report
from likewise.training import Run

from .conftest import TEST_IMAGES, recipe_of

CROSS, SIAMESE = recipe_of("cross_entropy"), recipe_of("siamese")
NAMES = ("digits-crossentropy", "digits-siamese")


def falling(recipe: Recipe) -> float:
    """Accuracy that wrong labels cost: cross-entropy more of it than siamese."""
    cross = recipe.objective.name == "cross_entropy"
    return (0.90 - 0.5 * recipe.data.label_noise) if cross else (0.80 - 0.1 * recipe.data.label_noise)


def test_every_condition_is_a_cell_of_its_own_and_a_clean_comparison_can_grow(stand_in: Any, tmp_path: Path) -> None:
    trainer = stand_in(falling)
    compare([CROSS], seeds=1, train_sizes=["10/class", 500], out=tmp_path)
    assert trainer.calls == [f"digits-crossentropy/train-{size}/seed-0" for size in ("10-per-class", "500")]
    trainer.calls.clear()
    result = compare(
        [CROSS],
        seeds=1,
        train_sizes=["10/class", 500],
        label_noise=[0, 0.2, 0.4],
        unseen_classes=[0, 0.5],
        out=tmp_path,
    )
    assert len(trainer.calls) == 2 * 3 * 2 - 2
    keys = ["10-per-class", "500", "10-per-class-noise-0.2", "500-noise-0.2", "10-per-class-noise-0.4", "500-noise-0.4"]
    closed = [condition.key for condition in result.conditions if not condition.unseen_classes]
    assert closed == keys
    assert [condition.key for condition in result.conditions][6:] == [f"{key}-unseen-0.5" for key in keys]
    for cell in result.cells:
        condition = next(it for it in result.conditions if it.key == cell.condition)
        data = Run.load(tmp_path / cell.folder).recipe.data
        assert (data.train_size, data.label_noise, data.unseen_classes) == (
            condition.train_size,
            condition.label_noise,
            condition.unseen_classes,
        )
    assert result.showcase() == [tmp_path / "cells/digits-crossentropy/train-500/seed-0"]
    assert Comparison.load(tmp_path) == result


def test_what_wrong_labels_cost_is_the_paired_difference_to_clean_ones(stand_in: Any, tmp_path: Path) -> None:
    stand_in(falling)
    result = compare([CROSS, SIAMESE], seeds=3, label_noise=[0, 0.2, 0.4], out=tmp_path)
    costs = {(cost.recipe, cost.condition): cost for cost in result.noise_costs if cost.metric == "knn1_accuracy"}
    assert {key: round(cost.mean, 6) for key, cost in costs.items()} == {
        (NAMES[0], "all-noise-0.2"): 0.1,
        (NAMES[0], "all-noise-0.4"): 0.2,
        (NAMES[1], "all-noise-0.2"): 0.02,
        (NAMES[1], "all-noise-0.4"): 0.04,
    }
    cost = costs[NAMES[0], "all-noise-0.4"]
    half = 1.96 * np.sqrt(0.2 * 0.8 / TEST_IMAGES)  # the seeds agree: what is left is the luck of the test images
    assert (cost.low, cost.high, cost.clean) == (
        pytest.approx(0.2 - half, abs=2e-3),
        pytest.approx(0.2 + half, abs=2e-3),
        "all",
    )
    answers = {answer.question: answer.statements for answer in result.answers}
    said = answers["What do wrong labels cost?"]
    assert said[1].startswith("40 % wrong labels instead of none cost cross-entropy 20.0 points (95 % interval ")
    assert len(said) == 4
    assert answers["Does the ranking change with wrong labels?"] == [
        "The ranking of cross-entropy and siamese by 1-NN accuracy changes: cross-entropy is ahead with 0 % and 20 % wrong "
        "labels, siamese with 40 % wrong labels."
    ]
    assert "With 800 training images and 40 % wrong labels siamese is ahead of cross-entropy" in " ".join(
        result.statements
    )


def test_nothing_is_said_of_a_cost_whose_interval_overlaps_zero(stand_in: Any, tmp_path: Path) -> None:
    values = [0.80, 0.83, 0.78]
    stand_in(lambda recipe: values[recipe.seed] - (0.01 if recipe.data.label_noise and recipe.seed else 0))
    result = compare([CROSS], seeds=3, label_noise=[0, 0.2], out=tmp_path)
    said = [line for line in result.statements if "wrong labels" in line and "raw pixels" not in line]
    assert len(said) == 1
    assert said[0].startswith(
        "No statement on what wrong labels cost cross-entropy where the interval overlaps zero: 20 %"
    )


def test_unseen_classes_are_compared_by_retrieval_beside_raw_pixels(stand_in: Any, tmp_path: Path) -> None:
    stand_in(lambda recipe: 0.8 if recipe.objective.name == "siamese" else 0.7)
    result = compare([CROSS, SIAMESE], seeds=2, unseen_classes=[0, 0.5], out=tmp_path)
    row = result.difference(*NAMES, "all-unseen-0.5", "map_at_r")
    assert row is not None
    assert (row.mean, row.method) == (pytest.approx(-0.05), "paired-bootstrap")
    assert result.difference(*NAMES, "all-unseen-0.5", "knn1_accuracy") is None
    answers = {answer.question: " ".join(answer.statements) for answer in result.answers}
    with_unseen = "With 800 training images and 50 % of the classes unseen siamese is ahead of cross-entropy in"
    assert f"{with_unseen} MAP@R by 5.0 points" in answers["Which objective finds unseen classes better?"]
    assert f"{with_unseen} recall@1 by 10.0 points" in answers["Which objective finds unseen classes better?"]
    assert "1-NN accuracy by 10.0 points" in answers["Which objective gives the better 1-NN accuracy?"]
    assert "In recall@1 among unseen classes siamese is above raw pixels by 30.0 points" in " ".join(result.statements)
    raw = {row.metric: row.mean for row in result.baselines if row.condition == "all-unseen-0.5"}
    assert raw == {"recall_at_1": 0.5, "map_at_r": 0.3}
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(as_table(result))
    lines = console.export_text().splitlines()
    assert any(line.split()[:2] == ["50", "%"] and "40.0 ±0.0" in line for line in lines)
    with (tmp_path / "table.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "map_at_r"]
    assert [
        (row["recipe"], row["unseen_classes"], row["label_noise"]) for row in rows if row["unseen_classes"] != "0.0"
    ] == [
        (NAMES[0], "0.5", "0.0"),
        (NAMES[1], "0.5", "0.0"),
        ("raw_pixels", "0.5", "0.0"),
    ]


def test_a_comparison_on_unseen_classes_alone_is_about_map_at_r(stand_in: Any, tmp_path: Path) -> None:
    stand_in(lambda recipe: 0.8)
    result = compare([CROSS], seeds=1, unseen_classes=[0.5], out=tmp_path)
    assert [metric.name for metric in result.metrics if metric.main] == ["map_at_r"]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(as_table(result))
    assert "recall@1 %" in console.export_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label_noise": [0, 1.0]}, r"The shares of wrong labels are 0, 1.0.*0 to below 1"),
        ({"label_noise": [0.2, 0.2]}, "The shares of wrong labels are 0.2, 0.2"),
        ({"unseen_classes": []}, "The shares of unseen classes are none"),
        ({"train_sizes": ["ten/class"]}, r"The training sizes are ten/class.*10/class"),
        ({"equal": "epochs=3"}, r"The equal budget is 'epochs=3'.*seconds, steps or images"),
        ({"equal": "steps=0"}, "The equal budget is 'steps=0'"),
        ({"equal": "steps=1.5"}, "The equal budget is 'steps=1.5'"),
    ],
)
def test_conditions_that_there_are_not_are_refused(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        compare([CROSS], out=tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_an_equal_budget_is_that_of_every_run_and_is_stated(stand_in: Any, tmp_path: Path) -> None:
    stand_in(lambda recipe: 0.8)
    result = compare([CROSS, SIAMESE.with_overrides({"epochs": 7})], seeds=1, equal="images=5000", out=tmp_path)
    assert {Run.load(tmp_path / cell.folder).recipe.training.images for cell in result.cells} == {5000}
    assert any("same budget" in note and "5,000 training images passed" in note for note in result.notes)
    write_comparison_report(tmp_path)
    assert "5,000 training images passed" in (tmp_path / "report.html").read_text("utf-8")
    with pytest.raises(RecipeError, match=r"training\.images is 5000 there and None now"):
        compare([CROSS], seeds=1, equal="steps=100", out=tmp_path)


def staged(**training: Any) -> Recipe:
    """Twelve epochs of pairs in batches of 50, four of a frozen encoder in batches of 100, two of the whole."""
    pretrain = {"objective": "siamese", "training.epochs": 12, "training.batch_size": 50}
    probe = {"training.epochs": 4, "training.freeze": "encoder"}
    stages = [{"name": "pretrain", "set": pretrain}, {"name": "probe", "take": "model", "set": probe}]
    return recipe_of("cross_entropy", before=stages, training={"epochs": 2, "batch_size": 100} | training)


@pytest.mark.parametrize(
    ("equal", "shares"),
    [
        ("steps=1000", [800, 133, 67]),  # epochs / batch size: 0.24, 0.04, 0.02
        ("images=6000", [4800, 800, 400]),  # both images of a pair: 24, 4, 2
        ("seconds=131", [120.0, 1.0, 10.0]),  # features of a frozen encoder are computed once: 24, 0.2, 2
    ],
)
def test_stages_share_an_equal_budget_as_they_share_the_work(
    equal: str, shares: list[float], stand_in: Any, tmp_path: Path
) -> None:
    stand_in(lambda recipe: 0.8)
    result = compare([staged(), SIAMESE], seeds=1, equal=equal, out=tmp_path)
    whole, single = (Run.load(tmp_path / cell.folder).recipe for cell in result.cells)
    kind = equal.partition("=")[0]
    parts = [whole.stage(0), whole.stage(1), whole]
    assert [getattr(part.training, kind) for part in parts] == pytest.approx(shares, abs=0.002)
    assert sum(getattr(part.training, kind) for part in parts) == getattr(single.training, kind)


def test_a_stage_keeps_its_own_share_and_what_trains_nothing_has_none(stand_in: Any, tmp_path: Path) -> None:
    stand_in(lambda recipe: 0.8)
    settings = {"before.pretrain.training.steps": 40, "before.probe.training.epochs": 0}
    result = compare([staged()], seeds=1, equal="steps=100", overrides=settings, out=tmp_path / "own")
    recipe = Run.load(tmp_path / "own" / result.cells[0].folder).recipe
    assert [part.training.steps for part in (recipe.stage(0), recipe.stage(1), recipe)] == [40, None, 60]
    assert recipe.stage(1).training.epochs == 0
    untrained = recipe_of("siamese", training={"epochs": 0})
    result = compare([untrained], seeds=1, equal="steps=100", out=tmp_path / "untrained")
    assert Run.load(tmp_path / "untrained" / result.cells[0].folder).recipe.training == untrained.training


@pytest.mark.parametrize(
    ("equal", "settings", "message"),
    [
        ("steps=2", {}, "The equal budget is steps=2, and digits-crossentropy has 3 stages"),
        ("steps=40", {"before.pretrain.training.steps": 40}, "The equal budget is steps=40"),
        ("seconds=9", {"before.probe.training.steps": 40}, "crossentropy-probe is a stage of 40 steps.*in seconds"),
    ],
)
def test_an_equal_budget_that_stages_cannot_share_is_refused(
    equal: str, settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=message):
        compare([staged()], equal=equal, overrides=settings, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_report_has_the_curve_over_wrong_labels_and_the_table_of_unseen_classes(
    stand_in: Any, tmp_path: Path
) -> None:
    stand_in(falling)
    compare([CROSS, SIAMESE], seeds=2, label_noise=[0, 0.4], unseen_classes=[0, 0.5], out=tmp_path)
    page = write_comparison_report(tmp_path).read_text("utf-8")
    assert (tmp_path / "figures" / "label_noise.png").is_file()
    assert (tmp_path / "figures" / "unseen_classes.png").is_file()
    shown, folded = (part for part in page.split('id="numbers"')[1].split("<details>", 1))
    assert "<h3>800 training images</h3>" in shown
    assert "<h3>800 training images, 50 % of the classes unseen</h3>" in shown
    assert "<summary>800 training images, 40 % wrong labels</summary>" in folded
