"""Fill the grid, and say what follows from it.

A cell is an ordinary run in a folder of its own. Finished ones are read, interrupted ones go on where they stopped, a
failed one is written down with its error and tried again the next time; so the same command can be given until all is
done, and a larger grid in the same folder only computes what is new. ``comparison.json`` is written after every cell.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from likewise.comparison.analysis import Runs, analyse
from likewise.comparison.command import command_of
from likewise.comparison.folder import (
    created_at,
    folder_for,
    open_comparison,
    refuse_changed_cells,
    refuse_other_trials,
)
from likewise.comparison.grid import Grid, plan, with_chosen
from likewise.comparison.on_ray import on_ray
from likewise.comparison.processes import in_processes
from likewise.comparison.record import Comparison
from likewise.comparison.rows import Cell, Search, TrainSize
from likewise.comparison.search import failed_search, open_storage
from likewise.comparison.table import write_csv
from likewise.comparison.work import Engine, Work, in_sequence
from likewise.errors import RecipeError, RunError, TrainingError
from likewise.launch import launched_ranks
from likewise.recipe import Budget, Recipe
from likewise.training import Run
from likewise.training.run_folder import working_in

__all__ = ["compare"]

logger = logging.getLogger("likewise")


def compare(
    recipes: Sequence[str | Path | Recipe],
    *,
    out: str | os.PathLike[str] | None = None,
    seeds: int | Sequence[int] = 3,
    train_sizes: Sequence[TrainSize] | None = None,
    label_noise: Sequence[float] | None = None,
    unseen_classes: Sequence[float] | None = None,
    equal: str | None = None,
    trials: int = 0,
    data: str | None = None,
    budget: Budget | None = None,
    overrides: Mapping[str, Any] | None = None,
    jobs: int | None = None,
    engine: str = "local",
    on_cell: Callable[[Cell], None] | None = None,
    quiet: bool = False,
) -> Comparison:
    """Train every recipe with every seed under every condition, and compare.

    Args:
        recipes: shipped names (of recipes, or of comparisons, which stand for several), ``.yaml`` or ``.py`` files, or
            ``Recipe``s; different names, the same data.
        out: folder of the comparison. One that is there goes on: finished cells are not computed again. Default
            ``runs/comparison``, or ``-2``, ``-3`` … where another comparison is there.
        seeds: how many (0 … n-1), or which.
        train_sizes: counts (int), shares (float up to 1.0) or ``"10/class"`` of the training images; nested, stratified
            subsets. ``None`` is one size, all of them.
        label_noise: shares (0 to below 1) of the training images that get a wrong label; nested. ``None`` is what the recipes
            say, which is none unless ``overrides`` has some.
        unseen_classes: shares (0 to below 1) of the classes that only the test holds; 0 is the usual test.
        equal: the same length of training for all: ``seconds=60``, ``steps=2000`` or ``images=500000``.
        trials: of the search on validation that chooses learning rate, margin, temperature … of every recipe under every
            condition; 0 takes the recipes as they are.
        data: source of the images, in place of the recipes'.
        budget: ``smoke``, ``laptop`` or ``paper``, for recipes that have several.
        overrides: settings for every cell, ``section.key`` or ``key`` to value.
        jobs: runs at a time, in processes that divide the threads and GPUs among them; by default 1, and with ``ray`` as many
            as the cluster has GPUs or cores.
        engine: ``local``, or ``ray`` for a Ray cluster, whose machines share ``out``. The table is the same.
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
    works = _engine(engine, jobs, quiet=quiet)
    overrides = dict(overrides or {})
    axes = {"train_sizes": train_sizes, "label_noise": label_noise, "unseen_classes": unseen_classes}
    grid = plan(
        recipes,
        seeds=seeds,
        train_sizes=train_sizes,
        label_noise=label_noise,
        unseen_classes=unseen_classes,
        equal=equal,
        data=data,
        budget=budget,
        overrides=overrides,
    )
    folder = Path(out) if out is not None else folder_for(grid.cells, trials)
    refuse_other_trials(trials, grid.seeds, folder)
    open_comparison(folder)
    with working_in(folder):
        if not trials:
            refuse_changed_cells(grid.cells, folder)
        runs: Runs = {}
        comparison = Comparison(
            folder=folder,
            created=created_at(folder, _now()),
            updated=_now(),
            command=command_of(
                recipes,
                seeds=seeds,
                axes=axes,
                equal=equal,
                trials=trials,
                data=data,
                budget=budget,
                overrides=overrides,
            ),
            budget=budget,
            overrides=overrides,
            recipes=grid.contenders,
            seeds=grid.seeds,
            conditions=grid.conditions,
            cells=[_known(cell, folder, runs) for cell, _ in grid.cells],
            equal=equal,
            trials=trials,
        )
        comparison = _write(comparison, runs, None)
        if trials:
            comparison = _search(comparison, grid, runs, works)
            grid = with_chosen(grid, comparison.searches)
            refuse_changed_cells(grid.cells, folder)
        comparison = _fill(comparison, grid, runs, works, on_cell)
    _refuse_all_failed(comparison)
    return comparison


def _engine(name: str, jobs: int | None, *, quiet: bool) -> Engine:
    if name not in ("local", "ray") or (jobs is not None and jobs < 1):
        raise RecipeError(
            f"The engine is {name!r} with {jobs} jobs.", expected="Expected local or ray, with 1 job or more."
        )
    if name == "ray":
        return on_ray(jobs)
    return in_processes(jobs) if jobs is not None and jobs > 1 else in_sequence(quiet=quiet)


def _search(comparison: Comparison, grid: Grid, runs: Runs, engine: Engine) -> Comparison:
    """The comparison with the settings that were chosen for every recipe under every condition, or why none were."""
    open_storage(comparison.folder)
    plans = {(cell.recipe, cell.condition): recipe for cell, recipe in reversed(grid.cells)}
    places = list(dict.fromkeys((cell.recipe, cell.condition) for cell, _ in grid.cells))
    works = [Work(plans[place], comparison.folder.absolute(), place[1], comparison.trials) for place in places]
    found: dict[int, Search] = {}
    for number, outcome in engine(works, lambda number: None):
        if isinstance(outcome.error, RecipeError):
            raise outcome.error  # the caller's mistake: trials of another recipe are there
        if outcome.error is not None:
            error = f"{type(outcome.error).__name__}: {outcome.error}"
            logger.warning("search failed: %s, train size %s: %s", *places[number], error)
            found[number] = failed_search(works[number].recipe, works[number].cell, error)
        elif outcome.found is not None:
            found[number] = outcome.found
        searches = [found[number] for number in sorted(found)]
        comparison = _write(dataclasses.replace(comparison, searches=searches), runs, comparison)
    return comparison


def _fill(
    comparison: Comparison, grid: Grid, runs: Runs, engine: Engine, on_cell: Callable[[Cell], None] | None
) -> Comparison:
    """The comparison with all cells that are not done yet trained, or failed with their errors."""

    def settled(number: int, cell: Cell) -> Comparison:
        cells = [cell if index == number else other for index, other in enumerate(comparison.cells)]
        after = _write(dataclasses.replace(comparison, cells=cells), runs, comparison)
        if on_cell:
            on_cell(cell)
        return after

    def begun(number: int) -> None:
        cell = comparison.cells[places[number]]
        where = f"{cell.recipe}, train size {cell.condition}, seed {cell.seed}"
        logger.info("cell %d of %d: %s", places[number] + 1, len(grid.cells), where)

    places = []
    for number, (cell, _) in enumerate(grid.cells):
        if comparison.cells[number].status != "done":
            hopeless = _all_failed(comparison, cell)
            if hopeless:
                comparison = settled(number, hopeless)
            else:
                places.append(number)
    folder = comparison.folder.absolute()
    works = [Work(grid.cells[number][1], folder, grid.cells[number][0].folder) for number in places]
    for number, outcome in engine(works, begun):
        cell = grid.cells[places[number]][0]
        if outcome.error is None:
            comparison = settled(places[number], _finished(cell, Run.load(comparison.folder / cell.folder), runs))
        else:
            error = f"{type(outcome.error).__name__}: {outcome.error}"
            logger.warning("cell failed: %s: %s", cell.folder, error)
            comparison = settled(places[number], dataclasses.replace(cell, status="failed", error=error))
    return comparison


def _all_failed(comparison: Comparison, cell: Cell) -> Cell | None:
    """The cell as failed, where the search that should have chosen its settings failed, or every trial of it."""
    for found in comparison.searches:
        if (found.recipe, found.condition) == (cell.recipe, cell.condition) and found.failure:
            return dataclasses.replace(cell, status="failed", error=found.failure)
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
