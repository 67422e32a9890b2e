"""What the parameters of an ``Embedder`` mean, as a recipe: so they are named and checked as those of a run are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from likewise.errors import EstimatorError, RecipeError
from likewise.objectives import MetricOptions, ObjectiveOptions, label_losses, objective_names
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
    objective = _objective(parameters["objective"])
    default_encoder = "mlp" if vectors else "small_cnn"
    return Recipe.parse(
        {
            "name": "embedder",
            "seed": seed,
            "data": {"source": "arrays"},
            "encoder": default_encoder if parameters["encoder"] == "auto" else parameters["encoder"],
            "embedding_dim": parameters["embedding_dim"],
            "normalize": _normalize(objective) if parameters["normalize"] == "auto" else parameters["normalize"],
            "objective": objective,
            "training": training | {"compile": "never"},
        }
    )


def _objective(given: Any) -> ObjectiveOptions:
    """Options of an objective; a name that is none of an objective is that of a loss of labelled embeddings."""
    if isinstance(given, ObjectiveOptions):
        return given
    values = {"name": given} if isinstance(given, str) else dict(given)
    name, losses = str(values.get("name")), label_losses()
    if name not in objective_names():
        if name.removesuffix("_loss").removesuffix("_embedding") not in losses and not name.startswith("pml:"):
            raise RecipeError(
                f"Objective {name!r} is not known.",
                expected=f"Objectives: {', '.join(objective_names())}. Losses: {', '.join(sorted(losses))}, pml:….",
                advice="Use one of these names.",
            )
        values = {"name": "metric", "loss": values}
    return Recipe.parse({"name": "embedder", "data": {"source": "arrays"}, "objective": values}).objective


def _normalize(objective: ObjectiveOptions) -> str:
    """``never`` where the loss changes with the norm of the embeddings, so that it means something; else ``output``."""
    if isinstance(objective, MetricOptions):
        loss = objective.loss.build(num_classes=2, embedding_dim=2)
        # Two classes that overlap: where they are apart, a loss with a margin costs nothing at any scale.
        embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, -0.8], [0.8, 0.6], [-0.6, 0.8], [-1.0, 0.0]])
        labels = torch.tensor([0, 0, 0, 1, 1, 1])
        with torch.no_grad():
            small, large = (float(loss(scale * embeddings, labels)) for scale in (0.5, 2.0))
        return "output" if small != 0 and math.isclose(small, large, rel_tol=1e-4) else "never"
    return "never" if objective.name in EUCLIDEAN else "output"
