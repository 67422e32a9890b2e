"""The rows of a comparison's tables: plain records without a word of how they came about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "Answer",
    "Baseline",
    "Cell",
    "Contender",
    "Difference",
    "Metric",
    "RecallCurve",
    "Search",
    "Summary",
    "TrainSize",
]

Status = Literal["done", "failed", "pending"]


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
class Search:
    """What was tried on validation for one recipe and size, and what was chosen.

    ``space`` has, by setting, the lowest and the highest value and ``log`` or ``linear``; ``own`` are the recipe's own values,
    which the first trial takes. ``chosen`` and ``value`` are ``None`` where every trial failed.
    """

    recipe: str
    size: str
    trials: int
    failed: int
    error: str | None
    seed: int
    metric: str
    space: dict[str, list[Any]]
    own: dict[str, float]
    own_value: float | None
    chosen: dict[str, float] | None
    value: float | None
    seconds: float


@dataclass(frozen=True)
class Answer:
    """What the intervals let one say to a question."""

    question: str
    statements: list[str]
