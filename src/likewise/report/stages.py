"""The stages of a run in one table: what each was trained by, how long, and how good the space was after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from likewise.report.wording import count, duration, percent

if TYPE_CHECKING:
    from likewise.recipe import Recipe
    from likewise.training.run import Run

MEASURES = {
    "knn1_accuracy": "1-NN",
    "linear_probe_accuracy": "linear probe",
    "classifier_accuracy": "own classifier",
}


@dataclass(frozen=True)
class StageRow:
    """One stage: its name, what happened in it, its seconds of training, and its test accuracies by name."""

    name: str
    what: str
    seconds: str
    accuracies: dict[str, str]


def stage_rows(run: Run) -> list[StageRow]:
    """All stages of a run in their order, itself as the last; empty for a run without stages before it."""
    if not run.recipe.before:
        return []
    earlier = [type(run).load(run.folder / "stages" / stage.name) for stage in run.recipe.before]
    own = run.metrics["train_seconds"] - sum(each.metrics["train_seconds"] for each in earlier)
    rows = [
        _row(stage.name, each, each.metrics["train_seconds"])
        for stage, each in zip(run.recipe.before, earlier, strict=True)
    ]
    return [*rows, _row("the run", run, own)]


def _row(name: str, run: Run, seconds: float) -> StageRow:
    accuracies = {label: percent(run.metrics[key]) for key, label in MEASURES.items() if key in run.metrics}
    return StageRow(name, _what(run.recipe, len(run.history)), duration(seconds), accuracies)


def _what(recipe: Recipe, epochs: int) -> str:
    frozen, blocks = "", recipe.training.image_blocks
    if recipe.training.freeze in ("encoder", "both"):
        frozen = f", all but the encoder's last {count(blocks, 'block')} frozen" if blocks else ", encoder frozen"
    return f"{recipe.objective.label}, {count(epochs, 'epoch')}{frozen}"
