"""The plan: every recipe × condition × seed as one resolved recipe with one folder.

Two recipes can be compared only where one seed gives both the same images to train, to choose and to be tested on: then
their difference is not the difference of two draws. So source, columns, split, training size and image size must agree
(where a condition does not set them for all), and each seed sets the validation draw, the training subset, the weights and
the order of the images alike for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from likewise.comparison.command import as_yaml
from likewise.comparison.conditions import conditions_of, given_by_conditions, overrides_of
from likewise.comparison.equal import equal_overrides
from likewise.comparison.rows import Cell, Condition, Contender, Search, TrainSize
from likewise.errors import RecipeError
from likewise.recipe import Budget, Recipe
from likewise.recipes import load_recipes
from likewise.training import resolve

__all__ = ["Grid", "plan", "with_chosen"]

_SHARED = (
    "source",
    "image_column",
    "label_column",
    "caption_column",
    "image_size",
    "validation",
    "train_size",
    "on_bad_image",
    "memory_limit",
    "label_noise",
    "unseen_classes",
)


@dataclass(frozen=True)
class Grid:
    """The cells of a comparison with the recipe that each of them trains."""

    contenders: list[Contender]
    seeds: list[int]
    conditions: list[Condition]
    cells: list[tuple[Cell, Recipe]]


def plan(
    recipes: Sequence[str | Path | Recipe],
    *,
    seeds: int | Sequence[int],
    train_sizes: Sequence[TrainSize] | None,
    label_noise: Sequence[float] | None,
    unseen_classes: Sequence[float] | None,
    equal: str | None,
    data: str | None,
    budget: Budget | None,
    overrides: Mapping[str, Any],
) -> Grid:
    """Resolve the grid; see ``compare`` for the arguments.

    Raises:
        RecipeError: nothing to compare, a name twice, recipes of different data, or a recipe that cannot be resolved.
    """
    chosen = _seeds(seeds)
    loaded = load_recipes(recipes, budget=budget)
    resolved = [resolve(recipe, data=data, overrides=overrides) for recipe in loaded]
    if equal is not None:
        resolved = [recipe.with_overrides(equal_overrides(equal, recipe)) for recipe in resolved]
    _check(resolved, given_by_conditions(train_sizes, label_noise, unseen_classes))
    conditions = conditions_of(resolved[0], train_sizes, label_noise, unseen_classes)
    cells = []
    for recipe in resolved:
        for condition in conditions:
            for seed in chosen:
                folder = PurePosixPath("cells", recipe.name, f"train-{condition.key}", f"seed-{seed}")
                cell = Cell(recipe.name, condition.key, seed, str(folder))
                cells.append((cell, recipe.with_overrides({"seed": seed} | overrides_of(condition))))
    return Grid(_contenders(resolved), chosen, conditions, cells)


def with_chosen(grid: Grid, searches: Sequence[Search]) -> Grid:
    """The same grid with what was chosen for each recipe and condition."""
    chosen = {(search.recipe, search.condition): search.chosen or {} for search in searches}
    cells = [(cell, recipe.with_overrides(chosen[cell.recipe, cell.condition])) for cell, recipe in grid.cells]
    return replace(grid, cells=cells)


def _seeds(seeds: int | Sequence[int]) -> list[int]:
    chosen = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not chosen or len(set(chosen)) != len(chosen):
        raise RecipeError(
            f"The seeds are {seeds!r}.",
            expected="Expected a number of seeds of at least 1, or a list of different seeds.",
            advice="Use --seeds 3 for the seeds 0, 1 and 2.",
        )
    return chosen


def _check(recipes: Sequence[Recipe], given: set[str]) -> None:
    names = [recipe.name for recipe in recipes]
    if not names:
        raise RecipeError("No recipe was given.", expected="Expected one or more.", advice="See `likewise recipes`.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RecipeError(
            f"{', '.join(twice)} stands more than once in the comparison.",
            expected="Expected a different name for each recipe: tables, colours and folders go by it.",
            advice="Write the variant to a .yaml file with a name of its own and give that file.",
        )
    first = recipes[0]
    for other in recipes[1:]:
        for key in _SHARED:
            if key in given:
                continue
            mine, theirs = getattr(first.data, key), getattr(other.data, key)
            if mine != theirs:
                raise RecipeError(
                    f"data.{key} is {mine!r} in {first.name} and {theirs!r} in {other.name}.",
                    expected="Recipes are compared on the same images, split the same way.",
                    advice=f"Give one value for all, such as --set data.{key}={as_yaml(mine)}, or compare other recipes.",
                )


def _contenders(recipes: Sequence[Recipe]) -> list[Contender]:
    labels = [recipe.objective.label for recipe in recipes]
    unique = len(set(labels)) == len(labels)
    return [
        Contender(
            recipe.name,
            recipe.title or recipe.name,
            label if unique else recipe.name,
            recipe.objective.name,
            recipe.embedding_dim,
        )
        for recipe, label in zip(recipes, labels, strict=True)
    ]
