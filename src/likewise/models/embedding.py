"""Batches through a trained model: embeddings and class scores as arrays, looked at before they are handed out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from likewise.errors import ModelError

if TYPE_CHECKING:
    from likewise.models.embedding_model import EmbeddingModel

__all__ = ["embed_in_batches"]


@torch.inference_mode()
def embed_in_batches(
    model: EmbeddingModel,
    batches: Iterable[Tensor],
    *,
    mirrored: bool = False,
    progress: Callable[[int], None] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Embeddings (N, D), and class scores (N, K) where the model has any; see ``EmbeddingModel.embed_batches``.

    Raises:
        ModelError: an embedding is not finite.
    """
    training = model.training
    model.eval()
    parts: list[NDArray[np.float32]] = []
    scores: list[NDArray[np.float32]] = []
    done = 0
    try:
        for batch in batches:
            images = batch.to(model.mean.device)
            raw: Tensor = sum(map(model, _both(images))) / 2 if mirrored else model(images)
            if model.classifier is not None:
                scores.append(model.classifier(raw).float().cpu().numpy())
            embeddings = (raw if model.normalize == "never" else F.normalize(raw)).float().cpu().numpy()
            if not np.isfinite(embeddings).all():
                raise ModelError(
                    f"The embeddings of images {done} to {done + len(batch) - 1} are not finite.",
                    expected="Every embedding must be finite.",
                    advice="The images or the weights hold NaN or infinity: check both.",
                )
            parts.append(embeddings)
            done += len(batch)
            if progress:
                progress(done)
    finally:
        model.train(training)
    embedded = np.concatenate(parts) if parts else np.empty((0, model.embedding_dim), np.float32)
    return embedded, np.concatenate(scores) if scores else None


def _both(images: Tensor) -> tuple[Tensor, Tensor]:
    """Images (B, C, H, W) and their mirror images; of the frozen features of both, (B, 2, K), each."""
    if images.ndim == 4:
        return images, images.flip(-1)
    if images.ndim == 2:
        raise ModelError(
            f"Features of shape {tuple(images.shape)} are to be measured with those of the mirror images.",
            expected="Expected both, (B, 2, K).",
            advice="Compute the features of the mirror images too, or set evaluation.mirrored=false.",
        )
    return images[:, 0], images[:, 1]
