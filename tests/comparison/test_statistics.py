"""Intervals over seeds and test images against closed forms and against their own promise, coverage."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from likewise.comparison import statistics
from likewise.comparison.metrics import per_image
from likewise.comparison.pairs import Pairs
from likewise.comparison.rows import Metric
from likewise.comparison.statistics import independent_difference, paired_differences, student

from .conftest import TEST_IMAGES, recipe_of


def test_without_image_noise_it_is_students_interval_over_seeds() -> None:
    per_seed = np.array([0.010, 0.014, 0.021])
    differences = np.repeat(per_seed[None, :, None], 500, axis=2)
    (row,) = paired_differences(differences)
    low, high = stats.t.interval(0.95, 2, loc=per_seed.mean(), scale=stats.sem(per_seed))
    assert row.mean == pytest.approx(per_seed.mean())
    assert (row.low, row.high) == pytest.approx((low, high), abs=2e-4)
    assert row.method == "paired-bootstrap"


def test_with_one_seed_it_is_the_normal_interval_of_the_paired_difference() -> None:
    generator = np.random.default_rng(3)
    each = generator.choice([-1.0, 0.0, 1.0], p=[0.05, 0.85, 0.10], size=4000)
    (row,) = paired_differences(each[None, None])
    half = 1.96 * each.std() / np.sqrt(len(each))
    assert (row.low, row.high) == pytest.approx((each.mean() - half, each.mean() + half), abs=0.06 * half)
    assert row.method == "paired-bootstrap-one-seed"


def test_both_levels_together_are_wider_than_either() -> None:
    generator = np.random.default_rng(0)
    luck = generator.normal(0, 0.3, size=1000)  # the same images for all seeds
    differences = luck + np.array([0.02, 0.03, 0.04])[:, None]
    (both,) = paired_differences(differences[None])
    (images,) = paired_differences(differences.mean(axis=0)[None, None])
    seeds = student(differences.mean(axis=1).tolist())
    assert both.low is not None
    assert both.high is not None
    widths = [(row.high or 0) - (row.low or 0) for row in (images, seeds)]
    assert both.high - both.low > max(widths)
    assert both.high - both.low == pytest.approx(np.hypot(*widths), rel=0.25)


def test_many_test_images_are_resampled_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    each = np.random.default_rng(1).normal(size=(1, 1, 2000))
    whole = paired_differences(each)
    monkeypatch.setattr(statistics, "_CHUNK_BYTES", 3 * 8 * 2000)
    tracemalloc.start()
    (row,) = paired_differences(each)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (row.low, row.high) == pytest.approx((whole[0].low, whole[0].high), abs=1e-12)
    assert peak < 30 * 8 * 2000  # 100 resamples at a time are 200 rows and more


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("images_noise", [0.03, 0.25], ids=["seeds-dominate", "images-dominate"])
def test_intervals_cover_the_true_difference_as_often_as_they_say(seeds: int, images_noise: float) -> None:
    generator = np.random.default_rng(seeds)
    repeats, images, truth = 1000, 100, 0.02
    between = generator.normal(0, 0.02, size=(repeats, seeds, 1))
    shared = generator.normal(0, images_noise, size=(repeats, 1, images))
    each = generator.normal(0, images_noise / 3, size=(repeats, seeds, images))
    trials = truth + between + shared + each
    rows = paired_differences(trials)
    covered = np.mean([(row.low or 0) <= truth <= (row.high or 0) for row in rows])
    assert 0.95 - 3 * np.sqrt(0.95 * 0.05 / repeats) <= covered < 1


def test_identical_recipes_differ_by_nothing() -> None:
    (row,) = paired_differences(np.zeros((1, 3, 50)))
    assert (row.mean, row.low, row.high, row.excludes_zero) == (0.0, 0.0, 0.0, False)


def test_one_value_has_no_interval_and_supports_nothing() -> None:
    row = student([0.4])
    assert (row.mean, row.low, row.high, row.excludes_zero) == (0.4, None, None, False)


def test_accuracies_without_records_are_compared_as_independent_samples() -> None:
    row = independent_difference([0.90], [0.80], images=1000)
    half = 1.96 * np.sqrt((0.9 * 0.1 + 0.8 * 0.2) / 1000)
    assert (row.low, row.high) == pytest.approx((0.1 - half, 0.1 + half), abs=2e-4)
    assert row.method == "independent-one-seed"
    assert row.excludes_zero


def test_seed_to_seed_luck_widens_an_independent_difference() -> None:
    steady = independent_difference([0.90, 0.90, 0.90], [0.85, 0.85, 0.85], images=10_000)
    shaky = independent_difference([0.86, 0.90, 0.94], [0.85, 0.85, 0.85], images=10_000)
    assert steady.excludes_zero
    assert not shaky.excludes_zero
    assert shaky.mean == pytest.approx(steady.mean)


def test_pairs_keep_means_and_not_every_seed_and_image(stand_in: Any, tmp_path: Path) -> None:
    trainer = stand_in(lambda recipe: 0.8 + 0.01 * recipe.seed if recipe.objective.name == "siamese" else 0.7)
    recipes = [recipe_of("cross_entropy"), recipe_of("siamese")]
    runs = {
        (recipe.name, "all", seed): trainer(
            recipe.with_overrides({"seed": seed}), tmp_path / recipe.name / str(seed), resume=True, quiet=True
        )
        for recipe in recipes
        for seed in range(3)
    }
    a, b = ((recipe.name, "all") for recipe in recipes)
    pairs = Pairs(runs, [Metric("knn1_accuracy", "1-NN accuracy", "fraction", True, True)])
    pairs.add(a, b, range(3))
    held = [array.size for group in pairs._each.values() for _, means in group for array in means]
    assert held == [TEST_IMAGES, 3]
    values = np.stack(
        [
            per_image(runs[*a, seed].records(), "knn1_accuracy") - per_image(runs[*b, seed].records(), "knn1_accuracy")
            for seed in range(3)
        ]
    )
    assert [row[3] for row in pairs.intervals()] == paired_differences(values[None])


def test_pairs_of_one_call_do_not_influence_each_other() -> None:
    generator = np.random.default_rng(1)
    pairs = generator.normal(0.1, 1, size=(3, 2, 300))
    together = paired_differences(pairs)
    alone = [paired_differences(pair[None])[0] for pair in pairs]
    assert [row.low for row in together] == pytest.approx([row.low for row in alone])
    assert [row.high for row in together] == pytest.approx([row.high for row in alone])
