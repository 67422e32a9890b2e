"""Fashion-MNIST (Xiao et al. 2017): the same network by cross-entropy, by siamese pairs and by all pairs.

``paper`` is the course sheet's setting: its 7,343-parameter network, 57,000 of the 60,000 training images to train on
and 3,000 to validate, Adam 1e-3, batches of 128, 5 epochs, 10 dimensions. ``laptop`` trains ``small_cnn`` for
well under a minute on two cores.
"""

from __future__ import annotations

from typing import Any

from likewise.recipe import Budget, Recipe
from likewise.recipes._shipped import shipped

__all__ = ["SHEET", "fashion_contrastive", "fashion_crossentropy", "fashion_siamese", "small"]

SHEET: dict[str, Any] = {
    "data": {"source": "fashion-mnist", "validation": 3000},
    "encoder": "siamese_cnn",
    "embedding_dim": 10,
    "training": {
        "epochs": 5,
        "batch_size": 128,
        "optimizer": "adamw",
        "learning_rate": 1e-3,
        "schedule": "constant",
        "warmup": 0.0,
    },
}
SMOKE_DATA = {"source": "fashion-mnist", "validation": 500, "train_size": 2000}


@shipped
def fashion_crossentropy(budget: Budget) -> Recipe:
    """Cross-entropy; the embedding stands before the class scores."""
    values: dict[str, Any] = {
        "name": "fashion-crossentropy",
        "title": "Fashion-MNIST by cross-entropy",
        "budget": budget,
    }
    if budget == "paper":
        return Recipe.parse(values | SHEET | {"objective": {"name": "cross_entropy", "class_scores": "embedding"}})
    return Recipe.parse(values | small(budget) | {"objective": {"name": "cross_entropy", "label_smoothing": 0.1}})


@shipped
def fashion_siamese(budget: Budget) -> Recipe:
    """Pairs of the same or of different classes, drawn with probability ½ each."""
    values: dict[str, Any] = {
        "name": "fashion-siamese",
        "title": "Fashion-MNIST by siamese pairs, contrastive loss",
        "budget": budget,
        "objective": {"name": "siamese", "margin": 2.5},
    }
    if budget == "paper":
        return Recipe.parse(values | SHEET)
    shared = small(budget)
    # A pair is two images: half of the passes shows the network as many images as the other recipes do.
    return Recipe.parse(values | shared | {"batch_norm": False, "training": shared["training"] | {"epochs": 1}})


@shipped
def fashion_contrastive(budget: Budget) -> Recipe:
    """All pairs of each batch."""
    values: dict[str, Any] = {
        "name": "fashion-contrastive",
        "title": "Fashion-MNIST by the all-pairs contrastive loss",
        "budget": budget,
    }
    if budget == "paper":
        return Recipe.parse(values | SHEET | {"objective": {"name": "contrastive", "margin": 2.5}})
    # Distances are taken on the embedding as it is: normalising it over the batch would fix their scale.
    return Recipe.parse(
        values | small(budget) | {"batch_norm": False, "objective": {"name": "contrastive", "margin": 10.0}}
    )


def small(budget: Budget) -> dict[str, Any]:
    """What all ``smoke`` and ``laptop`` recipes share: network, schedule and images seen."""
    training: dict[str, Any] = {
        "epochs": 2,
        "min_steps": 300,
        "batch_size": 128,
        "learning_rate": 3e-3,
        "weight_decay": 0.01,
        "beta2": 0.99,
    }
    shared: dict[str, Any] = {"normalize": "output", "batch_norm": True}
    if budget == "smoke":
        return shared | {"data": SMOKE_DATA, "training": training | {"epochs": 1, "min_steps": 20}}
    return shared | {"data": {"source": "fashion-mnist", "validation": 5000}, "training": training}
