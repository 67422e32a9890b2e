"""``training.gradcache``: a batch whose encoder passes it in chunks, so that a large one fits (see ``models.chunks``)."""

from __future__ import annotations

import logging
from typing import Any, NoReturn

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from likewise.errors import TrainingError
from likewise.objectives import Objective

__all__ = ["cache_gradients"]

logger = logging.getLogger("likewise")


def cache_gradients(objective: Objective, size: int, *, name: str) -> None:
    """Let the model of ``objective`` keep the activations of at most ``size`` images at a time while it is trained.

    An objective that cannot be cut into chunks, because it passes images to the encoder itself and not through the model,
    is refused at its first step.

    Args:
        objective: changed in place.
        size: images in a chunk, at least 1.
        name: of the objective, for the error.
    """
    model = objective.model
    model.chunk_size = size
    cut = False

    def see_model(model: nn.Module, inputs: tuple[Any, ...]) -> None:
        nonlocal cut
        cut = True

    def see_encoder(encoder: nn.Module, inputs: tuple[Any, ...]) -> None:
        if encoder.training and torch.is_grad_enabled() and len(inputs[0]) > size:
            refuse(len(inputs[0]))

    def see_objective(objective: nn.Module, inputs: tuple[Any, ...], loss: Any) -> None:
        if not cut and objective.training and torch.is_grad_enabled():
            refuse(len(inputs[0]))

    def refuse(images: int) -> NoReturn:
        raise TrainingError(
            f"The objective {name} passes {images} images to the encoder at once, and gradcache is {size}.",
            expected="Expected all images to pass through the model, which cuts them into chunks.",
            advice="Train this objective with gradcache=null and a smaller batch_size.",
        )

    model.register_forward_pre_hook(see_model)
    model.encoder.register_forward_pre_hook(see_encoder)
    objective.register_forward_hook(see_objective)
    if any(isinstance(layer, _BatchNorm) for layer in model.modules()):
        logger.warning("gradcache: batch normalisation in the model sees chunks of %d images, not the batch", size)
