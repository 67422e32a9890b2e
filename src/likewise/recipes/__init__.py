"""Shipped experiments: each a function that returns a ``Recipe`` for a budget."""

from likewise.recipes._shipped import default_budget, load_recipe, recipe_names, shipped

__all__ = ["default_budget", "load_recipe", "recipe_names", "shipped"]
