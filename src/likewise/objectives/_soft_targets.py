"""The loss of the course sheet's source: CLIP with targets softened by the batch's own similarities."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

__all__ = ["soft_target_loss"]


def soft_target_loss(image: Tensor, text: Tensor, *, temperature: float | Tensor = 1.0) -> Tensor:
    """½ mean_i H( p_i·, softmax_j(L_ij) )  +  ½ mean_j H( p_·j, softmax_i(L_ij) ),  L = text imageᵀ / t.

    H(p, q) = -Σ p log q, and p = softmax_rows( ½ t (image imageᵀ + text textᵀ) ): captions of similar pictures may answer for
    each other. Products are of the embeddings as they are, without normalisation, and the gradient flows through the targets
    too. This is what the sheet's source computes; the sheet's own equations are ``likewise.losses.clip_loss``. All N² products
    are held at once, which is meant for batches of tens, as there.

    Args:
        image, text: (N, D) float; row i of both belongs together.
        temperature: t > 0; divides the logits and multiplies the similarities of the targets.

    Example:
        >>> import torch
        >>> round(float(soft_target_loss(torch.zeros(4, 2), torch.zeros(4, 2))), 4)   # log 4
        1.3863
    """
    logits = text @ image.T / temperature
    targets = F.softmax((image @ image.T + text @ text.T) / 2 * temperature, dim=-1)
    of_texts = -(targets * F.log_softmax(logits, dim=-1)).sum(dim=1)
    of_images = -(targets.T * F.log_softmax(logits.T, dim=-1)).sum(dim=1)
    return 0.5 * (of_texts + of_images).mean()
