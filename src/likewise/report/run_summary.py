"""A run in words and numbers, as plain values for a template: what was trained on what, headline figures, table.

A number that the run did not measure appears nowhere: no row, no dash that could be read as zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from likewise.report.wording import between, count, duration, percent, quantity
from likewise.report.words import GROUPS, describe_metric, metric_order

if TYPE_CHECKING:
    from likewise.recipe import Recipe
    from likewise.training.run import Run

HEADLINES = (
    "knn1_accuracy",
    "knn200_accuracy",
    "linear_probe_accuracy",
    "classifier_accuracy",
    "zero_shot_accuracy",
)
BASELINES = {"raw_pixels": "Raw pixels", "pca": "PCA", "chance": "Chance", "ridge": "Ridge regression", "cca": "CCA"}


@dataclass(frozen=True)
class Headline:
    """A row of the headline chart; positions are per cent of the chart's width."""

    label: str
    value: str
    interval: str
    at: float
    low: float | None
    high: float | None
    trained: bool


@dataclass(frozen=True)
class Chart:
    """The headline chart: rows, where the raw-pixel line stands, and what the two ends mean."""

    rows: list[Headline]
    raw_pixels: float | None
    left: str
    right: str


@dataclass(frozen=True)
class Row:
    """A row of the table of metrics."""

    name: str
    label: str
    text: str
    value: str
    interval: str
    baselines: dict[str, str]


@dataclass
class Table:
    """The table of metrics by group: its heading, its rows, and the baselines that any of them has."""

    groups: list[tuple[str, list[Row], list[str]]] = field(default_factory=list)


def baseline_values(run: Run) -> dict[str, dict[str, float]]:
    """Baseline → metric → value, from the flat names in ``evaluation.json`` (``raw_pixels_knn1_accuracy``)."""
    found: dict[str, dict[str, float]] = {}
    for name, value in (run.evaluation.get("baselines") or {}).items():
        for prefix, label in BASELINES.items():
            if name.startswith(prefix + "_") and value is not None:
                words = f"{label} to {run.recipe.embedding_dim}" if prefix == "pca" else label
                found.setdefault(words, {})[name.removeprefix(prefix + "_")] = float(value)
    return found


def chart(run: Run) -> Chart | None:
    """The headline accuracies with their intervals between the untrained baselines; None where none was measured."""
    intervals = run.evaluation.get("intervals") or {}
    rows: list[tuple[str, float, Any, bool]] = [
        (f"{label}, 1-NN", values["knn1_accuracy"], None, False)
        for label, values in baseline_values(run).items()
        if "knn1_accuracy" in values
    ]
    rows += [
        (describe_metric(name).label, run.metrics[name], intervals.get(name), True)
        for name in HEADLINES
        if _finite(run.metrics.get(name))
    ]
    if not any(trained for *_, trained in rows):
        return None
    ends = [value for _, value, _, _ in rows]
    ends += [bound for _, _, interval, _ in rows if interval for bound in interval if bound is not None]
    left = max(0.0, math.floor((min(ends) - 0.01) * 20) / 20)
    right = min(1.0, math.ceil((max(ends) + 0.01) * 20) / 20)

    def place(value: float) -> float:
        return round(100 * (value - left) / (right - left), 2)

    headlines = [
        Headline(
            label, percent(value), between(interval), place(value), place(interval[0]) if between(interval) else None,
            place(interval[1]) if between(interval) else None, trained,
        )
        for label, value, interval, trained in rows
    ]  # fmt: skip
    raw = next((row.at for row in headlines if row.label.startswith("Raw")), None)
    return Chart(headlines, raw, percent(left, 0), percent(right, 0))


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def table(run: Run) -> Table:
    """Every metric of the run with its interval, the baselines' value of the same metric, and what it means."""
    baselines = baseline_values(run)
    intervals = run.evaluation.get("intervals") or {}
    rows: dict[str, list[Row]] = {}
    for name in sorted(run.metrics, key=metric_order):
        text = describe_metric(name)
        row = Row(
            name,
            text.label,
            text.text,
            quantity(run.metrics[name], text.unit),
            between(intervals.get(name), 2, text.unit),
            {label: percent(values[name], 2) for label, values in baselines.items() if name in values},
        )
        rows.setdefault(text.group, []).append(row)
    return Table(
        [
            (group, rows[group], [name for name in baselines if any(name in row.baselines for row in rows[group])])
            for group in GROUPS
            if group in rows
        ]
    )


def sentences(run: Run) -> list[str]:
    """What was trained on what, and what came out, in plain sentences."""
    return [*_trained(run), *_verdict(run)]


def images_learned_from(run: Run) -> int:
    """How many images the objective saw; 0 where that was not written down."""
    sizes = run.evaluation.get("sizes") or {}
    splits = {"train": ("train",), "unlabeled": ("unlabeled",), "both": ("train", "unlabeled")}
    return sum(int(sizes.get(split) or 0) for split in splits[run.recipe.data.learn_from])


def _trained(run: Run) -> list[str]:
    recipe, sizes = run.recipe, run.evaluation.get("sizes") or {}
    names = run.evaluation.get("class_names") or ()
    source = str(run.evaluation.get("source") or recipe.data.source)
    seen = images_learned_from(run)
    of = f"{count(seen, 'image')} of {source}" if seen else source
    unseen = round((recipe.data.unseen_classes or 0) * len(names))
    classes = f" in {count(len(names) - unseen, 'class')}" if names and recipe.objective.needs_labels else ""
    unaided = "" if recipe.objective.needs_labels else " without labels"
    space = (
        "a 2-dimensional embedding" if recipe.embedding_dim == 2 else f"embeddings of {recipe.embedding_dim} dimensions"
    )
    scaled = ", scaled to length 1," if recipe.normalize != "never" else ""
    if not run.metrics.get("train_steps", recipe.training.epochs):
        said = [f"The encoder {recipe.encoder.name} was not trained: it gives {space}{scaled} as it was drawn."]
    else:
        said = [
            f"The encoder {recipe.encoder.name} learned {space}{scaled} from {of}{classes}{unaided} with the objective "
            f"{recipe.objective.label}.",
            _loop(recipe, len(run.history) or recipe.training.epochs, run.metrics),
        ]
    if sizes.get("validation") and sizes.get("test"):
        said.append(
            f"Choices were made on {count(int(sizes['validation']), 'validation image')}; the numbers below are of "
            f"{count(int(sizes['test']), 'test image')} that nothing was chosen on."
        )
    return said


def _loop(recipe: Recipe, epochs: int, metrics: Mapping[str, float]) -> str:
    loop = recipe.training
    unit = "pair" if getattr(recipe.objective, "draws_pairs", False) else "image"
    optimizer = {"adamw": "AdamW" if loop.weight_decay else "Adam", "sgd": "SGD", "lars": "LARS"}.get(
        loop.optimizer, loop.optimizer
    )
    seconds = metrics.get("train_seconds")
    took = f" It took {duration(seconds)}" if seconds is not None and _finite(seconds) else ""
    speed = metrics.get("images_per_second")
    if took:
        took += f", {speed:,.0f} images a second." if speed is not None and _finite(speed) else "."
    length = count(epochs, "epoch")
    if loop.steps is not None or loop.images is not None or loop.seconds is not None:
        length = f"{loop.seconds:g} seconds" if loop.seconds is not None else f"{metrics['train_steps']:,.0f} steps"
    return (
        f"Training ran for {length} in batches of {count(loop.batch_size, unit)} with {optimizer} at a "
        f"highest learning rate of {loop.learning_rate:g}, seed {recipe.seed}.{took}"
    )


def _verdict(run: Run) -> list[str]:
    return [*_nearest_verdict(run), *_text_verdict(run)]


def _class_name_verdict(run: Run) -> list[str]:
    """Of captions that are class names: how often the nearest class name is the right one."""
    value = run.metrics.get("zero_shot_accuracy")
    if value is None or not _finite(value):
        return []
    interval = between((run.evaluation.get("intervals") or {}).get("zero_shot_accuracy"))
    known = f" (95 % interval {interval})" if interval else ""
    classes = len(run.evaluation.get("class_names") or ())
    guess = f"; guessing names {percent(1 / classes, 1 if classes <= 100 else 2)}" if classes else ""
    return [
        f"The class name whose text is nearest is the right one for {percent(value)} of the test images{known}{guess}."
    ]


def _text_verdict(run: Run) -> list[str]:
    """How often a caption finds its own image first, and what chance and linear maps between frozen features reach."""
    if run.recipe.data.caption_templates:
        return _class_name_verdict(run)  # all images of a class have the same captions: none of them is theirs alone
    name = "text_to_image_recall_at_1"
    value = run.metrics.get(name)
    if value is None or not _finite(value):
        return []
    interval = between((run.evaluation.get("intervals") or {}).get(name))
    known = f" (95 % interval {interval})" if interval else ""
    images = (run.evaluation.get("sizes") or {}).get("test")
    among = f" among {count(int(images), 'test image')}" if images else ""
    said = [f"A caption finds its own image first{among} in {percent(value)} of the cases{known}."]
    others = [
        f"{label if label.isupper() else label.lower()} {percent(values[name], 1 if values[name] >= 0.01 else 2)}"
        for label, values in baseline_values(run).items()
        if name in values
    ]
    return [*said, f"For comparison, without any training of a network: {', '.join(others)}."] if others else said


def _nearest_verdict(run: Run) -> list[str]:
    value = run.metrics.get("knn1_accuracy")
    if value is None or not _finite(value):
        return []
    interval = (run.evaluation.get("intervals") or {}).get("knn1_accuracy")
    known = f" (95 % interval {between(interval)})" if between(interval) else ""
    said = f"The nearest training image tells the class of {percent(value)} of the test images{known}."
    raw = baseline_values(run).get("Raw pixels", {}).get("knn1_accuracy")
    if raw is None:
        return [said]
    if interval is None or not between(interval):
        return [said, f"Raw pixels, without any training, reach {percent(raw)}."]
    low, high = interval
    if low > raw:
        words = "the whole interval lies above that"
    elif high < raw:
        words = "the whole interval lies below that: this training made the images harder to tell apart"
    else:
        words = "that lies inside the interval, so this run does not show a gain over no training at all"
    return [said, f"Raw pixels, without any training, reach {percent(raw)}; {words}."]
