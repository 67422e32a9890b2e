"""The rows of a comparison's tables: plain records without a word of how they came about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "Answer",
    "Baseline",
    "Cell",
    "Condition",
    "Contender",
    "Difference",
    "Gap",
    "Metric",
    "NoiseCost",
    "RecallCurve",
    "Search",
    "Summary",
    "TrainSize",
]

Status = Literal["done", "failed", "pending"]
TrainSize = int | float | str
"""Images, a share of them, or ``10/class``."""


@dataclass(frozen=True)
class Contender:
    """One recipe of the comparison; ``label`` is its short name in tables, legends and sentences."""

    name: str
    title: str
    label: str
    objective: str
    embedding_dim: int


@dataclass(frozen=True)
class Condition:
    """What all recipes are given alike in one part of the grid: how many images, how many wrong labels, which classes.

    Args:
        key: names it in rows, folders and calls.
        train_size: as it was asked for: images, a share, ``10/class``, or ``None`` for what the recipes say.
        label_noise: share of the training images with a wrong label.
        unseen_classes: share of the classes that only the test holds, or ``None``.
        count: training images that it came to, as far as it is known.
        test: test images likewise.
    """

    key: str
    train_size: TrainSize | None = None
    label_noise: float = 0.0
    unseen_classes: float | None = None
    count: int | None = None
    test: int | None = None

    @property
    def images(self) -> str:
        """``1,000 training images``, as far as it is known."""
        if self.count is not None:
            return f"{self.count:,} training image{'' if self.count == 1 else 's'}"
        return "all training images" if self.train_size is None else f"training size {self.train_size}"

    @property
    def difficulties(self) -> list[str]:
        """What is planted beside the images: ``20 % wrong labels``, ``50 % of the classes unseen``."""
        found = [f"{100 * self.label_noise:g} % wrong labels"] if self.label_noise else []
        return found + ([f"{100 * self.unseen_classes:g} % of the classes unseen"] if self.unseen_classes else [])

    @property
    def words(self) -> str:
        """``1,000 training images, 20 % wrong labels``."""
        return ", ".join([self.images, *self.difficulties])

    @property
    def order(self) -> tuple[float, float, bool, int]:
        """Sort key of tables: known classes first, then few wrong labels, then few images."""
        return self.unseen_classes or 0.0, self.label_noise, self.count is None, self.count or 0

    @property
    def ease(self) -> tuple[float, float, bool, int]:
        """Largest for the condition to show first: known classes, clean labels, the most images."""
        return -(self.unseen_classes or 0.0), -self.label_noise, self.count is None, self.count or 0


@dataclass(frozen=True)
class Cell:
    """One run of the grid; ``folder`` is relative to the comparison."""

    recipe: str
    condition: str
    seed: int
    folder: str
    status: Status = "pending"
    error: str | None = None
    seconds: float | None = None
    warnings: list[str] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, int]:
        """Recipe, condition and seed."""
        return self.recipe, self.condition, self.seed


@dataclass(frozen=True)
class Metric:
    """How a number is called and read."""

    name: str
    label: str
    unit: str
    higher_is_better: bool
    main: bool = False


@dataclass(frozen=True)
class Summary:
    """Mean of one metric over the seeds of one recipe and condition, with its 95 % interval."""

    recipe: str
    condition: str
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
    condition: str
    metric: str
    mean: float
    low: float | None
    high: float | None
    n: int
    interval: str
    values: list[float]


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A paired difference in one metric under one condition; ``supported`` where the 95 % interval excludes 0."""

    condition: str
    metric: str
    mean: float
    low: float | None
    high: float | None
    n: int
    method: str
    supported: bool


@dataclass(frozen=True, kw_only=True)
class Difference(Gap):
    """``a`` minus ``b``, both under the condition."""

    a: str
    b: str


@dataclass(frozen=True, kw_only=True)
class NoiseCost(Gap):
    """What wrong labels cost a recipe: its number under ``clean`` less that under the condition, which has more of them."""

    recipe: str
    clean: str


@dataclass(frozen=True)
class RecallCurve:
    """recall@k of one recipe and condition; the bounds are ``None`` with one seed."""

    recipe: str
    condition: str
    k: list[int]
    mean: list[float]
    low: list[float | None]
    high: list[float | None]
    n: int
    interval: str


@dataclass(frozen=True)
class Search:
    """What was tried on validation for one recipe and condition, and what was chosen.

    ``space`` has, by setting, the lowest and the highest value and ``log`` or ``linear``; ``own`` are the recipe's own values,
    which the first trial takes. ``chosen`` and ``value`` are ``None`` where every trial failed, or where the search itself did,
    which then has 0 trials.
    """

    recipe: str
    condition: str
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

    @property
    def failure(self) -> str | None:
        """Why nothing was chosen."""
        if self.chosen is not None:
            return None
        if not self.trials:
            return f"The search on validation failed: {self.error}"
        return f"All {self.trials} trials on validation failed; the first with: {self.error}"


@dataclass(frozen=True)
class Answer:
    """What the intervals let one say to a question."""

    question: str
    statements: list[str]
