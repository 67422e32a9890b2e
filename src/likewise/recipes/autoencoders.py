"""Autoencoders on small grey images: trained in seconds to minutes, with reconstructions that one can judge by eye."""

from __future__ import annotations

from typing import Any

from likewise.recipe import Budget, Recipe
from likewise.recipes._shipped import shipped

__all__ = ["digits_autoencoder", "fashion_autoencoder", "fashion_rotation"]


@shipped
def digits_autoencoder(budget: Budget) -> Recipe:
    """scikit-learn's digits from eight numbers each."""
    values: dict[str, Any] = {
        "name": "digits-autoencoder",
        "title": "scikit-learn's digits by an autoencoder",
        "budget": budget,
        "data": {"source": "digits", "validation": 0.2},
        "encoder": {"name": "strided_cnn", "widths": [16, 32]},
        "embedding_dim": 8,
        "objective": {"name": "autoencoder", "widths": [16, 32]},
        "training": {"epochs": 10 if budget == "smoke" else 60, "batch_size": 64, "learning_rate": 5e-3},
    }
    return Recipe.parse(values)


@shipped
def fashion_autoencoder(budget: Budget) -> Recipe:
    """Fashion-MNIST from 32 numbers each, by the course sheet's encoder and its mirror."""
    objective = {"name": "autoencoder", "widths": [16, 32, 64]}
    values: dict[str, Any] = {"encoder": {"name": "strided_cnn", "widths": [16, 32, 64]}, "embedding_dim": 32}
    return _fashion(budget, "autoencoder", "an autoencoder", objective, values)


@shipped
def fashion_rotation(budget: Budget) -> Recipe:
    """Which way is up on a shirt?"""
    objective = {"name": "rotation", "turns": "all" if budget == "paper" else "one"}
    return _fashion(budget, "rotation", "recognising quarter turns", objective, {"embedding_dim": 64})


def _fashion(budget: Budget, task: str, by: str, objective: dict[str, Any], values: dict[str, Any]) -> Recipe:
    data: dict[str, Any] = {"source": "fashion-mnist", "validation": 5000}
    if budget == "smoke":
        data |= {"validation": 500, "train_size": 2000}
    epochs = {"smoke": 1, "laptop": 5, "paper": 50}[budget]
    return Recipe.parse(
        values
        | {
            "name": f"fashion-{task}",
            "title": f"Fashion-MNIST without labels by {by}",
            "budget": budget,
            "data": data,
            "objective": objective,
            "training": {"epochs": epochs, "batch_size": 128, "learning_rate": 3e-3},
        }
    )
