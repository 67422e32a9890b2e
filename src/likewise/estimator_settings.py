"""What the parameters of an ``Embedder`` mean, as a recipe: so they are named and checked as those of a run are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from likewise.errors import EstimatorError
from likewise.objectives import ObjectiveOptions
from likewise.recipe import Recipe

__all__ = ["recipe_of"]

EUCLIDEAN = (
    "contrastive",
    "siamese",
)  # objectives whose loss reads distances, so that an embedding's norm means something
OF_A_RUN = (
    "checkpoint_every",
    "compile",
    "freeze",
    "tensorboard",
)  # settings that have no meaning without a run folder


def recipe_of(parameters: Mapping[str, Any], *, vectors: bool, seed: int) -> Recipe:
    """The recipe that an ``Embedder`` with these parameters trains.

    Args:
        parameters: as ``Embedder.get_params`` gives them.
        vectors: whether the samples are vectors; else they are images.
        seed: of weights and order.

    Raises:
        RecipeError: a value is not known or out of range.
        EstimatorError: a setting does not go with the samples, or with an estimator.
    """
    own = ("epochs", "min_steps", "batch_size", "learning_rate", "weight_decay")
    training = {
        **{name: parameters[name] for name in own},
        "accelerator": parameters["device"],
        # The products of a small network are too short for bfloat16 to gain anything.
        "precision": "32-true" if vectors else "auto",
        **dict(parameters["training"] or {}),
    }
    if meant := [key for key in OF_A_RUN if key in training]:
        raise EstimatorError(
            f"training has {', '.join(meant)}.",
            expected="Expected settings of the steps themselves, such as gradient_clip.",
            advice="Use `likewise train` for a run with checkpoints, stages and frozen encoders.",
        )
    moved = [key for key in ("flip", "shift") if training.get(key)]
    if vectors and moved:
        raise EstimatorError(
            f"training has {' and '.join(moved)}, and the samples are vectors.",
            expected="Only images can be mirrored and moved.",
            advice="Leave it out, or give images (N, C, H, W).",
        )
    default_encoder = "mlp" if vectors else "small_cnn"
    return Recipe.parse(
        {
            "name": "embedder",
            "seed": seed,
            "data": {"source": "arrays"},
            "encoder": default_encoder if parameters["encoder"] == "auto" else parameters["encoder"],
            "embedding_dim": parameters["embedding_dim"],
            "normalize": _normalize(parameters["normalize"], parameters["objective"]),
            "objective": parameters["objective"],
            "training": training | {"compile": "never"},
        }
    )


def _normalize(wish: str, objective: Any) -> str:
    if wish != "auto":
        return wish
    if isinstance(objective, ObjectiveOptions):
        objective = objective.name
    elif isinstance(objective, Mapping):
        objective = objective.get("name")
    return "never" if objective in EUCLIDEAN else "output"
