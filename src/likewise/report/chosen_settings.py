"""What a comparison's search chose on validation, as plain values for a template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from likewise.report.comparison_view import ComparisonView
from likewise.report.wording import count, duration, percent
from likewise.report.words import describe_metric


@dataclass(frozen=True)
class Setting:
    """One setting that was chosen: its name, the value, the recipe's own value and where was looked."""

    name: str
    value: str
    own: str
    within: str


@dataclass(frozen=True)
class Chosen:
    """What the search of one recipe under one condition came to."""

    recipe: str
    condition: str
    settings: list[Setting]
    value: str
    own_value: str
    trials: str
    seconds: str
    error: str


def chosen_settings(view: ComparisonView) -> list[Chosen]:
    """One row per search, in the order of the recipes."""
    return [
        Chosen(
            view.labels.get(str(row["recipe"]), str(row["recipe"])),
            view.short_words(str(row["condition"])),
            [_setting(row, key) for key in row["space"]],
            percent(row["value"], 2) if row["value"] is not None else "",
            percent(row["own_value"], 2) if row["own_value"] is not None else "failed",
            f"{row['trials']}, {row['failed']} failed" if row["failed"] else str(row["trials"]),
            duration(float(row["seconds"])),
            str(row["error"] or "") if row["value"] is None else "",
        )
        for row in view.rows("searches")
    ]


def search_words(view: ComparisonView) -> str:
    """How was searched, in sentences."""
    rows = view.rows("searches")
    if not rows:
        return ""
    judged = " or ".join(dict.fromkeys(describe_metric(str(row["metric"])).label for row in rows))
    return (
        f"Every objective had the same budget: {count(int(view.content['trials']), 'trial')}, all with seed "
        f"{rows[0]['seed']}, the first with the recipe's own values. A trial trains, and is judged by {judged} on all "
        "validation images; no test image was embedded. The reported runs have other seeds."
    )


def _setting(row: dict[str, Any], key: str) -> Setting:
    low, high, scale = row["space"][key]
    return Setting(
        key.split(".", 1)[1].removeprefix("loss.").replace("_", " "),
        f"{row['chosen'][key]:.3g}" if row["chosen"] else "",
        f"{row['own'][key]:.3g}",
        f"{low:.3g} to {high:.3g}{', by factors' if scale == 'log' else ''}",
    )
