"""From finished cells to summary, baselines, paired differences and recall curves."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from likewise.comparison.metrics import (
    MAIN_METRIC,
    UNSEEN_METRIC,
    images_counted,
    is_share,
    is_share_of_test_images,
    known_metrics,
)
from likewise.comparison.pairs import Pairs
from likewise.comparison.record import RAW_PIXELS, Comparison
from likewise.comparison.rows import Baseline, Cell, Condition, Difference, NoiseCost, RecallCurve, Summary
from likewise.comparison.statements import answer, notes
from likewise.comparison.statistics import Interval, independent_difference, student, within
from likewise.evaluation.intervals import wilson
from likewise.training import Run

__all__ = ["Runs", "analyse"]

RECALL = "recall_at_"
#: Finished runs by recipe, condition and seed.
Runs = dict[tuple[str, str, int], Run]


def analyse(comparison: Comparison, runs: Runs, before: Comparison | None = None) -> Comparison:
    """The same comparison with everything that follows from its finished cells.

    Args:
        comparison: with its cells as they stand.
        runs: the run of each finished cell.
        before: an earlier result, whose differences are kept where a condition has no new cell.
    """
    current = dataclasses.replace(comparison, conditions=_counted(comparison, runs))
    easiest = current.easiest()
    first = next((run for (_, key, _), run in runs.items() if easiest and key == easiest.key), None)
    current = dataclasses.replace(
        current,
        data=_data(first.recipe.data.source, first.evaluation) if first else {},
        environment=_flat(first.environment) if first else {},
        metrics=known_metrics(name for run in runs.values() for name in run.metrics),
    )
    asked = _asked(runs)
    current = dataclasses.replace(
        current,
        summary=list(_summary(current, runs, asked)),
        baselines=list(_baselines(current, runs, asked)),
        recall_curves=list(_recall_curves(current, runs, asked)),
    )
    between = [row for condition in current.conditions for row in _between(current, condition, runs, before)]
    current = dataclasses.replace(
        current,
        differences=[*between, *_against_raw(current, runs, asked)],
        noise_costs=_noise_costs(current, runs, before),
    )
    answers = answer(current)
    return dataclasses.replace(
        current,
        answers=answers,
        statements=[statement for group in answers for statement in group.statements],
        notes=notes(current, [note for run in runs.values() for note in run.evaluation.get("notes", [])]),
    )


def _counted(comparison: Comparison, runs: Runs) -> list[Condition]:
    """The conditions with the images that they came to, in the order of tables."""
    sizes = {key: run.evaluation["sizes"] for (_, key, _), run in runs.items()}
    conditions = [
        dataclasses.replace(condition, count=sizes[condition.key]["train"], test=sizes[condition.key]["test"])
        if condition.key in sizes
        else dataclasses.replace(condition, count=None, test=None)
        for condition in comparison.conditions
    ]
    return sorted(conditions, key=lambda condition: condition.order)


def _asked(runs: Runs) -> dict[str, int]:
    """By condition, the test images that have another one of their class to find: what recall@k is a share of."""
    first = {key: run for (_, key, _), run in reversed(runs.items())}
    counted = {
        key: images_counted(run.records(), RECALL + "1") for key, run in first.items() if RECALL + "1" in run.metrics
    }
    return {key: count for key, count in counted.items() if count is not None}


def _images(condition: Condition, metric: str, asked: Mapping[str, int]) -> int | None:
    """How many test images a number under a condition is a share of."""
    return asked.get(condition.key, condition.test) if metric.startswith(RECALL) else condition.test


def _data(source: str, context: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "source": source,
        "origin": context.get("origin", ""),
        "validation": context["sizes"]["validation"],
        "test": context["sizes"]["test"],
        "class_names": list(context.get("class_names", [])),
        "bad_images": list(context.get("bad_images", [])),
    }


def _flat(environment: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in environment.items():
        flat |= value if isinstance(value, dict) else {key: value}
    return flat


def _over_seeds(values: Sequence[float], metric: str, images: int | None) -> tuple[float | None, float | None, str]:
    """Bounds of a mean over seeds, and what kind of interval they are."""
    if len(values) > 1:
        interval = within(student(values), 0.0 if is_share(metric) else -np.inf, 1.0 if is_share(metric) else np.inf)
        return interval.low, interval.high, "seeds"
    if images and is_share_of_test_images(metric):
        low, high = wilson(round(values[0] * images), images)
        return float(low), float(high), "samples"
    return None, None, "none"


def _summary(comparison: Comparison, runs: Runs, asked: Mapping[str, int]) -> Iterator[Summary]:
    for recipe in comparison.recipes:
        for condition in comparison.conditions:
            found = _of(comparison.done(recipe.name, condition.key), runs)
            for metric in comparison.metrics:
                values = [run.metrics[metric.name] for run in found if metric.name in run.metrics]
                if values:
                    images = _images(condition, metric.name, asked)
                    low, high, kind = _over_seeds(values, metric.name, images)
                    mean = float(np.mean(values))
                    yield Summary(
                        recipe.name, condition.key, metric.name, mean, low, high, len(values), kind, list(values)
                    )


def _of(cells: Sequence[Cell], runs: Runs) -> list[Run]:
    return [runs[cell.key] for cell in cells]


def _baselines(comparison: Comparison, runs: Runs, asked: Mapping[str, int]) -> Iterator[Baseline]:
    dimensions = sorted({recipe.embedding_dim for recipe in comparison.recipes})
    pixels = next((int(np.prod(run.evaluation["image_shape"])) for run in runs.values()), 0)
    rows = [
        (RAW_PIXELS, "raw pixels", pixels, metric.name, f"{RAW_PIXELS}_{metric.name}") for metric in comparison.metrics
    ]
    rows += [(f"pca_{size}", f"PCA to {size}", size, MAIN_METRIC, "pca_knn1_accuracy") for size in dimensions]
    for condition in comparison.conditions:
        for name, label, dimension, metric, key in rows:
            values = []
            for seed in comparison.seeds:
                known = [
                    run.evaluation["baselines"][key]
                    for (_, of, at), run in runs.items()
                    if (of, at) == (condition.key, seed)
                    and key in run.evaluation.get("baselines", {})
                    and (name == RAW_PIXELS or run.recipe.embedding_dim == dimension)
                ]
                values += known[:1]
            if values:
                low, high, kind = _over_seeds(values, metric, _images(condition, metric, asked))
                mean = float(np.mean(values))
                yield Baseline(
                    name, label, dimension, condition.key, metric, mean, low, high, len(values), kind, values
                )


def _recall_curves(comparison: Comparison, runs: Runs, asked: Mapping[str, int]) -> Iterator[RecallCurve]:
    for recipe in comparison.recipes:
        for condition in comparison.conditions:
            curves = [
                run.evaluation.get("recall_curve", {}) for run in _of(comparison.done(recipe.name, condition.key), runs)
            ]
            ks = sorted({int(k) for k in curves[0]}) if curves else []
            if not ks:
                continue
            values = [[float(curve[str(k)]) for curve in curves] for k in ks]
            images = _images(condition, RECALL, asked)
            bounds = [_over_seeds(row, f"{RECALL}{k}", images) for k, row in zip(ks, values, strict=True)]
            yield RecallCurve(
                recipe.name,
                condition.key,
                ks,
                [float(np.mean(row)) for row in values],
                [low for low, _, _ in bounds],
                [high for _, high, _ in bounds],
                len(curves),
                bounds[0][2],
            )


def _between(comparison: Comparison, under: Condition, runs: Runs, before: Comparison | None) -> list[Difference]:
    """Every pair of recipes under one condition, on the seeds that both have."""
    cells = comparison.done(condition=under.key)
    if before and before.done(condition=under.key) == cells:
        return [row for row in before.differences if row.condition == under.key and row.b != RAW_PIXELS]
    pairs = Pairs({cell.key: runs[cell.key] for cell in cells}, comparison.metrics)
    for a, b in combinations([recipe.name for recipe in comparison.recipes], 2):
        pairs.add((a, under.key), (b, under.key), comparison.seeds)
    return [
        Difference(a=a, b=b, **_gap(key, metric, interval, n))
        for (a, key), (b, _), metric, interval, n in pairs.intervals()
    ]


def _against_raw(comparison: Comparison, runs: Runs, asked: Mapping[str, int]) -> Iterator[Difference]:
    """Every recipe against raw pixels of the very same split: by 1-NN accuracy, or by recall@1 among unseen classes."""
    for recipe in comparison.recipes:
        for condition in comparison.conditions:
            metric = "recall_at_1" if condition.unseen_classes else MAIN_METRIC
            both = [
                (run.metrics[metric], run.evaluation["baselines"][f"{RAW_PIXELS}_{metric}"])
                for run in _of(comparison.done(recipe.name, condition.key), runs)
                if metric in run.metrics and f"{RAW_PIXELS}_{metric}" in run.evaluation.get("baselines", {})
            ]
            images = _images(condition, metric, asked)
            if both and images:
                trained, raw = zip(*both, strict=True)
                interval = independent_difference(trained, raw, images=images)
                yield Difference(a=recipe.name, b=RAW_PIXELS, **_gap(condition.key, metric, interval, len(both)))


def _noise_costs(comparison: Comparison, runs: Runs, before: Comparison | None) -> list[NoiseCost]:
    """For each recipe and share of wrong labels: the number with the cleanest labels less the number with these."""
    if before and before.done() == comparison.done():
        return before.noise_costs
    pairs = Pairs(runs, [metric for metric in comparison.metrics if metric.name in (MAIN_METRIC, UNSEEN_METRIC)])
    for recipe in comparison.recipes:
        for noisy in comparison.conditions:
            alike = [
                condition
                for condition in comparison.conditions
                if (condition.train_size, condition.unseen_classes) == (noisy.train_size, noisy.unseen_classes)
            ]
            clean = min(alike, key=lambda condition: condition.label_noise)
            if clean != noisy:
                pairs.add((recipe.name, clean.key), (recipe.name, noisy.key), comparison.seeds)
    return [
        NoiseCost(recipe=recipe, clean=clean, **_gap(noisy, metric, interval, n))
        for (recipe, clean), (_, noisy), metric, interval, n in pairs.intervals()
    ]


def _gap(condition: str, metric: str, interval: Interval, n: int) -> dict[str, Any]:
    """What every row of differences says of an interval over ``n`` seeds."""
    bounded = within(interval, -1.0, 1.0) if is_share(metric) else interval
    return {
        "condition": condition,
        "metric": metric,
        "mean": interval.mean,
        "low": bounded.low,
        "high": bounded.high,
        "n": n,
        "method": interval.method,
        "supported": interval.excludes_zero,
    }
