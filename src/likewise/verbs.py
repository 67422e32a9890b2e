"""What the verbs do, for Python and for the command line: train with a report, compare with a report, report again."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from likewise import comparison, report, training
from likewise.comparison import Comparison
from likewise.data import Splits
from likewise.errors import DatasetError, RunError
from likewise.recipe import Budget, Recipe
from likewise.training import Run

__all__ = ["compare", "report_on", "train"]

logger = logging.getLogger("likewise")


def train(
    recipe: str | Path | Recipe,
    out: str | os.PathLike[str] | None = None,
    *,
    data: str | None = None,
    budget: Budget | None = None,
    seed: int | None = None,
    resume: bool = False,
    quiet: bool = False,
    **overrides: Any,
) -> Run:
    """Train, measure, draw: from a recipe to a run folder with its ``report.html``.

    The arguments and errors are those of ``likewise.training.train``.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp() + "/run"
        >>> run = train("digits-crossentropy", folder, budget="smoke", quiet=True)
        >>> run.metrics["knn1_accuracy"] > 0.5, (run.folder / "report.html").exists()
        (True, True)
    """
    run = training.train(recipe, out, data=data, budget=budget, seed=seed, resume=resume, quiet=quiet, **overrides)
    if not (run.folder / "report.html").is_file():
        report.write_run_report(run, run.data())
    return run


def compare(
    recipes: Sequence[str | Path | Recipe],
    *,
    out: str | os.PathLike[str],
    seeds: int = 3,
    train_sizes: Sequence[int | float] | None = None,
    trials: int = 0,
    data: str | None = None,
    budget: Budget | None = None,
    **options: Any,
) -> Comparison:
    """Objectives × seeds × training sizes, measured, compared and reported; see ``likewise.comparison.compare``.

    The run of the first seed with the most images gets a report of its own for every recipe.
    """
    result = comparison.compare(
        recipes, out=out, seeds=seeds, train_sizes=train_sizes, trials=trials, data=data, budget=budget, **options
    )
    for cell in result.showcase():
        if not (cell / "report.html").is_file():
            run = Run.load(cell)
            report.write_run_report(run, run.data())
    report.write_comparison_report(Path(out))
    return result


def report_on(folder: str | os.PathLike[str]) -> Path:
    """Write the report of a run or of a comparison anew, pictures included where the images can still be had.

    Returns:
        The path of ``report.html``.

    Raises:
        RunError: the folder is neither.
    """
    folder = Path(folder)
    if (folder / "comparison.json").is_file():
        return report.write_comparison_report(folder)
    if not (folder / "recipe.yaml").is_file():
        raise RunError(
            f"{folder} is neither a run nor a comparison.",
            expected="Expected recipe.yaml or comparison.json in it.",
            advice="Give the --out folder of `likewise train` or `likewise compare`.",
        )
    run = Run.load(folder)
    images: Splits | None
    try:
        images = run.data()
    except DatasetError as error:
        logger.warning("the images cannot be had, so the pictures stay as they are: %s", error)
        images = None
    return report.write_run_report(run, images)
