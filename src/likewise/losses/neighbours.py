"""Stochastic neighbours: the probability that a row picks one of its class under a softmax of squared distances.

With p_i = sum_{same class} exp(-d²/T) / sum_{j != i} exp(-d²/T), the soft nearest neighbour loss is the mean of
-log p_i and neighbourhood components analysis maximises p_i itself, or its logarithm. Two streams over tiles give
log(p_i / (1 - p_i)) = P - Q, and everything follows from it without overflow.
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


def _log_odds(batch: LabelledBatch, temperature: float) -> tuple[Tensor, Tensor]:
    """Per row log of (same class / other classes), and whether the row has a positive."""
    positives, _ = batch.counts()
    batch.require_positives(positives)
    some = positives > 0
    pull = batch.logsumexp("positive", metric="squared", scale=-1 / temperature)
    push = batch.logsumexp("negative", metric="squared", scale=-1 / temperature)
    return torch.where(some, pull, 0) - push, some


@opaque
def soft_nearest_neighbor_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    temperature: float = 1.0,
    group: Group = None,
    memory: Memory = None,
    tile_size: int | None = None,
) -> Tensor:
    """Soft nearest neighbour loss (Frosst, Papernot & Hinton 2019), squared Euclidean, embeddings as given.

    The mean over the rows that have a positive of
    -log( sum_{j != i, y_j = y_i} exp(-||x_i - x_j||²/T) / sum_{k != i} exp(-||x_i - x_k||²/T) ).
    The paper averages over all rows and would be infinite where one has no positive. One class gives 0; identical
    embeddings give the mean of log((N - 1) / positives of i).

    Args:
        embeddings: (N, D) float.
        labels: (N,) integer class numbers.
        temperature: > 0; divides the squared distance.
        group: process group whose ranks hold the rest of the batch; None: this process alone.
        memory: ((M, D), (M,)) embeddings and labels that are further columns, without gradient.
        tile_size: side of a tile; None: chosen by size.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes or dtypes do not fit, a value is not finite, temperature <= 0, no positive pair.

    Example:
        >>> import torch
        >>> round(float(soft_nearest_neighbor_loss(torch.ones(4, 3), torch.tensor([0, 0, 1, 1]))), 4)   # log 3
        1.0986
    """
    check_positive("temperature", temperature)
    batch = LabelledBatch(embeddings, labels, normalize=False, group=group, memory=memory, tile_size=tile_size)
    odds, some = _log_odds(batch, temperature)
    return batch.mean(softplus(-odds), some)


@opaque
def nca_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    form: str = "expected",
    temperature: float = 1.0,
    group: Group = None,
    memory: Memory = None,
    tile_size: int | None = None,
) -> Tensor:
    """Neighbourhood components analysis (Goldberger et al. 2004), squared Euclidean, embeddings as given.

    With p_i the softmax share of row i's own class among its neighbours (temperature 1 in the paper):

    - ``expected``: mean of 1 - p_i, the expected leave-one-out error (the paper maximises its f(A) = sum p_i)
    - ``log``: mean of -log p_i (the paper's g(A); this is also the soft nearest neighbour loss)

    A row without positives counts as 1 in ``expected`` (its p_i is 0) and is left out of ``log``.

    Args:
        embeddings: (N, D) float.
        labels: (N,) integer class numbers.
        form: ``expected`` or ``log``.
        temperature: > 0; divides the squared distance.
        group, memory, tile_size: as for ``soft_nearest_neighbor_loss``.

    Returns:
        The loss, a scalar; in [0, 1] for ``expected``.

    Raises:
        LossInputError: shapes or dtypes do not fit, a value is not finite, temperature <= 0, no positive pair.

    Example:
        >>> import torch
        >>> round(float(nca_loss(torch.ones(4, 3), torch.tensor([0, 0, 1, 1]))), 4)   # 1 - 1/3
        0.6667
    """
    check_choice("form", form, ("expected", "log"))
    check_positive("temperature", temperature)
    batch = LabelledBatch(embeddings, labels, normalize=False, group=group, memory=memory, tile_size=tile_size)
    odds, some = _log_odds(batch, temperature)
    if form == "log":
        return batch.mean(softplus(-odds), some)
    return batch.mean(torch.where(some, torch.sigmoid(-odds), 1))


class SoftNearestNeighborLoss(LossModule, function=soft_nearest_neighbor_loss):
    """``soft_nearest_neighbor_loss`` as a module."""


class NCALoss(LossModule, function=nca_loss):
    """``nca_loss`` as a module."""
