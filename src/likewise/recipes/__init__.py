"""Shipped experiments: each a function that returns a ``Recipe`` for a budget."""

from likewise.recipes._shipped import (
    comparison_names,
    comparison_title,
    default_budget,
    has_budgets,
    load_recipe,
    load_recipes,
    recipe_names,
    shipped,
    shipped_comparison,
)

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
