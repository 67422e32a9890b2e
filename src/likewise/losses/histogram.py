"""Losses of soft histograms of cosines: the histogram loss over all pairs, FastAP over each row's ranking.

Both come from one stream over tiles that leaves each row two histograms, in N × nodes numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.errors import LossInputError
from likewise.losses._batch import LabelledBatch, Memory
from likewise.losses._gather import Group, all_sum
from likewise.losses._histograms import cosine_histograms
from likewise.losses._module import LossModule
from likewise.losses._opaque import opaque


def _check_bins(bins: int) -> None:
    if not isinstance(bins, int) or bins < 1:
        raise LossInputError(
            f"bins is {bins!r}.", expected="Expected a whole number, 1 or above.", advice="10 to 200 are usual."
        )


@opaque
def histogram_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    bins: int = 100,
    group: Group = None,
    memory: Memory = None,
    tile_size: int | None = None,
) -> Tensor:
    """Histogram loss (Ustinova & Lempitsky 2016): the chance that a negative pair is more alike than a positive one.

    sum_r h-_r sum_{q <= r} h+_q, with h+ and h- the shares of the cosines of all positive and of all negative pairs at
    bins + 1 nodes from -1 to 1, each cosine divided between the two nodes around it by nearness. A batch without
    negatives gives 0, identical embeddings give 1.

    Args:
        embeddings: (N, D) float. Need not be normalised.
        labels: (N,) integer class numbers.
        bins: >= 1, intervals between the nodes (the paper finds its results stable from 50 to 400).
        group: process group whose ranks hold the rest of the batch; None: this process alone.
        memory: ((M, D), (M,)) embeddings and labels that are further columns, without gradient: each row is also paired
            with each of them.
        tile_size: side of a tile; None: chosen by size.

    Returns:
        The loss, a scalar in [0, 1].

    Raises:
        LossInputError: shapes or dtypes do not fit, a value is not finite, bins < 1, no positive pair.

    Example:
        >>> import torch
        >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])   # positives at 1, negatives at 0
        >>> float(histogram_loss(x, torch.tensor([0, 0, 1])))
        0.0
    """
    _check_bins(bins)
    batch = LabelledBatch(embeddings, labels, normalize=True, group=group, memory=memory, tile_size=tile_size)
    positives, negatives = batch.counts()
    batch.require_positives(positives)
    near, far = cosine_histograms(batch, bins + 1)
    pull = all_sum(near.sum(dim=0), group) / all_sum(positives.sum(), group).clamp_min(1)
    push = all_sum(far.sum(dim=0), group) / all_sum(negatives.sum(), group).clamp_min(1)
    return (push * pull.cumsum(dim=0)).sum()


@opaque
def fast_ap_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    bins: int = 10,
    group: Group = None,
    memory: Memory = None,
    tile_size: int | None = None,
) -> Tensor:
    """FastAP (Cakir et al. 2019): 1 - average precision of each row's ranking, the ranks from a soft histogram.

    With h+_k and h_k the soft counts of the row's positives and of all its columns at bins + 1 nodes of the squared
    distance between unit vectors, from 0 to 4, and H their sums up to k: the mean over the rows with a positive of
    1 - 1/N+ sum_k h+_k H+_k / H_k, computed as 1/N+ sum_k h+_k H-_k / H_k, which keeps its digits near 0. One class gives
    0; identical embeddings give the share of negatives.

    Args:
        embeddings: (N, D) float. Need not be normalised.
        labels: (N,) integer class numbers.
        bins: >= 1, intervals between the nodes (10 in the authors' code).
        group: process group whose ranks hold the rest of the batch; None: this process alone.
        memory: ((M, D), (M,)) embeddings and labels that are further columns, without gradient.
        tile_size: side of a tile; None: chosen by size.

    Returns:
        The loss, a scalar in [0, 1].

    Raises:
        LossInputError: shapes or dtypes do not fit, a value is not finite, bins < 1, no positive pair.

    Example:
        >>> import torch
        >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
        >>> float(fast_ap_loss(x, torch.tensor([0, 0, 1])))   # the positive at 0, the negative at 4
        0.0
        >>> float(fast_ap_loss(torch.ones(4, 2), torch.tensor([0, 0, 0, 1])))   # one negative of three
        0.3333333432674408
    """
    _check_bins(bins)
    batch = LabelledBatch(embeddings, labels, normalize=True, group=group, memory=memory, tile_size=tile_size)
    positives, _ = batch.counts()
    batch.require_positives(positives)
    # a cosine of 1 is a distance of 0: the nodes in the order of distance
    near, far = (counts.flip(1) for counts in cosine_histograms(batch, bins + 1))
    below, above = near.cumsum(dim=1), far.cumsum(dim=1)
    reached = below + above
    some = reached > 0
    wrong = torch.where(some, above / torch.where(some, reached, 1), 0)
    return batch.mean((near * wrong).sum(dim=1) / positives.clamp_min(1), positives > 0)


class HistogramLoss(LossModule, function=histogram_loss):
    """``histogram_loss`` as a module."""


class FastAPLoss(LossModule, function=fast_ap_loss):
    """``fast_ap_loss`` as a module."""
