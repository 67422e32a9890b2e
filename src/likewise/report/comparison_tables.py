"""The tables of a comparison as plain values for a template: means with intervals, paired differences, cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from likewise.comparison import INTERVAL_WORDS, METHOD_WORDS
from likewise.comparison.rows import Condition
from likewise.report.comparison_view import ComparisonView
from likewise.report.wording import duration, percent, quantity
from likewise.report.words import describe_metric


@dataclass(frozen=True)
class Value:
    """A mean and its interval, as printed; both empty where nothing was measured."""

    mean: str = ""
    interval: str = ""


@dataclass(frozen=True)
class MetricRow:
    """One measure over all columns (recipes, then baselines)."""

    name: str
    label: str
    text: str
    values: list[Value]


@dataclass(frozen=True)
class ConditionTable:
    """All measures under one condition; ``shown`` where it is not folded away."""

    title: str
    shown: bool
    columns: list[str]
    rows: list[MetricRow]
    footnote: str


@dataclass(frozen=True)
class Difference:
    """A minus b in words."""

    pair: str
    condition: str
    mean: str
    interval: str
    verdict: str
    supported: bool


@dataclass(frozen=True)
class CellRow:
    """One run of the comparison; ``report`` is a relative path or empty."""

    recipe: str
    condition: str
    seed: str
    status: str
    value: str
    seconds: str
    report: str
    error: str


def condition_tables(view: ComparisonView) -> list[ConditionTable]:
    """One table per condition with numbers, the easiest first; that one and the easiest with unseen classes are shown."""
    ordered = sorted(view.conditions, key=lambda condition: condition.ease, reverse=True)
    unseen = next((condition for condition in ordered if condition.unseen_classes), None)
    return [_table(view, condition, shown=condition in (ordered[0], unseen)) for condition in ordered]


def _table(view: ComparisonView, under: Condition, *, shown: bool) -> ConditionTable:
    condition = under.key
    baselines = {
        row["name"]: str(row["label"])
        for metric in view.rows("metrics")
        for row in view.baselines(condition, metric["name"])
    }
    rows, kinds = [], []
    for metric in view.rows("metrics"):
        name, values = str(metric["name"]), []
        for recipe in view.recipes:
            found = view.summary(recipe, condition, name)
            values.append(_value(found, name))
            kinds += [str(found.get("interval"))] if found else []
        untrained = {row["name"]: row for row in view.baselines(condition, name)}
        values += [_value(untrained.get(baseline), name) for baseline in baselines]
        if any(value.mean for value in values):
            text = describe_metric(name)
            rows.append(
                MetricRow(name, text.label if text.text else str(metric.get("label") or name), text.text, values)
            )
    columns = [view.labels[recipe] for recipe in view.recipes] + list(baselines.values())
    footnote = " ".join(INTERVAL_WORDS[kind] for kind in INTERVAL_WORDS if kind in kinds)
    return ConditionTable(capital(view.words(condition)), shown, columns, rows, footnote)


def capital(text: str) -> str:
    """The text with its first letter large."""
    return text[0].upper() + text[1:]


def _value(row: dict[str, Any] | None, metric: str) -> Value:
    if row is None:
        return Value()
    unit = describe_metric(metric).unit
    low, high = row.get("low"), row.get("high")
    mean = percent(row["mean"]) if unit == "share" else quantity(float(row["mean"]), unit)
    if low is None or high is None:
        return Value(mean)
    if unit == "share":
        return Value(mean, f"{100 * low:.1f} to {100 * high:.1f}")
    if unit == "seconds":
        return Value(mean, f"{duration(max(0.0, low))} to {duration(high)}")
    return Value(mean, f"{low:,.3g} to {high:,.3g}")


def differences(view: ComparisonView, *, main: bool) -> list[tuple[str, list[Difference]]]:
    """Paired differences by measure.

    Args:
        view: of the comparison.
        main: those of the main measure, or those of all others.
    """
    tables: list[tuple[str, list[Difference]]] = []
    for metric in view.rows("metrics"):
        if (metric["name"] == view.main["name"]) != main:
            continue
        rows = [
            _difference(view, row, metric)
            for row in view.rows("differences")
            if row["metric"] == metric["name"] and row.get("mean") is not None
        ]
        if rows:
            tables.append((str(metric.get("label") or metric["name"]), rows))
    return tables


def difference_methods(view: ComparisonView) -> list[str]:
    """How the intervals of the differences were made: one sentence per method in use."""
    used = {str(row.get("method")) for row in view.rows("differences")}
    return [words for method, words in METHOD_WORDS.items() if method in used]


def _difference(view: ComparisonView, row: dict[str, Any], metric: dict[str, Any]) -> Difference:
    def number(value: float) -> str:
        printed = f"{100 * value:+.1f}" if metric.get("unit") == "fraction" else f"{value:+,.3g}"
        return printed.replace("-", "\u2212")

    unit = " points" if metric.get("unit") == "fraction" else f" {metric['unit']}" if metric.get("unit") == "s" else ""
    known = row.get("low") is not None and row.get("high") is not None
    a, b = (view.labels.get(row[side], str(row[side])) for side in ("a", "b"))
    if not known:
        verdict = "one measurement: cannot say"
    elif not row.get("supported"):
        verdict = "no difference shown"
    else:
        verdict = f"{a if row['mean'] > 0 else b} is higher"
    return Difference(
        f"{a} − {b}",
        view.short_words(str(row["condition"])),
        number(row["mean"]) + unit,
        f"{number(row['low'])} to {number(row['high'])}" if known else "",
        verdict,
        bool(row.get("supported")) and known,
    )


def cell_rows(view: ComparisonView) -> list[CellRow]:
    """Every cell with the way to its own report, where that exists."""
    name = str(view.main["name"])
    rows = []
    for cell in view.rows("cells"):
        value, seconds = (cell.get("metrics") or {}).get(name), cell.get("seconds")
        page = view.folder / cell["folder"] / "report.html"
        rows.append(
            CellRow(
                view.labels.get(str(cell["recipe"]), str(cell["recipe"])),
                view.short_words(str(cell["condition"])),
                str(cell["seed"]),
                str(cell["status"]),
                describe_metric(name).format(value) if value is not None else "",
                duration(float(seconds)) if seconds is not None else "",
                f"{cell['folder']}/report.html" if page.is_file() else "",
                str(cell.get("error") or ""),
            )
        )
    return rows


def cell_warnings(view: ComparisonView) -> list[str]:
    """The warnings of the runs, each once, with how many runs have it."""
    having: dict[str, list[str]] = {}
    for cell in view.rows("cells"):
        for warning in cell.get("warnings") or []:
            label = f"{view.labels.get(cell['recipe'], cell['recipe'])}, size {cell['condition']}, seed {cell['seed']}"
            having.setdefault(str(warning), []).append(label)
    total = sum(cell["status"] == "done" for cell in view.rows("cells"))
    return [f"{warning} ({_whose(labels, total)})" for warning, labels in having.items()]


def _whose(labels: Sequence[str], total: int) -> str:
    if len(labels) == total:
        return "all runs" if total > 1 else labels[0]
    return (
        labels[0]
        if len(labels) == 1
        else f"{len(labels)} of {total} runs: {'; '.join(labels[:3])}{' …' if len(labels) > 3 else ''}"
    )
