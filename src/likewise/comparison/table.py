"""The summary as a table for the terminal and as ``table.csv``."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence

from rich import box
from rich.table import Table

from likewise.comparison.record import Comparison
from likewise.comparison.rows import Baseline, Condition, Summary
from likewise.training.files import write_text

__all__ = ["as_table", "chosen_lines", "write_csv"]

# Each fits in 80 characters.
_COLUMNS = ("knn1_accuracy", "recall_at_5", "map_at_r", "linear_probe_accuracy", "train_seconds")
_UNSEEN_COLUMNS = ("recall_at_1", "recall_at_5", "map_at_r", "r_precision", "train_seconds")
_CAPTION_COLUMNS = (
    *("text_to_image_recall_at_1", "text_to_image_recall_at_10"),
    *("image_to_text_recall_at_1", "train_seconds"),
)

_CSV = (
    *("recipe", "train_size", "train_images", "label_noise", "unseen_classes"),
    *("metric", "mean", "low", "high", "n", "interval"),
)
#: Column name → what of a condition stands there.
_VARIED: dict[str, Callable[[Condition], str]] = {
    "images": lambda condition: condition.key if condition.count is None else f"{condition.count:,}",
    "wrong": lambda condition: f"{100 * condition.label_noise:g} %",
    "unseen": lambda condition: f"{100 * (condition.unseen_classes or 0):g} %",
}


def as_table(comparison: Comparison) -> Table:
    """One row per condition and recipe: mean ± 95 % (the wider side), shares in per cent; raw pixels and PCA below.

    Example:
        >>> from rich.console import Console
        >>> Console().print(as_table(Comparison.load("runs/comparison")))      # doctest: +SKIP
    """
    known = {metric.name: metric for metric in comparison.metrics}
    unseen = all(condition.unseen_classes for condition in comparison.conditions)
    names = _CAPTION_COLUMNS if _CAPTION_COLUMNS[0] in known else _UNSEEN_COLUMNS if unseen else _COLUMNS
    shown = [known[name] for name in names if name in known]
    varied = _varied(comparison.conditions)
    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, caption=_caption(comparison), caption_justify="left"
    )
    for name in varied:
        table.add_column(name, justify="right")
    table.add_column("objective", no_wrap=True)
    for metric in shown:
        share = metric.unit == "fraction"
        table.add_column(
            f"{metric.label} %" if share else "train s", justify="right", min_width=9 if share else 7, no_wrap=not share
        )
    cells = {(row.recipe, row.condition, row.metric): row for row in comparison.summary}
    units = [metric.unit for metric in shown]
    for condition in comparison.conditions:
        first = [_VARIED[name](condition) for name in varied]
        for recipe in comparison.recipes:
            values = [cells.get((recipe.name, condition.key, metric.name)) for metric in shown]
            failed = [
                cell
                for cell in comparison.cells
                if (cell.recipe, cell.condition, cell.status) == (recipe.name, condition.key, "failed")
            ]
            label = recipe.label + (f" ({len(failed)} failed)" if failed else "")
            table.add_row(*first, label, *(_number(row, unit) for row, unit in zip(values, units, strict=True)))
        untrained: dict[str, dict[str, Baseline]] = {}
        for baseline in comparison.baselines:
            if baseline.condition == condition.key:
                untrained.setdefault(baseline.label, {})[baseline.metric] = baseline
        for label, rows in untrained.items():
            numbers = [_number(rows.get(metric.name), metric.unit) for metric in shown]
            table.add_row(*first, label, *numbers, style="dim")
        table.add_section()
    return table


def chosen_lines(comparison: Comparison) -> list[str]:
    """What each search chose, one line each; empty without a search."""
    labels = {recipe.name: recipe.label for recipe in comparison.recipes}
    words = {condition.key: condition.words for condition in comparison.conditions}
    lines = []
    for search in comparison.searches:
        who = f"{labels[search.recipe]}, {words[search.condition]}"
        if search.chosen is None:
            lines.append(f"{who}: {f'all {search.trials} trials' if search.trials else 'the search'} failed")
            continue
        values = ", ".join(f"{key.rpartition('.')[2]} {value:.3g}" for key, value in search.chosen.items())
        lines.append(f"{who}: {values} ({100 * (search.value or 0):.2f} % on validation, {search.trials} trials)")
    return lines


def write_csv(comparison: Comparison) -> None:
    """Write ``table.csv``: one line per recipe or baseline, condition and metric, all digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV)
    writer.writerows(_lines(comparison))
    write_text(comparison.folder / "table.csv", text.getvalue())


def _lines(comparison: Comparison) -> Iterator[list[object]]:
    conditions = {condition.key: condition for condition in comparison.conditions}
    rows: list[Summary | Baseline] = [*comparison.summary, *comparison.baselines]
    for row in rows:
        name, under = row.recipe if isinstance(row, Summary) else row.name, conditions[row.condition]
        size = "all" if under.train_size is None else under.train_size
        yield [
            *(name, size, under.count, under.label_noise, under.unseen_classes or 0.0),
            *(row.metric, row.mean, row.low, row.high, row.n, row.interval),
        ]


def _varied(conditions: Sequence[Condition]) -> list[str]:
    """What is not the same in all conditions, so that it needs a column."""
    return [name for name, show in _VARIED.items() if len({show(condition) for condition in conditions}) > 1]


def _number(row: Summary | Baseline | None, unit: str) -> str:
    if row is None:
        return ""
    if unit != "fraction":
        return f"{row.mean:,.1f}"
    if row.low is None or row.high is None:
        return f"{100 * row.mean:.1f}"
    half = max(row.high - row.mean, row.mean - row.low)
    return f"{100 * row.mean:.1f} ±{100 * half:.1f}"


def _caption(comparison: Comparison) -> str:
    done = len(comparison.done())
    if not done:
        return "no finished run yet"
    kinds = {row.interval for row in comparison.summary}
    over = "over seeds" if "seeds" in kinds else "over test images, one seed"
    tested = sorted({condition.test for condition in comparison.conditions if condition.test is not None})
    images = f"{' or '.join(f'{count:,}' for count in tested)} test images"
    return f"mean ± 95 % interval {over}; {done} of {len(comparison.cells)} runs; {images}"
