"""Which model made these embeddings: one short name for weights and preprocessing together.

Embeddings of two models cannot be compared, and nothing in the numbers shows it. So what stores embeddings stores this name
with them and refuses the rest.
"""

from __future__ import annotations

import hashlib
import json

import torch

from likewise.models.embedding_model import EmbeddingModel

__all__ = ["model_id"]


def model_id(model: EmbeddingModel) -> str:
    """16 hex digits of a sha256 over the preprocessing and the bits of the weights; the device makes no difference.

    Example:
        >>> from likewise.models import InputSpec, MLPOptions
        >>> spec = InputSpec(channels=1, height=8, width=8, mean=(0.5,), std=(0.2,))
        >>> first, second = (EmbeddingModel(MLPOptions(widths=(4,)), spec, embedding_dim=2) for _ in range(2))
        >>> model_id(first) == model_id(first), model_id(first) == model_id(second)
        (True, False)
    """
    # Defaults are left out, so that an option which a later version adds changes no name.
    described = {
        "encoder": model.encoder_options.model_dump(mode="json", exclude_defaults=True),
        "input": model.input.model_dump(mode="json", exclude_defaults=True),
        "normalize": model.normalize,
        "text": None if model.text is None else model.text.options.model_dump(mode="json", exclude_defaults=True),
    }
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
