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

__all__ = ["embed_in_batches", "in_small_parts"]

# Of a part; the activations of ordinary encoders then stay below the 32 MB that glibc keeps to use again.
_PIXELS = 2**18
_LEAST, _MOST = 8, 256  # images of a part


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
    if any(module.training for module in model.modules()):  # asking costs a tenth of telling every module
        model.eval()
    parts: list[NDArray[np.float32]] = []
    scores: list[NDArray[np.float32]] = []
    done = 0
    try:
        for batch in _parts_of(model, batches):
            # Metal has no float64
            images = (batch.float() if batch.dtype == torch.float64 else batch).to(model.mean.device)
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
        if training:
            model.train()
    embedded = np.concatenate(parts) if parts else np.empty((0, model.embedding_dim), np.float32)
    return embedded, np.concatenate(scores) if scores else None


def in_small_parts(model: EmbeddingModel, images: Tensor) -> tuple[Tensor, ...]:
    """A batch in the parts that a CPU passes fastest without a gradient; features, and all on a GPU, in one.

    A large activation is memory that the system finds and clears anew for every layer of every batch: EfficientNet-Lite0 at
    192 pixels passes twice as many images a second by eights as by 128, ``whitened_cnn`` a fifth more by 128 than by 1,024.

    Args:
        model: that is to see them.
        images: (B, C, H, W) of the model's size, or features.
    """
    if images.ndim != 4 or model.mean.device.type != "cpu":
        return (images,)
    side = int(getattr(model.encoder, "resolution", 0))
    pixels = side * side or images.shape[2:].numel()
    parts: tuple[Tensor, ...] = images.split(min(max(_PIXELS // pixels, _LEAST), _MOST))
    return parts


def _parts_of(model: EmbeddingModel, batches: Iterable[Tensor]) -> Iterable[Tensor]:
    for batch in batches:
        yield from in_small_parts(model, batch)


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
