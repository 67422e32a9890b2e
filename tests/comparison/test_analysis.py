"""What the numbers of a grid become: intervals, paired differences, baselines, table and sentences."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console
from scipy import stats

from likewise.comparison import INTERVAL_WORDS, METHOD_WORDS, Comparison, as_dict, as_table, compare
from likewise.comparison.metrics import per_image
from likewise.errors import RunError
from likewise.evaluation import wilson
from likewise.recipe import Recipe

from .conftest import RAW_PIXELS, TEST_IMAGES, recipe_of

CROSS, SIAMESE = recipe_of("cross_entropy"), recipe_of("siamese")
NAMES = ("digits-crossentropy", "digits-siamese")


def shares(cross: list[float], siamese: list[float]) -> Any:
    """Accuracy by objective and seed."""
    return lambda recipe: (cross if recipe.objective.name == "cross_entropy" else siamese)[recipe.seed]


def test_the_summary_is_students_interval_over_seeds(stand_in: Any, tmp_path: Path) -> None:
    values = [0.80, 0.82, 0.87]
    stand_in(lambda recipe: values[recipe.seed])
    result = compare([CROSS], seeds=3, out=tmp_path)
    row = next(row for row in result.summary if row.metric == "knn1_accuracy")
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (row.mean, row.low, row.high) == pytest.approx((np.mean(values), low, high))
    assert (row.n, row.interval, row.values) == (3, "seeds", pytest.approx(values))


def test_bounds_of_a_share_stay_shares(stand_in: Any, tmp_path: Path) -> None:
    stand_in(lambda recipe: [0.90, 1.0][recipe.seed])
    result = compare([CROSS], seeds=2, out=tmp_path)
    rows = [row for row in result.summary if row.metric == "knn1_accuracy"]
    assert [(row.low, row.high) for row in rows] == [(pytest.approx(0.95 - 12.706 * 0.05, abs=1e-3), 1.0)]


def test_with_one_seed_the_interval_is_over_test_images_and_says_so(stand_in: Any, tmp_path: Path) -> None:
    stand_in(shares([0.82], [0.75]))
    result = compare([CROSS, SIAMESE], seeds=1, out=tmp_path)
    row = next(row for row in result.summary if (row.recipe, row.metric) == (NAMES[0], "knn1_accuracy"))
    wilson = stats.binomtest(820, TEST_IMAGES).proportion_ci(method="wilson")
    assert (row.low, row.high) == pytest.approx((wilson.low, wilson.high))
    assert row.interval == "samples"
    assert "One seed only" in INTERVAL_WORDS[row.interval]
    assert any(note.startswith("One seed only") for note in result.notes)
    assert all("one seed" in line for line in result.statements)
    seconds = next(row for row in result.summary if row.metric == "train_seconds")
    assert (seconds.mean, seconds.low, seconds.interval) == (1.5, None, "none")


def test_an_image_that_is_alone_in_its_class_counts_in_no_recall(stand_in: Any, tmp_path: Path) -> None:
    trainer = stand_in(shares([0.82], [0.75]))
    trainer.lonely = 600
    result = compare([CROSS, SIAMESE], seeds=1, out=tmp_path)
    rows = [row for row in result.summary if row.metric == "recall_at_1"]
    for row in rows:
        assert (row.low, row.high) == wilson(round(400 * row.mean), 400)
    gap = result.difference(CROSS.name, SIAMESE.name, "all", "recall_at_1")
    assert gap is not None
    assert gap.mean == pytest.approx(rows[0].mean - rows[1].mean)


def test_paired_differences_see_only_the_images_on_which_two_recipes_differ(stand_in: Any, tmp_path: Path) -> None:
    stand_in(shares([0.82], [0.75]))
    result = compare([CROSS, SIAMESE], seeds=1, out=tmp_path)
    row = result.difference(*NAMES, "all", "knn1_accuracy")
    assert row is not None
    half = 1.96 * np.sqrt(0.07 * 0.93 / TEST_IMAGES)  # 70 of 1,000 images differ, all in one direction
    assert (row.mean, row.low, row.high) == pytest.approx((0.07, 0.07 - half, 0.07 + half), abs=1.5e-3)
    assert row.method == "paired-bootstrap-one-seed"
    without = result.difference(*NAMES, "all", "knn1_f1_macro")
    assert without is not None
    assert (without.low, without.method, without.supported) == (None, "none", False)


def test_other_test_images_cannot_be_paired(stand_in: Any, tmp_path: Path) -> None:
    trainer = stand_in(shares([0.82, 0.83], [0.75, 0.77]))
    trainer.image_prefix = lambda recipe: recipe.objective.name
    result = compare([CROSS, SIAMESE], seeds=2, out=tmp_path)
    row = result.difference(*NAMES, "all", "knn1_accuracy")
    assert row is not None
    assert row.method == "paired-t"
    assert "over seeds" in METHOD_WORDS[row.method]


def test_an_image_counts_by_its_captions() -> None:
    records = pa.table({"text_to_image_ranks": pa.array([[1], [2, 3, 1], [7, 8]]), "image_to_text_rank": [1, 4, 2]})
    first = per_image(records, "text_to_image_recall_at_1")
    assert first is not None
    assert first.tolist() == [0.5, 0.5, 0]  # one hit each, and two captions an image in the mean
    assert first.mean() == pytest.approx(2 / 6)
    found = per_image(records, "image_to_text_recall_at_2")
    assert found is not None
    assert found.tolist() == [1, 0, 1]


def test_a_supported_difference_is_stated_with_its_interval(stand_in: Any, tmp_path: Path) -> None:
    stand_in(shares([0.82, 0.83, 0.82], [0.75, 0.76, 0.75]))
    result = compare([CROSS, SIAMESE], seeds=3, train_sizes=[100], out=tmp_path)
    row = result.difference(*NAMES, "100", "knn1_accuracy")
    assert row is not None
    assert row.low is not None
    assert row.high is not None
    assert (
        "With 100 training images cross-entropy is ahead of siamese in 1-NN accuracy by 7.0 points "
        f"(95 % interval {100 * row.low:.1f} to {100 * row.high:.1f})." in result.statements
    )
    assert any("ahead of siamese in recall@1" in line for line in result.statements)


def test_who_names_classes_better_is_stated(stand_in: Any, tmp_path: Path) -> None:
    stand_in(shares([0.82, 0.83, 0.82], [0.75, 0.76, 0.75])).zero_shot = True
    result = compare([CROSS, SIAMESE], seeds=3, out=tmp_path)
    [said] = [found for found in result.answers if "from their names alone" in found.question]
    assert "cross-entropy is ahead of siamese in zero-shot accuracy by 7.0 points" in said.statements[0]


@pytest.mark.parametrize("siamese", [[0.80, 0.83, 0.79], [0.75, 0.85, 0.60]])
def test_no_winner_is_named_where_the_interval_overlaps_zero(
    siamese: list[float], stand_in: Any, tmp_path: Path
) -> None:
    stand_in(shares([0.81, 0.81, 0.82], siamese))
    result = compare([CROSS, SIAMESE], seeds=3, train_sizes=[100, 200], out=tmp_path)
    between = [line for line in result.statements if "siamese" in line and "raw pixels" not in line]
    assert between
    assert not any("ahead" in line for line in between)
    assert any("no statement on 1-NN accuracy" in line and "overlaps zero" in line for line in between)
    assert any("cannot be said" in line for line in between)


def test_a_ranking_that_changes_with_the_training_size_is_stated(stand_in: Any, tmp_path: Path) -> None:
    def crossing(recipe: Recipe) -> float:
        cross = recipe.objective.name == "cross_entropy"
        return (0.60 if cross else 0.75) if recipe.data.train_size == 100 else (0.90 if cross else 0.80)

    stand_in(crossing)
    result = compare([CROSS, SIAMESE], seeds=2, train_sizes=[100, 500], out=tmp_path)
    assert (
        "The ranking of cross-entropy and siamese by 1-NN accuracy changes: cross-entropy is ahead with 500 training "
        "images, siamese with 100 training images." in result.statements
    )
    questions = [answer.question for answer in result.answers]
    assert "Does the ranking change with the number of training images?" in questions
    assert [line for answer in result.answers for line in answer.statements] == result.statements


def test_every_recipe_is_held_against_raw_pixels(stand_in: Any, tmp_path: Path) -> None:
    stand_in(shares([0.85, 0.85], [0.60, 0.60]))
    result = compare([CROSS, SIAMESE], seeds=2, out=tmp_path)
    half = 1.96 * np.sqrt((0.85 * 0.15 + RAW_PIXELS * (1 - RAW_PIXELS)) / TEST_IMAGES)
    row = result.difference(NAMES[0], "raw_pixels", "all", "knn1_accuracy")
    assert row is not None
    assert (row.low, row.high, row.method) == (
        pytest.approx(0.15 - half, abs=1e-3),
        pytest.approx(0.15 + half, abs=1e-3),
        "independent",
    )
    assert any("cross-entropy is above raw pixels by 15.0 points" in line for line in result.statements)
    assert any("siamese is below raw pixels by 10.0 points" in line for line in result.statements)
    assert [(row.name, row.dimension, row.mean) for row in result.baselines] == [
        ("raw_pixels", 64, pytest.approx(RAW_PIXELS)),
        ("pca_4", 4, pytest.approx(0.6)),
    ]


def test_recall_curves_have_a_line_per_recipe(stand_in: Any, tmp_path: Path) -> None:
    stand_in(shares([0.85, 0.87], [0.60, 0.64]))
    result = compare([CROSS, SIAMESE], seeds=2, out=tmp_path)
    curve = result.recall_curves[0]
    assert (curve.recipe, curve.k, curve.n) == (NAMES[0], list(range(1, 11)), 2)
    assert curve.mean == pytest.approx([0.86] * 6 + [1.0] * 4)
    assert curve.high[0] == pytest.approx(min(1, 0.86 + 12.706 * 0.01), abs=1e-3)


def test_it_is_saved_as_json_and_read_back_unchanged(stand_in: Any, tmp_path: Path) -> None:
    stand_in(shares([0.85, 0.87], [0.60, 0.64]))
    result = compare([CROSS, SIAMESE], seeds=2, train_sizes=[100, 0.5], overrides={"training.epochs": 2}, out=tmp_path)
    assert Comparison.load(tmp_path) == result
    assert json.loads((tmp_path / "comparison.json").read_text()) == json.loads(json.dumps(as_dict(result)))
    assert result.environment == {"python": "3", "torch": "2"}


def test_a_damaged_file_is_an_error_with_advice(tmp_path: Path) -> None:
    (tmp_path / "comparison.json").write_text('{"format": 1, "recipes": [')
    with pytest.raises(RunError, match=r"cannot be read.*likewise compare"):
        Comparison.load(tmp_path)


def test_table_and_csv_hold_recipes_and_baselines(stand_in: Any, tmp_path: Path) -> None:
    stand_in(shares([0.85, 0.87], [0.60, 0.64]))
    result = compare([CROSS, SIAMESE], seeds=2, train_sizes=[100, 500], out=tmp_path)
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(as_table(result))
    lines = console.export_text().splitlines()
    row = next(line for line in lines if "cross-entropy" in line and "500" in line)
    assert "86.0 ±12.7" in row  # Student: 12.7 · 0.01
    assert any("raw pixels" in line and "70.0" in line for line in lines)
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = [
        row for row in rows if (row["recipe"], row["train_images"], row["metric"]) == (NAMES[0], "100", "knn1_accuracy")
    ]
    assert [float(row["mean"]) for row in found] == [pytest.approx(0.86)]
    assert {"raw_pixels", "pca_4"} <= {row["recipe"] for row in rows}
