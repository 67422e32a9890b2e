"""scikit-learn's 1,797 digits of 8×8 pixels: nothing to download, trained in seconds anywhere."""

from __future__ import annotations

from likewise.recipe import Budget, Recipe
from likewise.recipes._shipped import shipped

__all__ = ["digits_crossentropy"]


@shipped
def digits_crossentropy(budget: Budget) -> Recipe:
    """Cross-entropy on the small digits."""
    return Recipe.parse(
        {
            "name": "digits-crossentropy",
            "title": "scikit-learn's digits by cross-entropy",
            "budget": budget,
            "data": {"source": "digits", "validation": 0.2},
            "embedding_dim": 16,
            "objective": {"name": "cross_entropy"},
            "training": {"epochs": 5 if budget == "smoke" else 30, "batch_size": 64, "learning_rate": 3e-3},
        }
    )
