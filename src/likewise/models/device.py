"""On which device: a model on the one that was asked for or the best there is, the numbers of a step on the model's."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from likewise.errors import ModelError

if TYPE_CHECKING:
    from likewise.models.embedding_model import EmbeddingModel

__all__ = ["place", "release_memory", "to_device"]

PAGEABLE = 1 << 16
"""Bytes from which a copy to CUDA out of pageable memory makes the host wait for the device; smaller ones are staged."""


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


def release_memory() -> None:
    """Free what finished work left: objects that refer to each other, and a GPU's blocks that only torch knows to be free."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def to_device(x: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """``x``, which is on the host or there already, on ``device``.

    The host does not wait for what a CUDA device still has to do. Elsewhere it does: Metal would read the memory of ``x``
    after it is freed.
    """
    on_gpu = device.type == "cuda"
    if on_gpu and x.device.type == "cpu" and x.nbytes > PAGEABLE:
        x = x.pin_memory()
    return x.to(device, dtype, non_blocking=on_gpu)
