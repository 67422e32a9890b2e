"""MNIST in two dimensions: what cross-entropy and the contrastive loss do to a space that can be drawn as it is.

``paper`` is the course sheet's setting: batches of 8, learning rate 1e-4, margin 1, the sum over all pairs of a batch,
100 epochs. ``laptop`` gives the same picture in minutes.
"""

from __future__ import annotations

from typing import Any

from likewise.recipe import Budget, Recipe
from likewise.recipes._shipped import shipped

__all__ = ["mnist_2d_contrastive", "mnist_2d_crossentropy"]


@shipped
def mnist_2d_crossentropy(budget: Budget) -> Recipe:
    """Cross-entropy with a two-unit layer before the class scores."""
    values: dict[str, Any] = {
        "name": "mnist-2d-crossentropy",
        "title": "MNIST in two dimensions by cross-entropy",
        "objective": {"name": "cross_entropy"},
    }
    return Recipe.parse(values | _setting(budget))


@shipped
def mnist_2d_contrastive(budget: Budget) -> Recipe:
    """All-pairs contrastive loss on squared distances, margin 1."""
    values: dict[str, Any] = {
        "name": "mnist-2d-contrastive",
        "title": "MNIST in two dimensions by the all-pairs contrastive loss",
        "objective": {
            "name": "contrastive",
            "form": "squared",
            "margin": 1.0,
            "reduction": "sum" if budget == "paper" else "mean",
        },
    }
    return Recipe.parse(values | _setting(budget))


def _setting(budget: Budget) -> dict[str, Any]:
    shared: dict[str, Any] = {"budget": budget, "embedding_dim": 2}
    if budget == "paper":
        return shared | {
            "data": {"source": "mnist", "validation": 5000},
            "training": {
                "epochs": 100,
                "batch_size": 8,
                "learning_rate": 1e-4,
                "schedule": "constant",
                "warmup": 0.0,
            },
        }
    training = {"epochs": 8, "batch_size": 128, "learning_rate": 3e-3, "min_steps": 200}
    if budget == "smoke":
        return shared | {
            "data": {"source": "mnist", "validation": 500, "train_size": 2000},
            "training": training | {"epochs": 1, "min_steps": 30},
        }
    return shared | {"data": {"source": "mnist", "validation": 5000}, "training": training}
