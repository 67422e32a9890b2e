"""Fill the grid one cell at a time, and say what follows from it.

A cell is an ordinary run in a folder of its own. Finished ones are read, interrupted ones go on where they stopped, a
failed one is written down with its error and tried again the next time; so the same command can be given until all is
done, and a larger grid in the same folder only computes what is new. ``comparison.json`` is written after every cell.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from likewise.comparison.analysis import Runs, analyse
from likewise.comparison.grid import Grid, plan, refuse_changed_cells, with_chosen
from likewise.comparison.record import Comparison
from likewise.comparison.rows import Cell
from likewise.comparison.search import SEARCH_SEED, search
from likewise.comparison.table import write_csv
from likewise.errors import Interrupted, LikewiseError, RecipeError, RunError, TrainingError
from likewise.launch import launched_ranks
from likewise.recipe import Budget, Recipe
from likewise.training import Run, train
from likewise.training.run_folder import working_in

__all__ = ["compare"]

logger = logging.getLogger("likewise")


def compare(
    recipes: Sequence[str | Path | Recipe],
    *,
    out: str | os.PathLike[str],
    seeds: int | Sequence[int] = 3,
    train_sizes: Sequence[int | float] | None = None,
    trials: int = 0,
    data: str | None = None,
    budget: Budget | None = None,
    overrides: Mapping[str, Any] | None = None,
    on_cell: Callable[[Cell], None] | None = None,
    quiet: bool = False,
) -> Comparison:
    """Train every recipe with every seed on every amount of training images, and compare.

    Args:
        recipes: shipped names (of recipes, or of comparisons, which stand for several), ``.yaml`` or ``.py`` files, or
            ``Recipe``s; different names, the same data.
        out: folder of the comparison. One that is there goes on: finished cells are not computed again.
        seeds: how many (0 … n-1), or which.
        train_sizes: counts (int) or shares (float up to 1.0) of the training images; nested, stratified subsets.
            ``None`` is one size, all of them.
        trials: of the search on validation that chooses learning rate, margin, temperature … of every recipe at every size;
            0 takes the recipes as they are.
        data: source of the images, in place of the recipes'.
        budget: ``smoke``, ``laptop`` or ``paper``, for recipes that have several.
        overrides: settings for every cell, ``section.key`` or ``key`` to value.
        on_cell: called with each cell when it is done or has failed.
        quiet: no progress on standard error.

    Returns:
        The finished comparison; failed cells are in it with their errors.

    Raises:
        RecipeError: a recipe or an option cannot be used, or a cell's folder holds a run of another recipe.
        RunError: ``out`` holds something else, or another process works in it.
        TrainingError: not one cell could be trained; the first cell's error is in the message.
        Interrupted: SIGINT or SIGTERM came; give the same command to go on.

    Example:
        >>> import tempfile
        >>> result = compare(["digits-crossentropy"], seeds=1, budget="smoke", out=tempfile.mkdtemp(), quiet=True)
        >>> [cell.status for cell in result.cells], result.recipes[0].label
        (['done'], 'cross-entropy')
    """
    if launched_ranks() > 1:
        raise RecipeError(
            f"compare was started as {launched_ranks()} processes.",
            expected="Expected one: a comparison trains one run after the other.",
            advice="Start it without torchrun, or train single recipes with it.",
        )
    folder = Path(out)
    overrides = dict(overrides or {})
    grid = plan(recipes, seeds=seeds, train_sizes=train_sizes, data=data, budget=budget, overrides=overrides)
    _check_trials(trials, grid.seeds, folder)
    _open(folder)
    with working_in(folder):
        if not trials:
            refuse_changed_cells(grid, folder)
        runs: Runs = {}
        comparison = Comparison(
            folder=folder,
            created=_created(folder),
            updated=_now(),
            command=_command(grid, recipes, seeds, train_sizes, trials, data, budget, overrides),
            budget=budget,
            overrides=overrides,
            recipes=grid.contenders,
            seeds=grid.seeds,
            train_sizes=grid.sizes,
            cells=[_known(cell, folder, runs) for cell, _ in grid.cells],
            trials=trials,
        )
        comparison = _write(comparison, runs, None)
        if trials:
            for name, size in dict.fromkeys((cell.recipe, cell.size) for cell, _ in grid.cells):
                recipe = next(recipe for cell, recipe in grid.cells if (cell.recipe, cell.size) == (name, size))
                found = search(recipe, size, folder, trials, quiet=quiet)
                searches = [*comparison.searches, found]
                comparison = _write(dataclasses.replace(comparison, searches=searches), runs, comparison)
            grid = with_chosen(grid, comparison.searches)
            refuse_changed_cells(grid, folder)
        for number, (planned, recipe) in enumerate(grid.cells):
            if comparison.cells[number].status == "done":
                continue
            place = f"{planned.recipe}, train size {planned.size}, seed {planned.seed}"
            logger.info("cell %d of %d: %s", number + 1, len(grid.cells), place)
            hopeless = _all_failed(comparison, planned)
            cell = hopeless or _fill(planned, recipe, folder, runs, quiet=quiet)
            cells = [cell if index == number else other for index, other in enumerate(comparison.cells)]
            comparison = _write(dataclasses.replace(comparison, cells=cells), runs, comparison)
            if on_cell:
                on_cell(cell)
    _refuse_all_failed(comparison)
    return comparison


def _fill(cell: Cell, recipe: Recipe, folder: Path, runs: Runs, *, quiet: bool) -> Cell:
    try:
        return _finished(cell, train(recipe, folder / cell.folder, resume=True, quiet=quiet), runs)
    except Interrupted as error:
        raise Interrupted(
            error.got,
            expected=f"Finished cells and the state of this one are saved in {folder}.",
            advice="Give the same command again to go on.",
        ) from error
    except LikewiseError as error:
        logger.warning("cell failed: %s: %s", cell.folder, error)
        return dataclasses.replace(cell, status="failed", error=f"{type(error).__name__}: {error}")


def _all_failed(comparison: Comparison, cell: Cell) -> Cell | None:
    """The cell as failed, where every trial that should have chosen its settings failed."""
    for found in comparison.searches:
        if (found.recipe, found.size) == (cell.recipe, cell.size) and found.chosen is None:
            error = f"All {found.trials} trials on validation failed; the first with: {found.error}"
            return dataclasses.replace(cell, status="failed", error=error)
    return None


def _known(cell: Cell, folder: Path, runs: Runs) -> Cell:
    """The cell as its folder has it: done where the run is finished and readable, else pending."""
    if not (folder / cell.folder / "metrics.json").is_file():
        return cell
    try:
        return _finished(cell, Run.load(folder / cell.folder), runs)
    except RunError as error:
        return dataclasses.replace(cell, status="failed", error=f"{type(error).__name__}: {error}")


def _finished(cell: Cell, run: Run, runs: Runs) -> Cell:
    runs[cell.key] = run
    return dataclasses.replace(
        cell,
        status="done",
        error=None,
        seconds=run.metrics.get("total_seconds"),
        warnings=list(run.warnings),
        metrics=dict(run.metrics),
    )


def _write(comparison: Comparison, runs: Runs, before: Comparison | None) -> Comparison:
    complete = all(cell.status != "pending" for cell in comparison.cells)
    current = analyse(dataclasses.replace(comparison, updated=_now(), complete=complete), runs, before)
    current.save()
    write_csv(current)
    return current


def _check_trials(trials: int, seeds: Sequence[int], folder: Path) -> None:
    if trials < 0 or (trials and SEARCH_SEED in seeds):
        raise RecipeError(
            f"--trials is {trials} with the seeds {', '.join(map(str, seeds))}.",
            expected=f"Expected 0 or more, and seeds other than {SEARCH_SEED}, which is the search's own.",
            advice="Use --trials 0 to take the recipes as they are, or about 10 to choose their settings on validation.",
        )
    try:
        there = Comparison.load(folder)
    except RunError:
        return
    if there.trials != trials and any((folder / "cells").glob("*/*/*/recipe.yaml")):
        raise RecipeError(
            f"The comparison in {folder} has --trials {there.trials}, and {trials} was asked for.",
            expected="All cells of a comparison are chosen with the same number of trials.",
            advice=f"Give --trials {there.trials}, or another --out.",
        )


def _open(folder: Path) -> None:
    entries = {path.name for path in folder.iterdir()} - {".lock"} if folder.is_dir() else set()
    if entries and not entries & {"comparison.json", "cells", "search"}:
        raise RunError(
            f"{folder} holds files that are not a comparison.",
            expected="Expected a new or an empty folder, or the folder of a comparison to go on with.",
            advice="Choose another --out.",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"{folder} cannot be made ({error.strerror or error}).",
            expected="Expected a folder that can be made and written.",
            advice="Choose another --out, or change its permissions.",
        ) from error


def _refuse_all_failed(comparison: Comparison) -> None:
    failed = [cell for cell in comparison.cells if cell.status == "failed"]
    if failed and len(failed) == len(comparison.cells):
        raise TrainingError(
            f"All {len(failed)} cells of the comparison failed; the first with: {failed[0].error}",
            expected="Expected at least one finished run.",
            advice=f"All errors stand in {comparison.folder / 'comparison.json'}; correct the cause and run it again.",
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _created(folder: Path) -> str:
    try:
        return Comparison.load(folder).created
    except RunError:
        return _now()


def _command(
    grid: Grid,
    recipes: Sequence[str | Path | Recipe],
    seeds: int | Sequence[int],
    train_sizes: Sequence[int | float] | None,
    trials: int,
    data: str | None,
    budget: Budget | None,
    overrides: Mapping[str, Any],
) -> str:
    names = [recipe.name if isinstance(recipe, Recipe) else str(recipe) for recipe in recipes]
    words = ["likewise", "compare", *names, "--seeds", str(seeds if isinstance(seeds, int) else len(grid.seeds))]
    if train_sizes is not None:
        words += ["--train-sizes", ",".join(map(str, train_sizes))]
    if trials:
        words += ["--trials", str(trials)]
    if data is not None:
        words += ["--data", data]
    if budget is not None:
        words += ["--budget", budget]
    for key, value in overrides.items():
        words += ["--set", f"{key}={value}"]
    return shlex.join(words)
