"""Pairs weighted by how hard they are: multi-similarity and circle loss.

Both are log-sum-exps over a row's positives and over its negatives of a function of the cosine, so both are two streams
over tiles. In multi-similarity the function is a line; in the circle loss it is a parabola whose weights carry no
gradient.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from likewise.losses._batch import LabelledBatch, Memory
from likewise.losses._checks import check_not_negative, check_positive
from likewise.losses._gather import Group
from likewise.losses._module import LossModule
from likewise.losses._opaque import opaque
from likewise.losses._rules import softplus
from likewise.losses._tuples import Tuples, check_pairs, logsumexp_by_row, measure_pairs


@opaque
def multi_similarity_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    alpha: float = 2.0,
    beta: float = 50.0,
    base: float = 0.5,
    tuples: Tuples = None,
    group: Group = None,
    memory: Memory = None,
    tile_size: int | None = None,
) -> Tensor:
    """Multi-similarity loss over all pairs (Wang et al. 2019), of all pairs or of mined ones.

    The mean over all rows i of  1/alpha log(1 + sum_{p in P(i)} exp(-alpha (s_ip - base)))
    + 1/beta log(1 + sum_{n: y_n != y_i} exp(beta (s_in - base))),  s = cosine similarity. A row without positives has
    only the second term, a batch of one class only the first. The paper mines first: that is
    ``tuples=find_miner("multi_similarity")(embeddings, labels)``; the sums are then over these pairs, the mean stays
    over all rows.

    Args:
        embeddings: (N, D) float. Need not be normalised.
        labels: (N,) integer class numbers.
        alpha, beta: > 0, sharpness of the positive and the negative term.
        base: the similarity at which a pair weighs as much as the 1.
        tuples: pairs (or triplets) from a miner, instead of all pairs.
        group: process group whose ranks hold the rest of the batch; None: this process alone.
        memory: ((M, D), (M,)) embeddings and labels that are further columns, without gradient.
        tile_size: side of a tile; None: chosen by size.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes or dtypes do not fit, a value is not finite, alpha or beta <= 0, tuples outside of
            the batch.

    Example:
        >>> import torch
        >>> x, y = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 0])
        >>> round(float(multi_similarity_loss(x, y)), 4)   # ½ log(1 + exp(-1))
        0.1566
    """
    check_positive("alpha", alpha)
    check_positive("beta", beta)
    batch = LabelledBatch(embeddings, labels, normalize=True, group=group, memory=memory, tile_size=tile_size)
    if tuples is None:
        pull = batch.logsumexp("positive", scale=-alpha, bound=alpha) + alpha * base
        push = batch.logsumexp("negative", scale=beta, bound=beta) - beta * base
    else:
        pairs = check_pairs(tuples, batch)
        near = measure_pairs(batch, pairs.anchors, pairs.positives, "dot")
        far = measure_pairs(batch, pairs.negative_anchors, pairs.negatives, "dot")
        pull = logsumexp_by_row(alpha * (base - near), pairs.anchors, len(batch.rows))
        push = logsumexp_by_row(beta * (far - base), pairs.negative_anchors, len(batch.rows))
    return batch.mean(softplus(pull) / alpha + softplus(push) / beta)


@opaque
def circle_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    margin: float = 0.4,
    gamma: float = 80.0,
    group: Group = None,
    memory: Memory = None,
    tile_size: int | None = None,
) -> Tensor:
    """Circle loss with pair labels (Sun et al. 2020), the weights without gradient, as in the paper.

    The mean over the rows with at least one positive and one negative of
    log(1 + sum_n exp(gamma a_n (s_n - m)) · sum_p exp(-gamma a_p (s_p - (1 - m)))),  s = cosine similarity,
    a_p = max(0, 1 + m - s_p) and a_n = max(0, s_n + m) taken as constants. No such row: 0.

    Args:
        embeddings: (N, D) float. Need not be normalised.
        labels: (N,) integer class numbers.
        margin: >= 0, the m of both weights and targets (the paper has 0.25 for faces, 0.4 for retrieval).
        gamma: > 0, the scale (the paper has 256 for faces, 80 for retrieval).
        group: process group whose ranks hold the rest of the batch; None: this process alone.
        memory: ((M, D), (M,)) embeddings and labels that are further columns, without gradient.
        tile_size: side of a tile; None: chosen by size.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes or dtypes do not fit, a value is not finite, margin < 0, gamma <= 0.

    Example:
        >>> import torch
        >>> x, y = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0, 1])
        >>> round(float(circle_loss(x, y, margin=0.25, gamma=1.0)), 4)   # log(1 + exp(-1/16) exp(-1/16))
        0.6326
    """
    check_not_negative("margin", margin)
    check_positive("gamma", gamma)
    batch = LabelledBatch(embeddings, labels, normalize=True, group=group, memory=memory, tile_size=tile_size)
    positives, negatives = batch.counts()
    use = (positives > 0) & (negatives > 0)

    def pull_score(s: Tensor) -> Tensor:
        return (1 + margin - s).clamp_min_(0).mul_(s - (1 - margin)).mul_(-gamma)

    def pull_slope(s: Tensor) -> Tensor:
        return (1 + margin - s).clamp_min_(0).mul_(-gamma)

    # gamma max(0, s + m) (s - m) = u² - gamma m² with u = sqrt(gamma) max(s, -m), and its slope by u is u less its least
    root = math.sqrt(gamma)

    def push_score(u: Tensor) -> Tensor:
        return u.clamp_min_(-root * margin).square_()

    def push_slope(u: Tensor) -> Tensor:
        return (u + root * margin).clamp_min_(0)

    reach = gamma * (2 + margin) * max(2 - margin, margin)
    pull = batch.logsumexp("positive", score=pull_score, slope=pull_slope, bound=reach)
    push = batch.logsumexp("negative", score=push_score, slope=push_slope, scale=root, bound=(0, 1.001 * gamma))
    push = push - gamma * margin**2
    both = torch.where(use, pull, 0) + torch.where(use, push, 0)
    return batch.mean(softplus(both), use)


class MultiSimilarityLoss(LossModule, function=multi_similarity_loss):
    """``multi_similarity_loss`` as a module."""


class CircleLoss(LossModule, function=circle_loss):
    """``circle_loss`` as a module."""
