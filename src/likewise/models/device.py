"""Where a trained model computes: on the device that was asked for, or on the best that there is."""

from __future__ import annotations

import torch

from likewise.errors import ModelError
from likewise.models.embedding_model import EmbeddingModel

__all__ = ["place"]


def place(model: EmbeddingModel, device: str) -> EmbeddingModel:
    """Move the model to ``device`` (in place); ``auto`` is a GPU where there is one.

    Raises:
        ModelError: there is no such device here.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            f"The device {device!r} cannot be used ({str(error).splitlines()[0]}).",
            expected="Expected auto, cpu, cuda or mps, and one that this machine has.",
            advice="Leave --device out to take the best there is.",
        ) from error
