"""Supervised contrastive loss, with the mean over positives outside or inside the logarithm.

Both come from one stream over tiles, the log-sum-exp A over all other rows: out = A - mean_p s_ip with the class sums,
in = A - (log-sum-exp over the positives) + log|P(i)|. A row with several positives has a loss of at least log|P(i)|, so
nothing is lost in the difference; where there is one, p, it stays out of A and the loss is softplus(A - s_ip).
"""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.losses._batch import LabelledBatch, Memory
from likewise.losses._checks import check_choice, check_positive
from likewise.losses._gather import Group
from likewise.losses._module import LossModule
from likewise.losses._opaque import opaque
from likewise.losses._rules import softplus


@opaque
def supcon_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    temperature: float = 0.1,
    variant: str = "out",
    group: Group = None,
    memory: Memory = None,
    tile_size: int | None = None,
) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020): every other row of the class is a positive.

    With s = cosine similarity / t, P(i) the positives of row i and A(i) all other rows, the mean over the rows that
    have a positive of

    - ``out`` (the paper's L_out, eq. 2):  -1/|P(i)| sum_{p in P(i)} log( exp(s_ip) / sum_{a in A(i)} exp(s_ia) )
    - ``in`` (its L_in, eq. 3):  -log( 1/|P(i)| sum_{p in P(i)} exp(s_ip) / sum_{a in A(i)} exp(s_ia) )

    Neither is multiplied by t / 0.07, as the authors' code does. ``in`` <= ``out`` (Jensen). Identical embeddings give
    log(N - 1) for ``out`` and for ``in`` too. One class: log(N - 1) at best for ``out``.

    Args:
        embeddings: (N, D) float; for two views concatenate both and repeat the labels. Need not be normalised.
        labels: (N,) integer class numbers.
        temperature: > 0; divides the similarity.
        variant: ``out`` or ``in``.
        group: process group whose ranks hold the rest of the batch; None: this process alone.
        memory: ((M, D), (M,)) embeddings and labels that are further columns, without gradient.
        tile_size: side of a tile; None: chosen by size.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes or dtypes do not fit, a value is not finite, temperature <= 0, no positive pair.

    Example:
        >>> import torch
        >>> round(float(supcon_loss(torch.ones(4, 3), torch.tensor([0, 0, 1, 1]))), 4)   # log 3
        1.0986
    """
    check_choice("variant", variant, ("out", "in"))
    check_positive("temperature", temperature)
    batch = LabelledBatch(embeddings, labels, normalize=True, group=group, memory=memory, tile_size=tile_size)
    positives, _ = batch.counts()
    batch.require_positives(positives)
    scale = 1 / temperature
    some = positives > 0
    number = torch.where(some, positives, 1)
    others = batch.logsumexp_others(scale, scale)
    mean_positive = batch.positive_dots() * scale / number
    pull = mean_positive
    if variant == "in":
        pull = torch.where(positives > 1, batch.logsumexp("positive", scale=scale, bound=scale), pull)
        pull = pull - torch.where(positives > 1, number.log(), 0)
    gap = torch.where(some, others - pull, 0)
    return batch.mean(torch.where(positives > 1, gap, softplus(gap)), some)


class SupConLoss(LossModule, function=supcon_loss):
    """``supcon_loss`` as a module."""
