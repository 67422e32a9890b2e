"""The picture of a task that an objective makes from images, from the examples that lie in the run folder."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from likewise.report.figures.task_examples import draw_task_examples
from likewise.report.picture import Picture
from likewise.report.wording import count

if TYPE_CHECKING:
    from likewise.training.run import Run


def task_pictures(run: Run) -> list[Picture]:
    """Input, target and prediction on test images; none for an objective without such a task."""
    columns = run.examples()
    if not columns:
        return []
    task = run.recipe.objective.task
    of = count(len(next(iter(columns.values()))), "test image")
    return [
        Picture(
            "task_examples",
            "What it was asked, and what it answered",
            f"The task of the objective, on {of} that training never showed. {task[:1].upper()}{task[1:]}",
            f"Rows of {', '.join(columns)} on {of}.",
            partial(draw_task_examples, columns, f"{', '.join(columns)} on {of}"),
            photos=True,
        )
    ]
