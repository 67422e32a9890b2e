"""Contrastive loss on the signal-to-noise distance: how large the difference is, measured by the anchor's own variance.

The variance of a row over its D entries is its squared length about their mean, so the distance is a squared distance of
centred rows times a number of the anchor: one pass over tiles.
"""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.losses._batch import LabelledBatch, Memory
from likewise.losses._checks import check_choice, check_embeddings, check_not_negative, check_positive
from likewise.losses._gather import Group, combine
from likewise.losses._hinges import hinge_sum
from likewise.losses._module import LossModule
from likewise.losses._opaque import opaque
from likewise.losses._tuples import Tuples, check_pairs, measure_pairs


@opaque
def snr_contrastive_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    margin: float = 1.0,
    positive_margin: float = 0.0,
    zero_mean: float = 0.0,
    reduction: str = "mean",
    tuples: Tuples = None,
    group: Group = None,
    memory: Memory = None,
    tile_size: int | None = None,
) -> Tensor:
    """Contrastive loss on the signal-to-noise distance (Yuan et al. 2019), embeddings as given.

    d(i, j) = var(x_j - x_i) / var(x_i), variances over the D entries: not symmetric, the anchor is the signal. Over all
    ordered pairs, or ``tuples``: positives max(0, d - positive_margin), negatives max(0, margin - d); plus zero_mean
    times the mean over rows of |sum of the entries of x_i|, the paper's regularisation. The distances of an anchor whose
    entries are all equal are taken as 0 without gradient; identical embeddings give margin per negative pair.

    Args:
        embeddings: (N, D) float.
        labels: (N,) integer class numbers.
        margin: > 0, a ratio of variances: negatives beyond it are left alone.
        positive_margin: >= 0, positives nearer than it are left alone.
        zero_mean: >= 0, weight of the regularisation (the paper's λ).
        reduction: ``mean`` divides the sum over pairs by their number, ``nonzero`` by the number of those not 0, ``sum``
            by 1.
        tuples: triplets or pairs from a miner instead of all ordered pairs; a triplet is two pairs, each as given.
        group: process group whose ranks hold the rest of the batch; None: this process alone.
        memory: ((M, D), (M,)) embeddings and labels that are further columns, without gradient.
        tile_size: side of a tile; None: chosen by size.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes or dtypes do not fit, a value is not finite, margin <= 0, another number < 0, an unknown
            word, tuples outside of the batch.

    Example:
        >>> import torch
        >>> x = torch.tensor([[1.0, -1.0], [2.0, -2.0]])   # d(0, 1) = 1, d(1, 0) = 1/4
        >>> float(snr_contrastive_loss(x, torch.tensor([0, 0])))
        0.625
    """
    check_positive("margin", margin)
    check_not_negative("positive_margin", positive_margin)
    check_not_negative("zero_mean", zero_mean)
    check_choice("reduction", reduction, ("nonzero", "mean", "sum"))
    x = check_embeddings("embeddings", embeddings, min_rows=1 if group is None else 0)
    if memory is not None:
        kept = check_embeddings("memory", memory[0].detach(), min_rows=0)
        memory = (kept - kept.mean(dim=1, keepdim=True), memory[1])
    centered = x - x.mean(dim=1, keepdim=True)
    batch = LabelledBatch(centered, labels, normalize=False, group=group, memory=memory, tile_size=tile_size)
    power = batch.rows.pow(2).sum(dim=1)
    # entries equal but for rounding have no signal
    some = power.detach() > (4 * torch.finfo(x.dtype).eps) ** 2 * x.detach().pow(2).sum(dim=1)
    slope = torch.where(some, 1 / torch.where(some, power, 1), 0)
    if tuples is None:
        near, far = (torch.full_like(slope, value) for value in (positive_margin, margin))
        total, active = hinge_sum(batch, metric="squared", slope=slope, near=near, far=far)
        positives, negatives = batch.counts()
        pairs = (positives + negatives).sum()
    else:
        given = check_pairs(tuples, batch)
        pull = measure_pairs(batch, given.anchors, given.positives, "squared") * slope[given.anchors]
        push = measure_pairs(batch, given.negative_anchors, given.negatives, "squared") * slope[given.negative_anchors]
        values = torch.cat([torch.relu(pull - positive_margin), torch.relu(margin - push)])
        total, active = values.sum(), (values > 0).sum().to(values.dtype)
        pairs = active.new_tensor(float(len(values)))
    loss = combine(total, group)
    if reduction != "sum":
        loss = loss / combine(active if reduction == "nonzero" else pairs, group).clamp_min(1)
    return loss + zero_mean * batch.mean(x.sum(dim=1).abs()) if zero_mean else loss


class SNRContrastiveLoss(LossModule, function=snr_contrastive_loss):
    """``snr_contrastive_loss`` as a module."""
