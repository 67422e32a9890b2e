"""Three losses that are called N-pairs.

``n_pairs_loss`` is the softmax of a whole given similarity matrix against the label-match matrix, the self-pair kept.
``n_pairs_embedding_loss`` is the same number from the embeddings, without the matrix. ``multiclass_n_pairs_loss``
is the paper's: one anchor and one positive per class.
"""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.errors import LossInputError
from likewise.losses._batch import LabelledBatch, Memory
from likewise.losses._checks import check_embeddings, check_labels, check_not_negative, check_positive, check_same_shape
from likewise.losses._gather import Group, combine, gather, total_rows
from likewise.losses._module import LossModule
from likewise.losses._opaque import opaque
from likewise.losses._row_softmax import row_softmax_sum
from likewise.losses._rules import softplus
from likewise.losses._space import row_dots


def n_pairs_loss(similarities: Tensor, labels: Tensor, *, normalize_targets: bool = True) -> Tensor:
    """Softmax cross-entropy of each row of a similarity matrix against the label-match matrix, self-pair kept.

    mean_i  -sum_j T_ij log softmax(S_i)_j,  T_ij = [y_i = y_j], each row divided by its sum when ``normalize_targets``.
    Often called N-pairs, but not the loss of Sohn 2016 (``multiclass_n_pairs_loss``).
    The self-pair is a target as well as a competitor. A constant matrix gives log N (normalised).

    Args:
        similarities: (N, N) float, already divided by a temperature if one is wanted.
        labels: (N,) integer class numbers.
        normalize_targets: rows of T sum to 1; False: a row weighs as much as it has positives.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: the matrix is not square, shapes or dtypes do not fit, a value is not finite.

    Example:
        >>> import torch
        >>> round(float(n_pairs_loss(torch.zeros(4, 4), torch.tensor([0, 0, 1, 1]))), 4)   # log 4
        1.3863
    """
    s = check_embeddings("similarities", similarities)
    if s.shape[0] != s.shape[1]:
        raise LossInputError(
            f"similarities has shape {tuple(s.shape)}.",
            expected="Expected a square (N, N) matrix: similarity of row i and row j.",
            advice="For embeddings use n_pairs_embedding_loss, or pass x @ x.T.",
        )
    y = check_labels(labels, len(s))
    same = y[:, None] == y[None, :]
    # logarithm of the softmax only where it counts: the rest of the matrix is never written
    number = same.sum(dim=1).to(s.dtype)
    weight = 1 / number if normalize_targets else torch.ones_like(number)
    total = torch.where(same, torch.logsumexp(s, dim=1, keepdim=True) - s, 0).sum(dim=1)
    return (weight * total).mean()


@opaque
def n_pairs_embedding_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    temperature: float = 1.0,
    normalize: bool = True,
    normalize_targets: bool = True,
    group: Group = None,
    memory: Memory = None,
    tile_size: int | None = None,
) -> Tensor:
    """``n_pairs_loss`` (not that of Sohn 2016) of the matrix x xᵀ / t, which is never formed.

    Args:
        embeddings: (N, D) float.
        labels: (N,) integer class numbers.
        temperature: > 0; divides the similarity.
        normalize: rows at length 1 first (cosine similarity); False: dot products of the embeddings as given.
        normalize_targets: as for ``n_pairs_loss``.
        group: process group whose ranks hold the rest of the batch; None: this process alone.
        memory: ((M, D), (M,)) embeddings and labels that are further columns, without gradient.
        tile_size: side of a tile; None: chosen by size.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes or dtypes do not fit, a value is not finite, temperature <= 0.

    Example:
        >>> import torch
        >>> x, y = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]), torch.tensor([0, 0, 1])
        >>> bool(torch.isclose(n_pairs_embedding_loss(x, y), n_pairs_loss(x @ x.T, y)))
        True
    """
    check_positive("temperature", temperature)
    batch = LabelledBatch(embeddings, labels, normalize=normalize, group=group, memory=memory, tile_size=tile_size)
    positives, _ = batch.counts()
    number = positives + 1
    scale = 1 / temperature
    bound = scale if normalize else None
    # the self-pair is known without a tile; the positive that logsumexp_others leaves out where it is the only one
    # comes back with it, and softplus keeps the digits of a row that is alone in its class
    own = row_dots(batch.rows, batch.rows) * scale
    mean = batch.positive_dots(with_self=True) * scale / number
    partner = 2 * mean - own
    own = torch.where(number == 2, torch.logaddexp(own, partner), own)
    mean = torch.where(number == 1, own, mean)
    per_row = (own - mean) + softplus(batch.logsumexp_others(scale, bound) - own)
    return batch.mean(per_row if normalize_targets else per_row * number)


@opaque
def multiclass_n_pairs_loss(
    anchors: Tensor,
    positives: Tensor,
    *,
    regularization: float = 0.0,
    group: Group = None,
    tile_size: int | None = None,
) -> Tensor:
    """Multi-class N-pair loss: one anchor and one positive of each of N classes (N-pair-mc, Sohn 2016).

    mean_i log( 1 + sum_{j != i} exp(a_i·p_j - a_i·p_i) )  +  regularization · mean_i (||a_i||² + ||p_i||²) / 2,
    dot products of the embeddings as given. Identical embeddings give log N. Row i must be another class than row j.

    Args:
        anchors, positives: (N, D) float; row i of both is one class.
        regularization: >= 0, weight of the squared lengths (the paper has 0.002 of ||f||² summed per pair).
        group: process group whose ranks hold the rest of the batch; None: this process alone.
        tile_size: side of a tile; None: chosen by size.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes differ, N < 1, a value is not finite, regularization < 0.

    Example:
        >>> import torch
        >>> round(float(multiclass_n_pairs_loss(torch.ones(4, 3), torch.ones(4, 3))), 4)   # log 4
        1.3863
    """
    check_not_negative("regularization", regularization)
    least = 1 if group is None else 0
    a = check_embeddings("anchors", anchors, min_rows=least)
    p = check_embeddings("positives", positives, min_rows=least)
    check_same_shape("anchors", a, "positives", p)
    columns, start = gather(p, group)
    own = torch.arange(start, start + len(a), device=a.device)
    total = row_softmax_sum(a, columns, own, tile_size=tile_size)
    if regularization:
        total = total + 0.5 * regularization * (a.pow(2).sum() + p.pow(2).sum())
    return combine(total, group) / total_rows(len(a), group, a.device)


class NPairsLoss(LossModule, function=n_pairs_loss):
    """``n_pairs_loss`` as a module."""


class NPairsEmbeddingLoss(LossModule, function=n_pairs_embedding_loss):
    """``n_pairs_embedding_loss`` as a module."""


class MulticlassNPairsLoss(LossModule, function=multiclass_n_pairs_loss):
    """``multiclass_n_pairs_loss`` as a module."""
