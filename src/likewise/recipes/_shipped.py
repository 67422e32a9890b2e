"""How a shipped experiment is found: a function from a budget to a ``Recipe``, registered under the recipe's name."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
from collections.abc import Callable
from pathlib import Path

import torch

from likewise.errors import RecipeError
from likewise.recipe import Budget, Recipe

__all__ = ["default_budget", "load_recipe", "recipe_names", "shipped"]

RecipeFunction = Callable[[Budget], Recipe]
_SHIPPED: dict[str, RecipeFunction] = {}


def shipped(function: RecipeFunction) -> RecipeFunction:
    """Register ``fashion_siamese(budget) -> Recipe`` as ``fashion-siamese``."""
    _SHIPPED[function.__name__.replace("_", "-")] = function
    return function


def recipe_names() -> tuple[str, ...]:
    """Names of all shipped recipes, sorted."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"likewise.recipes.{module.name}")
    return tuple(sorted(_SHIPPED))


def default_budget() -> Budget:
    """``paper`` where there is a GPU, ``laptop`` elsewhere."""
    return "paper" if torch.cuda.is_available() else "laptop"


def load_recipe(recipe: str | Path | Recipe, *, budget: Budget | None = None) -> Recipe:
    """A recipe by shipped name, from a ``.yaml`` file (or a run folder), or from a ``.py`` file with ``recipe(budget)``.

    Args:
        recipe: name, path, or a recipe, which is returned as it is.
        budget: for shipped recipes and ``.py`` files; the default is ``paper`` with a GPU and ``laptop`` without.

    Raises:
        RecipeError: there is none, it cannot be read, or a budget is asked of one that is already resolved.
    """
    if isinstance(recipe, Recipe):
        return _resolved(recipe, budget)
    names = recipe_names()
    if str(recipe) in names:
        return _SHIPPED[str(recipe)](budget or default_budget())
    path = Path(recipe)
    if path.is_dir() and (path / "recipe.yaml").exists():
        path /= "recipe.yaml"
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return _resolved(Recipe.from_yaml(path.read_text(encoding="utf-8"), origin=str(path)), budget)
    if path.suffix == ".py" and path.is_file():
        return _from_python(path, budget or default_budget())
    near = difflib.get_close_matches(str(recipe), names, n=3)
    raise RecipeError(
        f"{str(recipe)!r} is neither a shipped recipe nor a recipe file.",
        expected=f"Did you mean {' or '.join(near)}?" if near else f"Shipped: {', '.join(names)}.",
        advice="`likewise recipes` lists them; a file must end in .yaml or .py and exist.",
    )


def _resolved(recipe: Recipe, budget: Budget | None) -> Recipe:
    if budget is not None and budget != recipe.budget:
        raise RecipeError(
            f"Recipe {recipe.name!r} is resolved for the budget {recipe.budget}, and {budget} was asked for.",
            expected="Only shipped names and .py files have several budgets.",
            advice="Leave --budget out, or change single settings with --set.",
        )
    return recipe


def _from_python(path: Path, budget: Budget) -> Recipe:
    spec = importlib.util.spec_from_file_location(f"likewise_recipe_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise RecipeError(f"{path} cannot be loaded as Python.", expected="Expected a module with recipe(budget).")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function = getattr(module, "recipe", None)
    recipe = function(budget) if callable(function) else None
    if not isinstance(recipe, Recipe):
        raise RecipeError(
            f"{path} has no function recipe(budget) that returns a likewise.Recipe.",
            expected="Expected: def recipe(budget: str) -> likewise.Recipe.",
            advice="docs/how-to/recipes.md shows one.",
        )
    return recipe
