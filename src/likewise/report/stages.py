"""The stages of a run in one table: what each was trained by, how long, and how good the space was after it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from likewise.errors import RunError
from likewise.report.wording import count, duration, percent

if TYPE_CHECKING:
    from likewise.recipe import Recipe
    from likewise.training.run import Run

logger = logging.getLogger("likewise")

MEASURES = {
    "knn1_accuracy": "1-NN",
    "linear_probe_accuracy": "linear probe",
    "classifier_accuracy": "own classifier",
}
THE_END = "the end"
"""Name of the last stage, which is the run itself."""


@dataclass(frozen=True)
class StageRow:
    """One stage: its name, what happened in it, its seconds of training, and its test accuracies by name."""

    name: str
    what: str
    seconds: str
    accuracies: dict[str, str]


@dataclass(frozen=True)
class Stage:
    """One stage as it can be shown: its name, its run, and the seconds of its own training (None: not to be told)."""

    name: str
    run: Run
    seconds: float | None


def stages_of(run: Run) -> list[Stage]:
    """All stages of a run in their order, itself as the last; empty for a run without stages before it.

    A stage whose folder is gone or damaged is left out, and the seconds of the last one cannot be told then.
    """
    if not run.recipe.before:
        return []
    found = []
    for stage in run.recipe.before:
        try:
            earlier = type(run).load(run.folder / "stages" / stage.name)
        except RunError as error:
            logger.warning("the stage %s is left out of the report: %s", stage.name, error)
            continue
        found.append(Stage(stage.name, earlier, earlier.metrics["train_seconds"]))
    before = sum(stage.run.metrics["train_seconds"] for stage in found)
    own = run.metrics["train_seconds"] - before if len(found) == len(run.recipe.before) else None
    return [*found, Stage(THE_END, run, own)]


def stage_rows(stages: Sequence[Stage]) -> list[StageRow]:
    """The rows of the table."""
    return [
        StageRow(
            stage.name,
            _what(stage.run.recipe, len(stage.run.history)),
            "" if stage.seconds is None else duration(stage.seconds),
            {label: percent(stage.run.metrics[key]) for key, label in MEASURES.items() if key in stage.run.metrics},
        )
        for stage in stages
    ]


def _what(recipe: Recipe, epochs: int) -> str:
    frozen, blocks = "", recipe.training.image_blocks
    if recipe.training.freeze in ("encoder", "both"):
        frozen = f", all but the encoder's last {count(blocks, 'block')} frozen" if blocks else ", encoder frozen"
    return f"{recipe.objective.label}, {count(epochs, 'epoch')}{frozen}"
