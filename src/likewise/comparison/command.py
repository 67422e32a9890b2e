"""The line that does a comparison again, for its report: nothing where the command line cannot say what a caller gave."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from likewise.comparison.rows import TrainSize
from likewise.errors import RecipeError
from likewise.recipe import Budget, Recipe
from likewise.recipes import load_recipe

__all__ = ["as_yaml", "command_of"]


def as_yaml(value: Any) -> str:
    """A value in one line, as ``--set`` reads it.

    Example:
        >>> as_yaml(None), as_yaml((4, 8)), as_yaml("cosine")
        ('null', '[4, 8]', 'cosine')
    """
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=2**31)
    return text.strip().removesuffix("...").strip()


def command_of(
    recipes: Sequence[str | Path | Recipe],
    *,
    seeds: int | Sequence[int],
    axes: Mapping[str, Sequence[TrainSize] | None],
    equal: str | None,
    trials: int,
    data: str | None,
    budget: Budget | None,
    overrides: Mapping[str, Any],
) -> str:
    """``likewise compare …`` for what ``compare`` was given; empty where a caller gave what it has no words for.

    Args:
        recipes, seeds, equal, trials, data, budget, overrides: as ``compare`` takes them.
        axes: by name what ``train_sizes``, ``label_noise`` and ``unseen_classes`` are.
    """
    count = seeds if isinstance(seeds, int) else len(seeds)
    if not isinstance(seeds, int) and list(seeds) != list(range(count)):
        return ""  # --seeds counts from 0
    if not all(_has_name(recipe, budget) for recipe in recipes if isinstance(recipe, Recipe)):
        return ""
    names = [recipe.name if isinstance(recipe, Recipe) else str(recipe) for recipe in recipes]
    words = ["likewise", "compare", *names, "--seeds", str(count)]
    for name, values in axes.items():
        if values is not None:
            words += [f"--{name.replace('_', '-')}", ",".join(map(str, values))]
    given = {"equal": equal, "trials": trials or None, "data": data, "budget": budget}
    for name, value in given.items():
        if value is not None:
            words += [f"--{name}", str(value)]
    try:
        for key, value in overrides.items():
            words += ["--set", f"{key}={as_yaml(value)}"]
    except yaml.YAMLError:
        return ""  # an object of the caller's own
    return shlex.join(words)


def _has_name(recipe: Recipe, budget: Budget | None) -> bool:
    """Whether the shipped recipe of its name is this one, and not a variant that only the caller has."""
    try:
        return load_recipe(recipe.name, budget=budget) == recipe
    except RecipeError:
        return False
