"""The plan: every recipe × training size × seed as one resolved recipe with one folder.

Two recipes can be compared only where one seed gives both the same images to train, to choose and to be tested on: then
their difference is not the difference of two draws. So source, split and image size must agree, and each seed sets the
validation draw, the training subset, the weights and the order of the images alike for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from likewise.comparison.rows import Cell, Contender, Search, TrainSize
from likewise.errors import RecipeError
from likewise.recipe import Budget, Recipe
from likewise.recipes import load_recipes
from likewise.training import resolve

__all__ = ["Grid", "plan", "refuse_changed_cells", "with_chosen"]

_SHARED = ("source", "image_size", "validation", "on_bad_image", "memory_limit", "label_noise", "unseen_classes")


@dataclass(frozen=True)
class Grid:
    """The cells of a comparison with the recipe that each of them trains."""

    contenders: list[Contender]
    seeds: list[int]
    sizes: list[TrainSize]
    cells: list[tuple[Cell, Recipe]]


def plan(
    recipes: Sequence[str | Path | Recipe],
    *,
    seeds: int | Sequence[int],
    train_sizes: Sequence[int | float] | None,
    data: str | None,
    budget: Budget | None,
    overrides: Mapping[str, Any],
) -> Grid:
    """Resolve the grid; see ``compare`` for the arguments.

    Raises:
        RecipeError: nothing to compare, a name twice, recipes of different data, or a recipe that cannot be resolved.
    """
    chosen = _seeds(seeds)
    sizes = _sizes(train_sizes)
    loaded = load_recipes(recipes, budget=budget)
    resolved = [resolve(recipe, data=data, overrides=overrides) for recipe in loaded]
    _check(resolved)
    cells = []
    for recipe in resolved:
        for size in sizes:
            for seed in chosen:
                values: dict[str, Any] = {"seed": seed}
                if size.asked is not None:
                    values["data.train_size"] = size.asked
                folder = PurePosixPath("cells", recipe.name, f"train-{size.size}", f"seed-{seed}")
                cells.append((Cell(recipe.name, size.size, seed, str(folder)), recipe.with_overrides(values)))
    return Grid(_contenders(resolved), chosen, sizes, cells)


def with_chosen(grid: Grid, searches: Sequence[Search]) -> Grid:
    """The same grid with what was chosen for each recipe and size."""
    chosen = {(search.recipe, search.size): search.chosen or {} for search in searches}
    cells = [(cell, recipe.with_overrides(chosen[cell.recipe, cell.size])) for cell, recipe in grid.cells]
    return replace(grid, cells=cells)


def refuse_changed_cells(grid: Grid, folder: Path) -> None:
    """Stop before anything is trained where a cell's folder holds a run of another recipe.

    Raises:
        RecipeError: names the folder and what is different.
    """
    for cell, recipe in grid.cells:
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


def _seeds(seeds: int | Sequence[int]) -> list[int]:
    chosen = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not chosen or len(set(chosen)) != len(chosen):
        raise RecipeError(
            f"The seeds are {seeds!r}.",
            expected="Expected a number of seeds of at least 1, or a list of different seeds.",
            advice="Use --seeds 3 for the seeds 0, 1 and 2.",
        )
    return chosen


def _sizes(train_sizes: Sequence[int | float] | None) -> list[TrainSize]:
    if train_sizes is None:
        return [TrainSize("all", None)]
    wrong = [
        size
        for size in train_sizes
        if isinstance(size, bool) or not size > 0 or (isinstance(size, float) and not size <= 1)
    ]
    if wrong or not train_sizes or len({str(size) for size in train_sizes}) != len(train_sizes):
        raise RecipeError(
            f"The training sizes are {', '.join(map(str, train_sizes)) or 'none'}.",
            expected="Expected different sizes: whole numbers of images from 1, or shares above 0 up to 1.0.",
            advice="Use for example --train-sizes 100,1000,0.1,1.0 (1.0 is all images, 1 is a single one).",
        )
    return [TrainSize(str(size), size) for size in train_sizes]


def _check(recipes: Sequence[Recipe]) -> None:
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
            mine, theirs = getattr(first.data, key), getattr(other.data, key)
            if mine != theirs:
                raise RecipeError(
                    f"data.{key} is {mine!r} in {first.name} and {theirs!r} in {other.name}.",
                    expected="Recipes are compared on the same images, split the same way.",
                    advice=f"Give one value for all, such as --set data.{key}={mine}, or compare other recipes.",
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
