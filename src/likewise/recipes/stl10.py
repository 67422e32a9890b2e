"""STL-10 (Coates, Ng & Lee 2011): much is seen, little is labelled. An autoencoder, and the linear probe three ways.

The course sheet's numbers: 10,000 unlabelled images of 96×96 pixels, 5,000 labelled ones (of which a tenth chooses and the
rest trains), 8,000 to test; an encoder of 4×4 convolutions with stride 2 and its mirror. ``paper`` keeps them and trains
longer; ``unlabeled_size=null`` takes all of STL-10's 100,000 unlabelled images.

Three ways to the same linear classifier on the same encoder: (I) frozen after it learned to reconstruct images without labels,
(II) trained together with the classifier from the labels, (III) frozen at random. With ``--data`` another source stands in:
where it has no unlabelled split, the training images that ``train_size`` leaves over are taken without their labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from likewise.recipe import Budget, Recipe
from likewise.recipes._shipped import shipped, shipped_comparison

__all__ = ["stl10_autoencoder", "stl10_joint", "stl10_probe_three_ways", "stl10_random"]


@shipped
def stl10_autoencoder(budget: Budget) -> Recipe:
    """Method I: the encoder learns to reconstruct unlabelled images and is frozen."""
    seen = 500 if budget == "smoke" else 10_000
    data = _data(budget) | {"learn_from": "unlabeled", "unlabeled_size": seen}
    epochs = {"smoke": 1, "laptop": 10, "paper": 50}[budget]
    values: dict[str, Any] = {
        "name": "stl10-autoencoder",
        "title": "STL-10's unlabelled images by an autoencoder",
        "data": data,
        "objective": "autoencoder",
        "training": _training(epochs),
    }
    return Recipe.parse(_shared(budget) | values)


@shipped
def stl10_joint(budget: Budget) -> Recipe:
    """Method II: encoder and classifier are trained together from the labels."""
    values: dict[str, Any] = {
        "name": "stl10-joint",
        "title": "STL-10's labelled images by cross-entropy, encoder and classifier together",
        "data": _data(budget),
        "objective": "cross_entropy",
        "training": _training({"smoke": 2, "laptop": 15, "paper": 50}[budget]) | {"flip": True},
    }
    return Recipe.parse(_shared(budget) | values)


@shipped
def stl10_random(budget: Budget) -> Recipe:
    """Method III: the encoder stays as it was drawn."""
    values: dict[str, Any] = {
        "name": "stl10-random",
        "title": "STL-10 by an encoder that is not trained",
        "data": _data(budget),
        "objective": "autoencoder",
        "training": _training(0),
    }
    return Recipe.parse(_shared(budget) | values)


@shipped_comparison
def stl10_probe_three_ways(budget: Budget) -> Sequence[Recipe]:
    """One linear classifier on an encoder that reconstructs, that is trained with it, and that is random."""
    return [stl10_autoencoder(budget), stl10_joint(budget), stl10_random(budget)]


def _shared(budget: Budget) -> dict[str, Any]:
    return {
        "budget": budget,
        "encoder": "strided_cnn",
        "embedding_dim": 128,
        "evaluation": {"online_probe": True, "protocols": ["few_labels"]},
    }


def _data(budget: Budget) -> dict[str, Any]:
    labelled = 450 if budget == "smoke" else 4500
    return {"source": "stl10", "image_size": 96, "validation": 0.1, "train_size": labelled}


def _training(epochs: int) -> dict[str, Any]:
    return {"epochs": epochs, "batch_size": 64, "learning_rate": 1e-3, "schedule": "one_cycle"}
