"""Pretext tasks on CIFAR-10: what does each task teach the same encoder about classes that it never hears of?

``laptop`` shows every task the same number of images and is made for two cores: ``small_cnn`` with 32, 64 and 128 channels
costs some 10 million multiplications an image forward, ResNet-18 with the CIFAR stem 560 million. The tasks' authors worked on
ImageNet (rotation aside): ``paper`` is ResNet-18 for 200 epochs with one optimiser for all, and for the masked autoencoder its
authors' optimiser.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from likewise.recipe import Budget, Recipe
from likewise.recipes._shipped import shipped, shipped_comparison

__all__ = [
    "cifar10_autoencoder",
    "cifar10_colorization",
    "cifar10_denoising",
    "cifar10_jigsaw",
    "cifar10_mae",
    "cifar10_masking",
    "cifar10_pretext",
    "cifar10_random",
    "cifar10_rotation",
    "cifar10_superresolution",
]

DECODER = [32, 64, 128]


@shipped
def cifar10_autoencoder(budget: Budget) -> Recipe:
    """Reconstruction from the embedding alone."""
    return _recipe(budget, "autoencoder", "an autoencoder", {"name": "autoencoder", "widths": DECODER})


@shipped
def cifar10_denoising(budget: Budget) -> Recipe:
    """Gaussian noise of a fifth of the range is taken away."""
    return _recipe(budget, "denoising", "denoising", {"name": "denoising", "level": 0.2})


@shipped
def cifar10_superresolution(budget: Budget) -> Recipe:
    """Images that were reduced four times."""
    return _recipe(budget, "superresolution", "super-resolution", {"name": "super_resolution", "factor": 4})


@shipped
def cifar10_colorization(budget: Budget) -> Recipe:
    """From lightness to colour classes."""
    objective = {"name": "colorization", "grid": 10 if budget == "paper" else 20, "stride": 2}
    return _recipe(budget, "colorization", "colorization", objective)


@shipped
def cifar10_masking(budget: Budget) -> Recipe:
    """Half of the 4×4 patches are covered; a convolutional decoder fills them in."""
    objective = {"name": "masked_reconstruction", "mask_ratio": 0.5, "patch_size": 4, "widths": DECODER}
    return _recipe(budget, "masking", "filling in masked patches", objective)


@shipped
def cifar10_rotation(budget: Budget) -> Recipe:
    """Four quarter turns; on a laptop one of them an image."""
    objective = {"name": "rotation", "turns": "all" if budget == "paper" else "one"}
    return _recipe(budget, "rotation", "recognising quarter turns", objective)


@shipped
def cifar10_jigsaw(budget: Budget) -> Recipe:
    """Nine shuffled tiles in one of 64 orders."""
    objective = {"name": "jigsaw", "permutations": 100 if budget == "paper" else 64, "jitter": 2}
    return _recipe(budget, "jigsaw", "a jigsaw of nine tiles", objective)


@shipped
def cifar10_mae(budget: Budget) -> Recipe:
    """A masked autoencoder: a small vision transformer sees a quarter of the patches."""
    large = budget == "paper"
    encoder = {"name": "vit", "patch_size": 4, "dim": 192 if large else 96, "depth": 12 if large else 4, "heads": 3}
    recipe = _recipe(budget, "mae", "a masked autoencoder", "masked_reconstruction")
    optimizer = {"weight_decay": 0.05, "beta2": 0.95, "warmup": 0.05}
    changed = {f"training.{key}": value for key, value in optimizer.items()}
    values = recipe.with_overrides(changed | {"embedding_dim": encoder["dim"]}).model_dump() | {"encoder": encoder}
    return Recipe.parse(values)


@shipped
def cifar10_random(budget: Budget) -> Recipe:
    """The same encoder as it was drawn, which every task has to beat."""
    recipe = _recipe(budget, "random", "an encoder that is not trained", "autoencoder")
    return recipe.with_overrides({"epochs": 0, "min_steps": 0, "title": "CIFAR-10 by an encoder that is not trained"})


@shipped_comparison
def cifar10_pretext(budget: Budget) -> Sequence[Recipe]:
    """Seven tasks without labels on one encoder, beside the same encoder at random."""
    tasks = [
        cifar10_rotation,
        cifar10_jigsaw,
        cifar10_colorization,
        cifar10_masking,
        cifar10_superresolution,
        cifar10_denoising,
        cifar10_autoencoder,
        cifar10_random,
    ]
    return [task(budget) for task in tasks]


def _recipe(budget: Budget, task: str, by: str, objective: Any) -> Recipe:
    """Images, encoder, dimensions and steps are those of the other recipes without labels on CIFAR-10."""
    data: dict[str, Any] = {"source": "cifar10", "validation": 5000}
    training: dict[str, Any] = {"epochs": 12, "batch_size": 256, "learning_rate": 2e-3, "weight_decay": 1e-4}
    training |= {"schedule": "cosine", "flip": True}
    encoder: dict[str, Any] = {"name": "small_cnn", "widths": [32, 64, 128]}
    if budget == "smoke":
        data |= {"validation": 500, "train_size": 2000}
        training |= {"epochs": 1, "min_steps": 15}
    if budget == "paper":
        encoder = {"name": "resnet", "depth": 18, "stem": "cifar"}
        training |= {"epochs": 200, "batch_size": 128, "learning_rate": 1e-3, "weight_decay": 0.01, "warmup": 0.05}
    values: dict[str, Any] = {
        "name": f"cifar10-{task}",
        "title": f"CIFAR-10 without labels by {by}",
        "budget": budget,
        "data": data,
        "encoder": encoder,
        "embedding_dim": 512 if budget == "paper" else 128,
        "objective": objective,
        "training": training,
        "evaluation": {"online_probe": True},
    }
    return Recipe.parse(values)
