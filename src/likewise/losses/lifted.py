"""A positive pair against all negatives of its members: lifted structure, its generalised form, and tuplet margin.

First the log-sum-exp over each row's negatives is streamed over tiles; then the positive pairs alone are walked.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from likewise.losses._batch import LabelledBatch, Memory
from likewise.losses._checks import check_not_negative, check_positive
from likewise.losses._gather import Group, combine, gather
from likewise.losses._module import LossModule
from likewise.losses._opaque import opaque
from likewise.losses._positives import sum_over_positives
from likewise.losses._rules import softplus


@opaque
def lifted_structure_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    margin: float = 1.0,
    group: Group = None,
    tile_size: int | None = None,
) -> Tensor:
    """Lifted structured feature embedding (Song et al. 2016, their smooth bound), Euclidean, embeddings as given.

    With D the Euclidean distance and P the positive pairs i < j:  1/(2|P|) sum_{(i,j) in P} max(0, J_ij)²,
    J_ij = log( sum_{k: y_k != y_i} exp(m - D_ik) + sum_{l: y_l != y_j} exp(m - D_jl) ) + D_ij.
    One class gives 0.

    Args:
        embeddings: (N, D) float.
        labels: (N,) integer class numbers.
        margin: >= 0, a distance.
        group: process group whose ranks hold the rest of the batch; None: this process alone.
        tile_size: side of a tile; None: chosen by size.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes or dtypes do not fit, a value is not finite, margin < 0, no positive pair.

    Example:
        >>> import torch
        >>> x, y = torch.tensor([[0.0], [0.0], [1.0]]), torch.tensor([0, 0, 1])
        >>> round(float(lifted_structure_loss(x, y)), 4)   # ½ (log 2)²
        0.2402
    """
    check_not_negative("margin", margin)
    batch = LabelledBatch(embeddings, labels, normalize=False, group=group, tile_size=tile_size)
    positives, _ = batch.counts()
    batch.require_positives(positives)
    push = batch.logsumexp("negative", metric="euclidean", scale=-1.0) + margin
    # finite where a row has no negative: the pair's value is then 0 with slope 0
    push = torch.where(torch.isinf(push), torch.finfo(push.dtype).min / 8, push)
    others, _ = gather(push, group)

    def value(distance: Tensor, mine: Tensor, other: Tensor) -> Tensor:
        return torch.relu(torch.logaddexp(mine, other) + distance).pow(2)

    total = sum_over_positives(batch, value, metric="euclidean", row_values=push, col_values=others)
    return 0.5 * combine(total, group) / combine(positives.sum(), group).clamp_min(1)


@opaque
def generalized_lifted_structure_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    margin: float = 1.0,
    group: Group = None,
    memory: Memory = None,
    tile_size: int | None = None,
) -> Tensor:
    """Generalised lifted structure (Hermans et al. 2017), Euclidean, embeddings as given.

    The mean over the rows with at least one positive and one negative of
    max(0, log sum_{p in P(i)} exp(D_ip) + log sum_{n: y_n != y_i} exp(m - D_in)). No such row: 0.

    Args:
        embeddings: (N, D) float.
        labels: (N,) integer class numbers.
        margin: >= 0, a distance.
        group, tile_size: as for ``lifted_structure_loss``.
        memory: ((M, D), (M,)) embeddings and labels that are further columns, without gradient.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes or dtypes do not fit, a value is not finite, margin < 0.

    Example:
        >>> import torch
        >>> x, y = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([0, 0, 1])
        >>> round(float(generalized_lifted_structure_loss(x, y)), 4)   # (1 - 1) and (1 + 0) over two anchors
        0.5
    """
    check_not_negative("margin", margin)
    batch = LabelledBatch(embeddings, labels, normalize=False, group=group, memory=memory, tile_size=tile_size)
    positives, negatives = batch.counts()
    use = (positives > 0) & (negatives > 0)
    pull = batch.logsumexp("positive", metric="euclidean")
    push = batch.logsumexp("negative", metric="euclidean", scale=-1.0) + margin
    return batch.mean(torch.relu(torch.where(use, pull, 0) + torch.where(use, push, 0)), use)


@opaque
def tuplet_margin_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    margin: float = 0.1,
    scale: float = 64.0,
    group: Group = None,
    memory: Memory = None,
    tile_size: int | None = None,
) -> Tensor:
    """Tuplet margin loss (Yu & Tao 2019): each positive pair against all negatives of its anchor.

    The mean over ordered positive pairs (a, p) of log(1 + sum_n exp(s (cos t_an - cos(t_ap - m)))), t the angle between
    embeddings. The paper's term for the variance within a class is not part of it. One class gives 0.

    Args:
        embeddings: (N, D) float. Need not be normalised.
        labels: (N,) integer class numbers.
        margin: >= 0, radians: an angle below it is as good as it (the paper has 5.73 degrees, 0.1).
        scale: > 0, the s.
        group, memory, tile_size: as for ``generalized_lifted_structure_loss``.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes or dtypes do not fit, a value is not finite, margin < 0, scale <= 0, no positive pair.

    Example:
        >>> import torch
        >>> x, y = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0, 1])
        >>> round(float(tuplet_margin_loss(x, y, margin=0.0, scale=1.0)), 4)   # log(1 + exp(0 - 1))
        0.3133
    """
    check_not_negative("margin", margin)
    check_positive("scale", scale)
    batch = LabelledBatch(embeddings, labels, normalize=True, group=group, memory=memory, tile_size=tile_size)
    positives, _ = batch.counts()
    batch.require_positives(positives)
    push = batch.logsumexp("negative", scale=scale, bound=scale)
    push = torch.where(torch.isinf(push), torch.finfo(push.dtype).min / 8, push)
    near, aside = math.cos(margin), math.sin(margin)

    def value(cosine: Tensor, mine: Tensor, _: Tensor) -> Tensor:
        sine_squared = (1 - cosine.pow(2)).clamp_min(0)
        bent = sine_squared > 1e-12  # the sine has an infinite slope where the angle is 0
        sine = torch.where(bent, torch.where(bent, sine_squared, 1).sqrt(), 0)
        return softplus(mine - scale * (cosine * near + sine * aside))

    total = sum_over_positives(batch, value, metric="dot", row_values=push)
    return combine(total, group) / combine(positives.sum(), group).clamp_min(1)


class LiftedStructureLoss(LossModule, function=lifted_structure_loss):
    """``lifted_structure_loss`` as a module."""


class GeneralizedLiftedStructureLoss(LossModule, function=generalized_lifted_structure_loss):
    """``generalized_lifted_structure_loss`` as a module."""


class TupletMarginLoss(LossModule, function=tuplet_margin_loss):
    """``tuplet_margin_loss`` as a module."""
