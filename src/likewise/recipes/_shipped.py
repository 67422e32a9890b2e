"""How a shipped experiment is found: a function from a budget to a ``Recipe``, registered under the recipe's name.

An experiment that is a comparison returns several recipes, and its name stands for all of them in ``likewise compare``.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from likewise.errors import LikewiseError, RecipeError
from likewise.recipe import Budget, Recipe
from likewise.recipe_options import EvaluationOptions

__all__ = [
    "comparison_names",
    "comparison_title",
    "default_budget",
    "has_budgets",
    "load_recipe",
    "load_recipes",
    "recipe_names",
    "shipped",
    "shipped_comparison",
]

RecipeFunction = Callable[[Budget], Recipe]
ComparisonFunction = Callable[[Budget], Sequence[Recipe]]
#: Points in the picture at ``smoke``: t-SNE of the usual 3,000 takes longer than all the rest of such a run.
SMOKE_POINTS = 500
_SHIPPED: dict[str, RecipeFunction] = {}
_COMPARISONS: dict[str, ComparisonFunction] = {}


def shipped(function: RecipeFunction) -> RecipeFunction:
    """Register ``fashion_siamese(budget) -> Recipe`` as ``fashion-siamese``."""
    _SHIPPED[function.__name__.replace("_", "-")] = function
    return function


def shipped_comparison(function: ComparisonFunction) -> ComparisonFunction:
    """Register ``stl10_probe_three_ways(budget) -> recipes`` as ``stl10-probe-three-ways``; its docstring is the title."""
    _COMPARISONS[function.__name__.replace("_", "-")] = function
    return function


def _sketched(recipe: Recipe) -> Recipe:
    """The recipe; at ``smoke`` with a picture of few points, unless it says how many."""
    if recipe.budget != "smoke" or recipe.evaluation.projection_points != EvaluationOptions().projection_points:
        return recipe
    return recipe.with_overrides({"evaluation.projection_points": SMOKE_POINTS})


def _read_room() -> None:
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"likewise.recipes.{module.name}")


def recipe_names() -> tuple[str, ...]:
    """Names of all shipped recipes, sorted."""
    _read_room()
    return tuple(sorted(_SHIPPED))


def comparison_names() -> tuple[str, ...]:
    """Names of all shipped comparisons, sorted."""
    _read_room()
    return tuple(sorted(_COMPARISONS))


def comparison_title(name: str) -> str:
    """One line on what a shipped comparison compares."""
    return (_COMPARISONS[name].__doc__ or name).strip().splitlines()[0].rstrip(".")


def load_recipes(recipes: Sequence[str | Path | Recipe], *, budget: Budget | None = None) -> list[Recipe]:
    """The recipes of a comparison: each as ``load_recipe`` takes it, or a shipped comparison, which stands for several.

    Raises:
        RecipeError: as ``load_recipe``.
    """
    names = comparison_names()
    loaded: list[Recipe] = []
    for recipe in recipes:
        if str(recipe) in names:
            loaded += map(_sketched, _COMPARISONS[str(recipe)](budget or default_budget()))
        else:
            loaded.append(load_recipe(recipe, budget=budget))
    return loaded


def default_budget() -> Budget:
    """``paper`` where there is a GPU, ``laptop`` elsewhere."""
    return "paper" if torch.cuda.is_available() else "laptop"


def has_budgets(recipe: str | Path) -> bool:
    """Whether a recipe is written for every budget, as shipped ones, comparisons and ``.py`` files are."""
    return str(recipe) in (*recipe_names(), *comparison_names()) or Path(recipe).suffix == ".py"


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
        return _sketched(_SHIPPED[str(recipe)](budget or default_budget()))
    if str(recipe) in _COMPARISONS:
        members = [member.name for member in _COMPARISONS[str(recipe)]("smoke")]
        raise RecipeError(
            f"{recipe} is a comparison of {', '.join(members)}.",
            expected="Expected one recipe.",
            advice=f"Use `likewise compare {recipe}`, or one of these names.",
        )
    path = Path(recipe)
    if path.is_dir() and (path / "recipe.yaml").exists():
        path /= "recipe.yaml"
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return _resolved(Recipe.from_yaml(_text_of(path), origin=str(path)), budget)
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


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(
            f"{path} cannot be read ({error}).",
            expected="Expected a text file in UTF-8.",
            advice="Make it readable, or save it as UTF-8.",
        ) from error


def _from_python(path: Path, budget: Budget) -> Recipe:
    spec = importlib.util.spec_from_file_location(f"likewise_recipe_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise RecipeError(f"{path} cannot be loaded as Python.", expected="Expected a module with recipe(budget).")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        function = getattr(module, "recipe", None)
        recipe = function(budget) if callable(function) else None
    except LikewiseError:
        raise
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = error.lineno if isinstance(error, SyntaxError) else next(reversed(lines), None)
        raise RecipeError(
            f"{path}, line {line or '?'}: {type(error).__name__}: {error}.",
            expected="Expected a module whose function recipe(budget) returns a likewise.Recipe.",
            advice="Correct it there; `python` on the file shows the whole traceback.",
        ) from error
    if not isinstance(recipe, Recipe):
        raise RecipeError(
            f"{path} has no function recipe(budget) that returns a likewise.Recipe.",
            expected="Expected: def recipe(budget: str) -> likewise.Recipe.",
            advice="docs/how-to/recipes.md shows one.",
        )
    return recipe
