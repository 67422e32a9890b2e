"""SmoothAP: average precision with each comparison of two ranks a sigmoid.

For a row and one of its positives the smooth rank is a sum over all columns, so N rows in classes of K cost N · K · M
sigmoids, where the usual formulation holds N³ of them in memory. Here a strip of pairs × columns is, at most 2^19.
"""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.losses._batch import LabelledBatch, Memory
from likewise.losses._checks import check_positive
from likewise.losses._gather import Group, combine
from likewise.losses._module import LossModule
from likewise.losses._opaque import opaque
from likewise.losses._pair_strips import PairStrip, PositivePairs


@opaque
def smooth_ap_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    temperature: float = 0.01,
    include_query: bool = False,
    group: Group = None,
    memory: Memory = None,
    tile_size: int | None = None,
) -> Tensor:
    """Smooth-AP (Brown et al. 2020): 1 - average precision of each row's ranking, smoothed, over the batch.

    With s_j the cosine of the row and column j, P its positives and G(x) = sigmoid(x / t), the mean over the rows with a
    positive of  1 - 1/|P| sum_{p in P} R(p, P) / R(p, all),  R(p, S) = 1 + sum_{j in S, j != p} G(s_j - s_p), computed as
    1/|P| sum_p sum_{n negative} G(s_n - s_p) / R(p, all), which keeps its digits near 0. One class gives 0.

    The row itself is not part of its ranking. ``include_query`` ranks it too, as one more positive at similarity 1: the
    authors' code does so, and a row alone in its class then counts.

    Args:
        embeddings: (N, D) float. Need not be normalised.
        labels: (N,) integer class numbers.
        temperature: > 0; divides the difference of similarities.
        include_query: rank each row among its own positives.
        group: process group whose ranks hold the rest of the batch; None: this process alone.
        memory: ((M, D), (M,)) embeddings and labels that are further columns, without gradient.
        tile_size: pairs of a strip; None: chosen by size.

    Returns:
        The loss, a scalar in [0, 1).

    Raises:
        LossInputError: shapes or dtypes do not fit, a value is not finite, temperature <= 0, no positive pair.

    Example:
        >>> import torch
        >>> x = torch.ones(3, 2)   # all alike: the negative stands at rank 1 or 2 with equal chance, G(0) = 1/2
        >>> round(float(smooth_ap_loss(x, torch.tensor([0, 0, 1]))), 4)   # 0.5 / 1.5
        0.3333
    """
    check_positive("temperature", temperature)
    batch = LabelledBatch(embeddings, labels, normalize=True, group=group, memory=memory, tile_size=tile_size)
    positives, _ = batch.counts()
    batch.require_positives(positives)
    pairs = PositivePairs(batch, with_self=include_query)
    number = positives + 1 if include_query else positives

    def value(strip: PairStrip) -> Tensor:
        cosine_BM = strip.anchors @ strip.columns.T
        ahead_BM = torch.sigmoid((cosine_BM - cosine_BM.gather(1, strip.places[:, None])) / temperature)
        wrong = torch.where(strip.same, 0, ahead_BM).sum(dim=1)
        ranked_BM = strip.same if include_query else strip.same & ~strip.selves
        # the positive itself is among them with G(0) = 1/2
        right = torch.where(ranked_BM, ahead_BM, 0).sum(dim=1) + 0.5
        return (wrong / (wrong + right) / number[strip.rows]).sum()

    rows = combine((number > 0).sum().to(batch.rows.dtype), group)
    return combine(pairs.sum(value, tile_size), group) / rows.clamp_min(1)


class SmoothAPLoss(LossModule, function=smooth_ap_loss):
    """``smooth_ap_loss`` as a module."""
