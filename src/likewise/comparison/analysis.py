"""From finished cells to summary, baselines, paired differences and recall curves."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from likewise.comparison.metrics import MAIN_METRIC, is_share, is_share_of_test_images, known_metrics, per_image
from likewise.comparison.record import RAW_PIXELS, Comparison
from likewise.comparison.rows import Baseline, Cell, Difference, RecallCurve, Summary, TrainSize
from likewise.comparison.statements import answer, notes
from likewise.comparison.statistics import Interval, independent_difference, paired_differences, student, within
from likewise.evaluation.intervals import wilson
from likewise.training import Run

__all__ = ["Runs", "analyse"]

#: Finished runs by recipe, size and seed.
Runs = dict[tuple[str, str, int], Run]


def analyse(comparison: Comparison, runs: Runs, before: Comparison | None = None) -> Comparison:
    """The same comparison with everything that follows from its finished cells.

    Args:
        comparison: with its cells as they stand.
        runs: the run of each finished cell.
        before: an earlier result, whose differences are kept where a size has no new cell.
    """
    first = next(iter(runs.values()), None)
    context = first.evaluation if first else {}
    current = dataclasses.replace(
        comparison,
        train_sizes=_counted(comparison, runs),
        data=_data(first.recipe.data.source, context) if first else {},
        environment=_flat(first.environment) if first else {},
        metrics=known_metrics(name for run in runs.values() for name in run.metrics),
    )
    current = dataclasses.replace(
        current,
        summary=list(_summary(current, runs)),
        baselines=list(_baselines(current, runs)),
        recall_curves=list(_recall_curves(current, runs)),
    )
    between = [row for size in current.train_sizes for row in _between(current, size, runs, before)]
    current = dataclasses.replace(current, differences=[*between, *_against_raw(current, runs)])
    answers = answer(current)
    return dataclasses.replace(
        current,
        answers=answers,
        statements=[statement for group in answers for statement in group.statements],
        notes=notes(current, [note for run in runs.values() for note in run.evaluation.get("notes", [])]),
    )


def _counted(comparison: Comparison, runs: Runs) -> list[TrainSize]:
    counts = {size: run.evaluation["sizes"]["train"] for (_, size, _), run in runs.items()}
    sizes = [dataclasses.replace(size, count=counts.get(size.size)) for size in comparison.train_sizes]
    return sorted(sizes, key=lambda size: (size.count is None, size.count or 0))


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


def _over_seeds(values: Sequence[float], metric: str, images: int) -> tuple[float | None, float | None, str]:
    """Bounds of a mean over seeds, and what kind of interval they are."""
    if len(values) > 1:
        interval = within(student(values), 0.0 if is_share(metric) else -np.inf, 1.0 if is_share(metric) else np.inf)
        return interval.low, interval.high, "seeds"
    if is_share_of_test_images(metric):
        low, high = wilson(round(values[0] * images), images)
        return float(low), float(high), "samples"
    return None, None, "none"


def _summary(comparison: Comparison, runs: Runs) -> Iterator[Summary]:
    for recipe in comparison.recipes:
        for size in comparison.train_sizes:
            found = _of(comparison.done(recipe.name, size.size), runs)
            for metric in comparison.metrics:
                values = [run.metrics[metric.name] for run in found if metric.name in run.metrics]
                if values:
                    low, high, kind = _over_seeds(values, metric.name, comparison.data["test"])
                    mean = float(np.mean(values))
                    yield Summary(recipe.name, size.size, metric.name, mean, low, high, len(values), kind, list(values))


def _of(cells: Sequence[Cell], runs: Runs) -> list[Run]:
    return [runs[cell.recipe, cell.size, cell.seed] for cell in cells]


def _baselines(comparison: Comparison, runs: Runs) -> Iterator[Baseline]:
    dimensions = sorted({recipe.embedding_dim for recipe in comparison.recipes})
    pixels = next((int(np.prod(run.evaluation["image_shape"])) for run in runs.values()), 0)
    rows = [(RAW_PIXELS, "raw pixels", pixels, "raw_pixels_knn1_accuracy")]
    rows += [(f"pca_{size}", f"PCA to {size}", size, "pca_knn1_accuracy") for size in dimensions]
    for size in comparison.train_sizes:
        for name, label, dimension, key in rows:
            values = []
            for seed in comparison.seeds:
                known = [
                    run.evaluation["baselines"][key]
                    for (_, of, at), run in runs.items()
                    if (of, at) == (size.size, seed)
                    and key in run.evaluation.get("baselines", {})
                    and (name == RAW_PIXELS or run.recipe.embedding_dim == dimension)
                ]
                values += known[:1]
            if values:
                low, high, kind = _over_seeds(values, MAIN_METRIC, comparison.data["test"])
                mean = float(np.mean(values))
                yield Baseline(
                    name, label, dimension, size.size, MAIN_METRIC, mean, low, high, len(values), kind, values
                )


def _recall_curves(comparison: Comparison, runs: Runs) -> Iterator[RecallCurve]:
    for recipe in comparison.recipes:
        for size in comparison.train_sizes:
            curves = [
                run.evaluation.get("recall_curve", {}) for run in _of(comparison.done(recipe.name, size.size), runs)
            ]
            ks = sorted({int(k) for k in curves[0]}) if curves else []
            if not ks:
                continue
            values = [[float(curve[str(k)]) for curve in curves] for k in ks]
            bounds = [
                _over_seeds(row, f"recall_at_{k}", comparison.data["test"]) for k, row in zip(ks, values, strict=True)
            ]
            yield RecallCurve(
                recipe.name,
                size.size,
                ks,
                [float(np.mean(row)) for row in values],
                [low for low, _, _ in bounds],
                [high for _, high, _ in bounds],
                len(curves),
                bounds[0][2],
            )


def _between(comparison: Comparison, size: TrainSize, runs: Runs, before: Comparison | None) -> list[Difference]:
    """Every pair of recipes at one size, on the seeds that both have."""
    cells = comparison.done(size=size.size)
    if before and before.done(size=size.size) == cells:
        return [row for row in before.differences if row.size == size.size and row.b != RAW_PIXELS]
    images = {(cell.recipe, cell.seed): runs[cell.key].records() for cell in cells}
    rows: list[Difference] = []
    paired: dict[int, list[tuple[int, NDArray[np.float64]]]] = {}
    for a, b in combinations([recipe.name for recipe in comparison.recipes], 2):
        seeds = [seed for seed in comparison.seeds if (a, seed) in images and (b, seed) in images]
        for metric in comparison.metrics if seeds else ():
            one, two = ([runs[name, size.size, seed].metrics.get(metric.name) for seed in seeds] for name in (a, b))
            gaps = [x - y for x, y in zip(one, two, strict=True) if x is not None and y is not None]
            if len(gaps) < len(seeds):
                continue
            each = _each_image(images, a, b, seeds, metric.name)
            if each is not None:
                paired.setdefault(len(seeds), []).append((len(rows), each))
            rows.append(_row(a, b, size.size, metric.name, student(gaps), len(seeds)))
    for group in paired.values():  # all pairs and metrics with as many seeds share the resamples of the test images
        intervals = paired_differences(np.stack([each for _, each in group]))
        for (place, _), interval in zip(group, intervals, strict=True):
            row = rows[place]
            rows[place] = _row(row.a, row.b, row.size, row.metric, interval, row.n)
    return rows


def _each_image(
    images: Mapping[tuple[str, int], pa.Table], a: str, b: str, seeds: Sequence[int], metric: str
) -> NDArray[np.float64] | None:
    """(S, N): value of a minus that of b on each test image, or ``None`` where there is none or the images differ."""
    ids = images[a, seeds[0]]["id"]
    rows = []
    for seed in seeds:
        if not all(images[name, seed]["id"].equals(ids) for name in (a, b)):
            return None
        one, two = (per_image(images[name, seed], metric) for name in (a, b))
        if one is None or two is None:
            return None
        rows.append(one - two)
    return np.stack(rows)


def _against_raw(comparison: Comparison, runs: Runs) -> Iterator[Difference]:
    """Every recipe against 1-NN on the raw pixels of the very same split."""
    for recipe in comparison.recipes:
        for size in comparison.train_sizes:
            both = [
                (run.metrics[MAIN_METRIC], run.evaluation["baselines"]["raw_pixels_knn1_accuracy"])
                for run in _of(comparison.done(recipe.name, size.size), runs)
                if MAIN_METRIC in run.metrics and "raw_pixels_knn1_accuracy" in run.evaluation.get("baselines", {})
            ]
            if both:
                trained, raw = zip(*both, strict=True)
                interval = independent_difference(trained, raw, images=comparison.data["test"])
                yield _row(recipe.name, RAW_PIXELS, size.size, MAIN_METRIC, interval, len(both))


def _row(a: str, b: str, size: str, metric: str, interval: Interval, n: int) -> Difference:
    bounded = within(interval, -1.0, 1.0) if is_share(metric) else interval
    return Difference(
        a, b, size, metric, interval.mean, bounded.low, bounded.high, n, interval.method, interval.excludes_zero
    )
