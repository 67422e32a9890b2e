"""Ranked list loss: each row pulls its positives into a ball and pushes negatives, the nearest most, out of a larger one.

Weights of negatives are a softmax over those inside the boundary, so a row needs all its columns: strips of rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.errors import LossInputError
from likewise.losses._batch import LabelledBatch, Memory
from likewise.losses._checks import check_not_negative, check_positive
from likewise.losses._gather import Group, combine, total_rows
from likewise.losses._module import LossModule
from likewise.losses._opaque import opaque
from likewise.losses._strips import euclidean, squared_distances, strip_sum


@opaque
def ranked_list_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    alpha: float = 1.2,
    margin: float = 0.4,
    sharpness: float = 10.0,
    positive_sharpness: float = 0.0,
    balance: float = 0.5,
    group: Group = None,
    memory: Memory = None,
    tile_size: int | None = None,
) -> Tensor:
    """Ranked list loss (Wang et al. 2019), Euclidean, embeddings as given.

    With D the distance to the row: positives beyond alpha - margin have h = D - (alpha - margin), negatives within alpha
    have h = alpha - D. A row's L+ and L- are the means of h over these, weighted by exp(positive_sharpness · h) and
    exp(sharpness · h); none of them: 0. The loss is the mean over all rows of (1 - balance) L+ + balance L-. The
    weights are constants for the gradient, as in the authors' code. The first version of the paper adds L+ + L-, twice
    this. The paper's embeddings have length 1: normalise first. At D = 0 the gradient is taken as 0; identical embeddings
    give balance · alpha where every row has a negative.

    Args:
        embeddings: (N, D) float.
        labels: (N,) integer class numbers.
        alpha: > 0, a distance: negatives belong beyond it.
        margin: >= 0, at most alpha: positives belong within alpha - margin.
        sharpness: >= 0, per distance: how much more the nearest negatives weigh (the paper's T).
        positive_sharpness: >= 0, the same for the farthest positives.
        balance: from 0 to 1, weight of the negatives.
        group: process group whose ranks hold the rest of the batch; None: this process alone.
        memory: ((M, D), (M,)) embeddings and labels that are further columns, without gradient.
        tile_size: rows of a strip; None: chosen by size.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes or dtypes do not fit, a value is not finite, a number out of range.

    Example:
        >>> import torch
        >>> x = torch.tensor([[0.0], [1.0], [0.4]])   # L+ = 0.2 and 0.2; L- = 0.8, 0.6, and 0.78 of both
        >>> round(float(ranked_list_loss(x, torch.tensor([0, 0, 1]))), 4)
        0.4294
    """
    check_positive("alpha", alpha)
    check_not_negative("margin", margin)
    check_not_negative("sharpness", sharpness)
    check_not_negative("positive_sharpness", positive_sharpness)
    if margin > alpha or not 0 <= balance <= 1:
        raise LossInputError(
            f"margin is {margin} with alpha {alpha}, balance is {balance}.",
            expected="Expected margin at most alpha, and balance from 0 to 1.",
            advice="The paper takes alpha 1.2, margin 0.4, and both kinds alike.",
        )
    batch = LabelledBatch(embeddings, labels, normalize=False, group=group, memory=memory, tile_size=tile_size)
    columns = batch.all_columns
    center = columns.detach().mean(dim=0) if len(columns) else 0
    own, place = batch.own_columns(), torch.arange(len(columns), device=columns.device)
    col_labels = batch.layout.col_labels
    if batch.layout.col_order is not None:
        col_labels = torch.empty_like(col_labels).index_copy(0, batch.layout.col_order, col_labels)

    def strip(part: slice, x_BD: Tensor, y_MD: Tensor) -> Tensor:
        distance_BM = euclidean(squared_distances(x_BD, y_MD))
        same_BM = batch.labels[part, None] == col_labels
        near = _weighted(distance_BM - (alpha - margin), same_BM & (own[part, None] != place), positive_sharpness)
        far = _weighted(alpha - distance_BM, ~same_BM, sharpness)
        return ((1 - balance) * near + balance * far).sum()

    total = strip_sum(strip, batch.rows - center, columns - center, columns=len(columns), tile_size=tile_size)
    return combine(total, group) / total_rows(len(batch.rows), group, columns.device)


def _weighted(hinge_BM: Tensor, kind_BM: Tensor, sharpness: float) -> Tensor:
    """Per row the mean of the hinges above 0, weighted by exp(sharpness · hinge) without gradient; 0 over none."""
    active_BM = kind_BM & (hinge_BM > 0)
    score_BM = (sharpness * hinge_BM.detach()).masked_fill(~active_BM, -torch.inf)
    top = score_BM.amax(dim=1, keepdim=True)
    weight_BM = torch.where(active_BM, (score_BM - torch.where(top.isinf(), 0, top)).exp(), 0)
    total = weight_BM.sum(dim=1)
    return (weight_BM * torch.where(active_BM, hinge_BM, 0)).sum(dim=1) / torch.where(total > 0, total, 1)


class RankedListLoss(LossModule, function=ranked_list_loss):
    """``ranked_list_loss`` as a module."""
