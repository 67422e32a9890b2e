"""What a comparison knows, as plain records that go into ``comparison.json`` and come back unchanged.

Everything the report and the table show is in here; nothing has to be computed again to draw it. A number that was not
measured is ``None`` or absent, never 0, and accuracies are shares (0.872), never per cent.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from likewise.errors import RunError
from likewise.training.files import read_json, write_json

__all__ = [
    "INTERVAL_WORDS",
    "METHOD_WORDS",
    "RAW_PIXELS",
    "Answer",
    "Baseline",
    "Cell",
    "Comparison",
    "Contender",
    "Difference",
    "Metric",
    "RecallCurve",
    "Summary",
    "TrainSize",
    "as_dict",
]

FORMAT = 1
FILE = "comparison.json"
#: Name of the baseline that every recipe is compared with.
RAW_PIXELS = "raw_pixels"
Status = Literal["done", "failed", "pending"]

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
class Contender:
    """One recipe of the comparison; ``label`` is its short name in tables, legends and sentences."""

    name: str
    title: str
    label: str
    objective: str
    embedding_dim: int


@dataclass(frozen=True)
class TrainSize:
    """One amount of training data: ``size`` is its key, ``asked`` what was given, ``count`` the images it came to."""

    size: str
    asked: int | float | None
    count: int | None = None

    @property
    def words(self) -> str:
        """``1,000 training images``, as far as it is known."""
        if self.count is not None:
            return f"{self.count:,} training image{'' if self.count == 1 else 's'}"
        return "all training images" if self.asked is None else f"training size {self.size}"


@dataclass(frozen=True)
class Cell:
    """One run of the grid; ``folder`` is relative to the comparison."""

    recipe: str
    size: str
    seed: int
    folder: str
    status: Status = "pending"
    error: str | None = None
    seconds: float | None = None
    warnings: list[str] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, int]:
        """Recipe, size and seed."""
        return self.recipe, self.size, self.seed


@dataclass(frozen=True)
class Metric:
    """How a number is called and read."""

    name: str
    label: str
    unit: str
    higher_is_better: bool
    main: bool


@dataclass(frozen=True)
class Summary:
    """Mean of one metric over the seeds of one recipe and size, with its 95 % interval."""

    recipe: str
    size: str
    metric: str
    mean: float
    low: float | None
    high: float | None
    n: int
    interval: str
    values: list[float]


@dataclass(frozen=True)
class Baseline:
    """The same number without any training."""

    name: str
    label: str
    dimension: int
    size: str
    metric: str
    mean: float
    low: float | None
    high: float | None
    n: int
    interval: str
    values: list[float]


@dataclass(frozen=True)
class Difference:
    """``a`` minus ``b`` in one metric at one size; ``supported`` where the 95 % interval excludes 0."""

    a: str
    b: str
    size: str
    metric: str
    mean: float
    low: float | None
    high: float | None
    n: int
    method: str
    supported: bool


@dataclass(frozen=True)
class RecallCurve:
    """recall@k of one recipe and size; the bounds are ``None`` with one seed."""

    recipe: str
    size: str
    k: list[int]
    mean: list[float]
    low: list[float | None]
    high: list[float | None]
    n: int
    interval: str


@dataclass(frozen=True)
class Answer:
    """What the intervals let one say to a question."""

    question: str
    statements: list[str]


@dataclass(frozen=True)
class Comparison:
    """A comparison folder: the grid, its cells, and what follows from them.

    Attributes:
        folder: where it lies.
        recipes, seeds, train_sizes: the grid, in the order asked (sizes ascending).
        cells: every recipe × size × seed.
        metrics: what the tables are over, the main one first.
        summary, baselines, differences, recall_curves: the numbers.
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
    train_sizes: list[TrainSize]
    cells: list[Cell]
    complete: bool = False
    data: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    summary: list[Summary] = field(default_factory=list)
    baselines: list[Baseline] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
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

    def done(self, recipe: str | None = None, size: str | None = None) -> list[Cell]:
        """Finished cells, of one recipe or size where given, in grid order."""
        return [
            cell
            for cell in self.cells
            if cell.status == "done" and recipe in (None, cell.recipe) and size in (None, cell.size)
        ]

    def showcase(self) -> list[Path]:
        """For each recipe the folder of one finished run to look at: the most images, then the first seed."""
        chosen = []
        order = {size.size: rank for rank, size in enumerate(self.train_sizes)}
        for recipe in self.recipes:
            cells = self.done(recipe.name)
            if cells:
                best = min(cells, key=lambda cell: (-order[cell.size], self.seeds.index(cell.seed)))
                chosen.append(self.folder / best.folder)
        return chosen

    def difference(self, a: str, b: str, size: str, metric: str) -> Difference | None:
        """The row of ``differences`` for ``a`` minus ``b``, if there is one."""
        return next(
            (row for row in self.differences if (row.a, row.b, row.size, row.metric) == (a, b, size, metric)), None
        )


_ROWS: dict[str, type[Any]] = {
    "recipes": Contender,
    "train_sizes": TrainSize,
    "cells": Cell,
    "metrics": Metric,
    "summary": Summary,
    "baselines": Baseline,
    "differences": Difference,
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
