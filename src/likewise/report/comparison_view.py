"""``comparison.json`` as the report asks for it: by condition, by objective, with the baselines of the same images.

The file is read as plain JSON: a comparison that is half done, or was made by another version, still gets its
report. What was not measured is absent or null there, and appears nowhere here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from likewise.comparison.rows import Condition
from likewise.errors import RunError
from likewise.report.figures.accuracy_intervals import Estimate
from likewise.report.figures.objective_recall import Line

Row = dict[str, Any]


@dataclass(frozen=True)
class ComparisonView:
    """A comparison folder and what its ``comparison.json`` says."""

    folder: Path
    content: Row

    @classmethod
    def load(cls, folder: Path) -> ComparisonView:
        """Read ``comparison.json``.

        Raises:
            RunError: it is missing, not JSON, or lacks its parts.
        """
        path = folder / "comparison.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(
                f"{folder} has no readable comparison.json ({error}).",
                expected="Expected the folder of a comparison.",
                advice="Make one with `likewise compare RECIPE RECIPE --out FOLDER`.",
            ) from error
        missing = [key for key in ("recipes", "conditions", "cells") if not content.get(key)]
        if missing:
            raise RunError(
                f"{path} has no {' and no '.join(missing)}.",
                expected="Expected what `likewise compare` writes.",
                advice="Run the comparison again into the same folder; finished cells are kept.",
            )
        return cls(folder, content)

    def rows(self, key: str) -> list[Row]:
        """The list under ``key``; empty where it is absent."""
        return list(self.content.get(key) or [])

    @cached_property
    def labels(self) -> dict[str, str]:
        """Recipe name → what it is called in words, in the order asked for; ``raw_pixels`` too."""
        named = {str(recipe["name"]): str(recipe.get("label") or recipe["name"]) for recipe in self.rows("recipes")}
        return named | {"raw_pixels": "raw pixels"}

    @cached_property
    def recipes(self) -> list[str]:
        """Recipe names in the order asked for."""
        return [str(recipe["name"]) for recipe in self.rows("recipes")]

    @cached_property
    def main(self) -> Row:
        """The metric that the comparison is about; before one run is finished, the one that most are about."""
        known = self.rows("metrics") or [{"name": "knn1_accuracy", "label": "1-NN accuracy", "unit": "fraction"}]
        return next((metric for metric in known if metric.get("main")), known[0])

    @cached_property
    def conditions(self) -> list[Condition]:
        """Those under which at least one recipe has a number: known classes, clean labels and few images first."""
        measured = {row["condition"] for row in self.rows("summary")}
        return [condition for condition in self._all.values() if condition.key in measured]

    @cached_property
    def _all(self) -> dict[str, Condition]:
        return {str(row["key"]): Condition(**row) for row in self.rows("conditions")}

    @cached_property
    def easiest(self) -> Condition | None:
        """The condition to show first: known classes, the cleanest labels, the most images."""
        return max(self.conditions, key=lambda condition: condition.ease, default=None)

    def words(self, key: str) -> str:
        """``1,000 training images, 20 % wrong labels`` for the key of a condition."""
        return self._all[key].words

    def short_words(self, key: str) -> str:
        """``1,000, 20 % wrong labels``, for the column of a table."""
        condition = self._all[key]
        return ", ".join([condition.images.removesuffix(" training images"), *condition.difficulties])

    def summary(self, recipe: str, condition: str, metric: str) -> Row | None:
        """Mean and interval of one recipe under one condition, if measured."""
        return _only(
            row for row in self.rows("summary")
            if (row["recipe"], row["condition"], row["metric"]) == (recipe, condition, metric) and row.get("mean") is not None
        )  # fmt: skip

    def baselines(self, condition: str, metric: str) -> list[Row]:
        """Untrained values of ``metric`` under a condition, raw pixels first."""
        found = [
            row for row in self.rows("baselines")
            if row["condition"] == condition and row["metric"] == metric and row.get("mean") is not None
        ]  # fmt: skip
        return sorted(found, key=lambda row: row["name"] != "raw_pixels")

    def baseline_lines(self, condition: str) -> dict[str, float]:
        """Legend name → untrained 1-NN accuracy under a condition."""
        return {f"{row['label']}, 1-NN": float(row["mean"]) for row in self.baselines(condition, "knn1_accuracy")}

    def estimates(self, condition: str, metric: str) -> list[Estimate]:
        """One estimate per recipe that has the metric under the condition."""
        found = []
        for place, recipe in enumerate(self.recipes):
            row = self.summary(recipe, condition, metric)
            if row is not None:
                values = [float(value) for value in row.get("values") or []]
                found.append(
                    Estimate(self.labels[recipe], place, float(row["mean"]), row.get("low"), row.get("high"), values)
                )
        return found

    def by_size(self, metric: str) -> tuple[list[Line], list[Line]]:
        """Lines over the number of training images: of the recipes, and of the baselines (raw pixels first)."""
        alike = [it for it in self.conditions if self.easiest and it.difficulties == self.easiest.difficulties]
        return self._lines(metric, {condition.key: condition.count for condition in alike if condition.count})

    def by_noise(self, metric: str) -> tuple[list[Line], list[Line]]:
        """Lines over the share of wrong labels, at the largest training size: of the recipes, and of the baselines."""
        easiest = self.easiest
        return self._lines(
            metric,
            {
                condition.key: condition.label_noise
                for condition in self.conditions
                if easiest
                and (condition.train_size, condition.unseen_classes) == (easiest.train_size, easiest.unseen_classes)
            },
        )

    def _lines(self, metric: str, at: dict[str, float]) -> tuple[list[Line], list[Line]]:
        """Lines through conditions at their places on an axis."""
        lines = []
        for place, recipe in enumerate(self.recipes):
            rows = [(x, self.summary(recipe, key, metric)) for key, x in at.items()]
            lines.append(_line(self.labels[recipe], place, [(x, row) for x, row in rows if row is not None]))
        named: dict[str, list[tuple[float, Row]]] = {}
        for key, x in at.items():
            for row in self.baselines(key, metric):
                named.setdefault(row["label"], []).append((x, row))
        return [line for line in lines if line.x], [_line(label, 0, rows) for label, rows in named.items()]

    def recall_lines(self, condition: str) -> list[Line]:
        """recall@k of every recipe under a condition."""
        lines = []
        for row in self.rows("recall_curves"):
            if row["condition"] == condition and row["recipe"] in self.recipes and row.get("mean"):
                none = [None] * len(row["mean"])
                low, high = row.get("low") or none, row.get("high") or none
                place = self.recipes.index(row["recipe"])
                lines.append(Line(self.labels[row["recipe"]], place, row["k"], row["mean"], low, high))
        return sorted(lines, key=lambda line: line.place)

    def showcase(self, condition: str) -> dict[str, Path]:
        """Recipe → folder of its first finished cell under a condition."""
        found: dict[str, Path] = {}
        for cell in self.rows("cells"):
            if cell["condition"] == condition and cell["status"] == "done":
                found.setdefault(cell["recipe"], self.folder / cell["folder"])
        return found


def _only(rows: Iterable[Row]) -> Row | None:
    return next(iter(rows), None)


def _line(label: str, place: int, rows: list[tuple[float, Row]]) -> Line:
    return Line(
        label, place, [x for x, _ in rows], [float(row["mean"]) for _, row in rows],
        [row.get("low") for _, row in rows], [row.get("high") for _, row in rows],
    )  # fmt: skip
