"""Which model made these embeddings: one short name for weights and preprocessing together.

Embeddings of two models cannot be compared, and nothing in the numbers shows it. So what stores embeddings stores this name
with them and refuses the rest.
"""

from __future__ import annotations

import hashlib
import json

import torch

from likewise.models.embedding_model import EmbeddingModel
from likewise.models.storage import model_config

__all__ = ["model_id"]


def model_id(model: EmbeddingModel) -> str:
    """16 hex digits of a sha256 over the configuration and the bits of the weights; the device makes no difference.

    Example:
        >>> from likewise.models import InputSpec, MLPOptions
        >>> spec = InputSpec(channels=1, height=8, width=8, mean=(0.5,), std=(0.2,))
        >>> first, second = (EmbeddingModel(MLPOptions(widths=(4,)), spec, embedding_dim=2) for _ in range(2))
        >>> model_id(first) == model_id(first), model_id(first) == model_id(second)
        (True, False)
    """
    digest = hashlib.sha256(json.dumps(model_config(model), sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
