"""What a comparison knows, as one record that goes into ``comparison.json`` and comes back unchanged.

Everything the report and the table show is in here; nothing has to be computed again to draw it. A number that was not
measured is ``None`` or absent, never 0, and accuracies are shares (0.872), never per cent.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from likewise.comparison.rows import (
    Answer,
    Baseline,
    Cell,
    Condition,
    Contender,
    Difference,
    Metric,
    NoiseCost,
    RecallCurve,
    Search,
    Summary,
)
from likewise.errors import RunError
from likewise.training.files import read_json, write_json

__all__ = [
    "INTERVAL_WORDS",
    "METHOD_WORDS",
    "RAW_PIXELS",
    "Comparison",
    "as_dict",
]

FORMAT = 2
FILE = "comparison.json"
#: Name of the baseline that every recipe is compared with.
RAW_PIXELS = "raw_pixels"

#: What the ``interval`` of a row means, as one sentence for a caption.
INTERVAL_WORDS = {
    "seeds": "95 % interval of the mean over seeds (Student t); the test images are the same for all seeds.",
    "samples": "One seed only: 95 % interval over test images (Wilson); another seed may differ by more.",
    "none": "One seed only, and no share of test images: no interval.",
}
#: What the ``method`` of a difference means, as one sentence for a caption.
METHOD_WORDS = {
    "paired-bootstrap": "95 % interval of the paired difference: test images resampled, seeds by Student t.",
    "paired-bootstrap-one-seed": "One seed only: test images resampled in pairs; another seed may differ by more.",
    "paired-t": "95 % interval of the paired difference over seeds (Student t).",
    "independent": "95 % interval with the test images of both taken as independent, which is wider than paired.",
    "independent-one-seed": "One seed only: test images of both taken as independent; another seed may differ by more.",
    "none": "One seed only, and no record per test image: no interval.",
}


@dataclass(frozen=True)
class Comparison:
    """A comparison folder: the grid, its cells, and what follows from them.

    Attributes:
        folder: where it lies.
        recipes, seeds, conditions: the grid; recipes and seeds in the order asked.
        equal: the budget that every run had, such as ``seconds=60``; ``None`` where each has its recipe's own.
        trials, searches: how many trials on validation each recipe and condition had, and what they chose; 0 and none without.
        cells: every recipe × condition × seed.
        metrics: what the tables are over, the main one first.
        summary, baselines, differences, noise_costs, recall_curves: the numbers.
        statements, answers: sentences that the intervals support, plain and by question.
        notes: what a reader of the numbers must know.

    Example:
        >>> Comparison.load("nowhere")
        Traceback (most recent call last):
        ...
        likewise.errors.RunError: nowhere holds no comparison. Expected comparison.json in it. Make one with ...
    """

    folder: Path
    created: str
    updated: str
    command: str
    budget: str | None
    overrides: dict[str, Any]
    recipes: list[Contender]
    seeds: list[int]
    conditions: list[Condition]
    cells: list[Cell]
    equal: str | None = None
    trials: int = 0
    searches: list[Search] = field(default_factory=list)
    complete: bool = False
    data: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    summary: list[Summary] = field(default_factory=list)
    baselines: list[Baseline] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    noise_costs: list[NoiseCost] = field(default_factory=list)
    recall_curves: list[RecallCurve] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Read ``comparison.json``.

        Raises:
            RunError: there is none, or it is damaged.
        """
        folder = Path(folder)
        if not (folder / FILE).is_file():
            raise RunError(
                f"{folder} holds no comparison.",
                expected=f"Expected {FILE} in it.",
                advice="Make one with `likewise compare RECIPE… --out FOLDER`.",
            )
        try:
            values = read_json(folder / FILE)
            if values.pop("format") != FORMAT:
                raise ValueError("another format")
            return cls(folder=folder, **{name: _rebuild(name, value) for name, value in values.items()})
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise RunError(
                f"{folder / FILE} cannot be read ({error}).",
                expected=f"Expected format {FORMAT}, as this version writes it.",
                advice="Run the same `likewise compare` again: finished cells are kept and the file is written anew.",
            ) from error

    def save(self) -> None:
        """Write ``comparison.json`` in one step."""
        write_json(self.folder / FILE, as_dict(self))

    def done(self, recipe: str | None = None, condition: str | None = None) -> list[Cell]:
        """Finished cells, of one recipe or condition where given, in grid order."""
        return [
            cell
            for cell in self.cells
            if cell.status == "done" and recipe in (None, cell.recipe) and condition in (None, cell.condition)
        ]

    def easiest(self) -> Condition | None:
        """The condition to show first: known classes, the cleanest labels, the most images; of those with a finished cell."""
        reached = {cell.condition for cell in self.done()}
        found = [condition for condition in self.conditions if condition.key in reached]
        return max(found, key=lambda condition: condition.ease, default=None)

    def showcase(self) -> list[Path]:
        """For each recipe the folder of one finished run to look at: the easiest condition, then the first seed."""
        chosen = []
        ease = {condition.key: condition.ease for condition in self.conditions}
        for recipe in self.recipes:
            cells = self.done(recipe.name)
            if cells:
                most = max(ease[cell.condition] for cell in cells)
                best = min(
                    (cell for cell in cells if ease[cell.condition] == most),
                    key=lambda cell: self.seeds.index(cell.seed),
                )
                chosen.append(self.folder / best.folder)
        return chosen

    def difference(self, a: str, b: str, condition: str, metric: str) -> Difference | None:
        """The row of ``differences`` for ``a`` minus ``b``, if there is one."""
        return next(
            (row for row in self.differences if (row.a, row.b, row.condition, row.metric) == (a, b, condition, metric)),
            None,
        )


_ROWS: dict[str, type[Any]] = {
    "recipes": Contender,
    "conditions": Condition,
    "cells": Cell,
    "searches": Search,
    "metrics": Metric,
    "summary": Summary,
    "baselines": Baseline,
    "differences": Difference,
    "noise_costs": NoiseCost,
    "recall_curves": RecallCurve,
    "answers": Answer,
}


def _rebuild(name: str, value: Any) -> Any:
    row = _ROWS.get(name)
    rows: Iterable[dict[str, Any]] = value if row else ()
    return [row(**entry) for entry in rows] if row else value


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """The whole comparison as plain values, as they stand in ``comparison.json``."""
    values = {
        entry.name: getattr(comparison, entry.name)
        for entry in dataclasses.fields(comparison)
        if entry.name != "folder"
    }
    plain = {
        name: [dataclasses.asdict(row) for row in rows] if name in _ROWS else rows for name, rows in values.items()
    }
    return {"format": FORMAT, **plain}
