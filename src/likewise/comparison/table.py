"""The summary as a table for the terminal and as ``table.csv``."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from rich import box
from rich.table import Table

from likewise.comparison.record import Comparison
from likewise.comparison.rows import Baseline, Summary, TrainSize
from likewise.training.files import write_text

__all__ = ["as_table", "chosen_lines", "write_csv"]

_COLUMNS = (
    "knn1_accuracy",
    "recall_at_5",
    "map_at_r",
    "linear_probe_accuracy",
    "train_seconds",
)  # fit in 80 characters
_WITH_CAPTIONS = (
    "text_to_image_recall_at_1",
    "text_to_image_recall_at_10",
    "image_to_text_recall_at_1",
    "train_seconds",
)


def as_table(comparison: Comparison) -> Table:
    """One row per training size and recipe: mean ± 95 % (the wider side), shares in per cent; raw pixels and PCA below.

    Example:
        >>> from rich.console import Console
        >>> Console().print(as_table(Comparison.load("runs/comparison")))      # doctest: +SKIP
    """
    known = {metric.name: metric for metric in comparison.metrics}
    shown = [known[name] for name in (_WITH_CAPTIONS if _WITH_CAPTIONS[0] in known else _COLUMNS) if name in known]
    several = len(comparison.train_sizes) > 1
    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, caption=_caption(comparison), caption_justify="left"
    )
    if several:
        table.add_column("images", justify="right")
    table.add_column("objective", no_wrap=True)
    for metric in shown:
        share = metric.unit == "fraction"
        table.add_column(
            f"{metric.label} %" if share else "train s", justify="right", min_width=9 if share else 7, no_wrap=not share
        )
    cells = {(row.recipe, row.size, row.metric): row for row in comparison.summary}
    for size in comparison.train_sizes:
        first = [_images(size)] if several else []
        for recipe in comparison.recipes:
            values = [cells.get((recipe.name, size.size, metric.name)) for metric in shown]
            failed = [
                cell
                for cell in comparison.cells
                if (cell.recipe, cell.size, cell.status) == (recipe.name, size.size, "failed")
            ]
            label = recipe.label + (f" ({len(failed)} failed)" if failed else "")
            units = [metric.unit for metric in shown]
            table.add_row(*first, label, *(_number(row, unit) for row, unit in zip(values, units, strict=True)))
        for baseline in comparison.baselines:
            if baseline.size == size.size:
                numbers = [_number(baseline, metric.unit) if metric.name == baseline.metric else "" for metric in shown]
                table.add_row(*first, baseline.label, *numbers, style="dim")
        table.add_section()
    return table


def chosen_lines(comparison: Comparison) -> list[str]:
    """What each search chose, one line each; empty without a search."""
    labels = {recipe.name: recipe.label for recipe in comparison.recipes}
    words = {size.size: size.words for size in comparison.train_sizes}
    lines = []
    for search in comparison.searches:
        who = f"{labels[search.recipe]}, {words[search.size]}"
        if search.chosen is None:
            lines.append(f"{who}: all {search.trials} trials failed")
            continue
        values = ", ".join(f"{key.rpartition('.')[2]} {value:.3g}" for key, value in search.chosen.items())
        lines.append(f"{who}: {values} ({100 * (search.value or 0):.2f} % on validation, {search.trials} trials)")
    return lines


def write_csv(comparison: Comparison) -> None:
    """Write ``table.csv``: one line per recipe or baseline, training size and metric, all digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["recipe", "train_size", "train_images", "metric", "mean", "low", "high", "n", "interval"])
    writer.writerows(_lines(comparison))
    write_text(comparison.folder / "table.csv", text.getvalue())


def _lines(comparison: Comparison) -> Iterator[list[object]]:
    counts = {size.size: size.count for size in comparison.train_sizes}
    rows: list[Summary | Baseline] = [*comparison.summary, *comparison.baselines]
    for row in rows:
        name = row.recipe if isinstance(row, Summary) else row.name
        yield [name, row.size, counts[row.size], row.metric, row.mean, row.low, row.high, row.n, row.interval]


def _images(size: TrainSize) -> str:
    return size.size if size.count is None else f"{size.count:,}"


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
    images = f"{comparison.data['test']:,} test images"
    return f"mean ± 95 % interval {over}; {done} of {len(comparison.cells)} runs; {images}"
