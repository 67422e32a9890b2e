"""The loss of the course sheet's source: CLIP with targets softened by the batch's own similarities."""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from likewise.losses import gather_over_ranks, sum_over_ranks

__all__ = ["soft_target_loss"]


def soft_target_loss(
    image: Tensor, text: Tensor, *, temperature: float | Tensor = 1.0, group: dist.ProcessGroup | None = None
) -> Tensor:
    """½ mean_i H( p_i·, softmax_j(L_ij) )  +  ½ mean_j H( p_·j, softmax_i(L_ij) ),  L = text imageᵀ / t.

    H(p, q) = -Σ p log q, and p = softmax_rows( ½ t (image imageᵀ + text textᵀ) ): captions of similar pictures may answer for
    each other. Products are of the embeddings as they are, without normalisation, and the gradient flows through the targets
    too. This is what the sheet's source computes; the sheet's own equations are ``likewise.losses.clip_loss``. All products of
    a rank's rows with the whole batch are held at once, which is meant for batches of tens, as there.

    Args:
        image, text: (N, D) float; row i of both belongs together.
        temperature: t > 0; divides the logits and multiplies the similarities of the targets.
        group: process group whose ranks hold the rest of the batch; None: this process alone.

    Example:
        >>> import torch
        >>> round(float(soft_target_loss(torch.zeros(4, 2), torch.zeros(4, 2))), 4)   # log 4
        1.3863
    """
    images, texts = gather_over_ranks(image, group)[0], gather_over_ranks(text, group)[0]
    with torch.autocast(image.device.type, enabled=False):  # products of long rows have whole steps in bfloat16
        likeness = (image @ images.T + text @ texts.T) / 2 * temperature
        # of every row of the batch, to give the columns that this rank has their share of each row's softmax
        whole = gather_over_ranks(likeness.logsumexp(dim=1, keepdim=True), group)[0]
        of_texts = -(F.softmax(likeness, dim=1) * F.log_softmax(text @ images.T / temperature, dim=1)).sum()
        column_targets = (likeness - whole.T).exp()  # likeness is symmetric
        of_images = -(column_targets * F.log_softmax(image @ texts.T / temperature, dim=1)).sum()
    return 0.5 * sum_over_ranks(of_texts + of_images, group) / len(images)
