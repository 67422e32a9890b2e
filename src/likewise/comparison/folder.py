"""The folder of a comparison: never over other files, and gone on with only by the grid that it was begun with, or by a
larger one."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from likewise.comparison.record import Comparison
from likewise.comparison.rows import Cell
from likewise.comparison.search import SEARCH_SEED
from likewise.errors import RecipeError, RunError
from likewise.recipe import Recipe

__all__ = ["created_at", "folder_for", "open_comparison", "refuse_changed_cells", "refuse_other_trials"]

logger = logging.getLogger("likewise")
DEFAULT = Path("runs/comparison")


def folder_for(cells: Sequence[tuple[Cell, Recipe]], trials: int) -> Path:
    """Where a comparison goes that names no folder: ``runs/comparison``, or ``-2``, ``-3`` … where that is taken.

    A folder is not taken where this comparison goes on with what is in it: it has all cells of the one that is there, with
    the same settings, so nothing is lost from its report.
    """
    for number in itertools.count(1):
        folder = DEFAULT if number == 1 else DEFAULT.with_name(f"{DEFAULT.name}-{number}")
        if not folder.exists() or _goes_on(cells, trials, folder):
            break
    if number > 1:
        logger.info("%s holds another comparison; this one goes to %s", DEFAULT, folder)
    return folder


def _goes_on(cells: Sequence[tuple[Cell, Recipe]], trials: int, folder: Path) -> bool:
    """Whether all that the comparison in the folder has is among these cells, with the same settings."""
    try:
        there = Comparison.load(folder)
        if there.trials != trials or not {cell.key for cell in there.cells} <= {cell.key for cell, _ in cells}:
            return False
        chosen = {(search.recipe, search.condition): search.chosen or {} for search in there.searches}
        tried = [(cell, recipe.with_overrides(chosen.get((cell.recipe, cell.condition), {}))) for cell, recipe in cells]
        refuse_changed_cells(tried, folder)
    except (RunError, RecipeError):
        return False
    return True


def open_comparison(folder: Path) -> None:
    """Make the folder, if it is not there.

    Raises:
        RunError: other files are there, or it cannot be made.
    """
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


def refuse_other_trials(trials: int, seeds: Sequence[int], folder: Path) -> None:
    """Stop where cells are there that were chosen with another number of trials, or a seed is the search's own.

    Raises:
        RecipeError: says which.
    """
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


def refuse_changed_cells(cells: Sequence[tuple[Cell, Recipe]], folder: Path) -> None:
    """Stop before anything is trained where a cell's folder holds a run of another recipe.

    Raises:
        RecipeError: names the folder and what is different.
    """
    for cell, recipe in cells:
        written = folder / cell.folder / "recipe.yaml"
        if not written.is_file():
            continue
        there = Recipe.from_yaml(written.read_text("utf-8"), origin=str(written))
        if there != recipe:
            raise RecipeError(
                f"{folder / cell.folder} holds a run of another recipe: {'; '.join(_changes(there, recipe))}.",
                expected="A comparison goes on with the recipes, budget and settings it began with.",
                advice="Give the same options as then, or another --out.",
            )


def _changes(there: Recipe, now: Recipe, limit: int = 5) -> list[str]:
    def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in values.items():
            found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        return found

    before, after = flat(there.model_dump()), flat(now.model_dump())
    changed = [
        f"{key} is {before.get(key, 'unset')!r} there and {after.get(key, 'unset')!r} now"
        for key in before | after
        if key not in before or key not in after or before[key] != after[key]
    ]
    return changed[:limit] + ([f"and {len(changed) - limit} more"] if len(changed) > limit else [])


def created_at(folder: Path, now: str) -> str:
    """When the comparison in the folder was begun; ``now`` where none is there."""
    try:
        return Comparison.load(folder).created
    except RunError:
        return now
