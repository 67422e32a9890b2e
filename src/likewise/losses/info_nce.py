"""Given pairs in two sets, in-batch negatives, one direction: InfoNCE and multiple-negatives ranking.

Row i of the queries belongs to row i of the keys; all other keys are its negatives. Per query the loss is
softplus(log-sum-exp over the negatives - similarity to the positive), value and gradient in one pass.
"""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.errors import LossInputError
from likewise.losses._checks import check_embeddings, check_positive, check_same_shape
from likewise.losses._gather import Group, combine, gather, total_rows
from likewise.losses._module import LossModule
from likewise.losses._opaque import opaque
from likewise.losses._row_softmax import row_softmax_sum
from likewise.losses._unit import unit


def _one_direction(
    queries: Tensor, keys: Tensor, extra: Tensor | None, temperature: float, group: Group, tile_size: int | None
) -> Tensor:
    """Mean over queries; ``keys`` row i is the positive, ``extra`` rows are negatives of every query. Unit rows."""
    columns, start = gather(keys, group)
    if extra is not None:
        columns = torch.cat([columns, gather(extra, group)[0]])
    scale = 1 / temperature
    own = torch.arange(start, start + len(queries), device=queries.device)
    local = row_softmax_sum(queries, columns, own, scale=scale, bound=scale, tile_size=tile_size)
    return combine(local, group) / total_rows(len(queries), group, queries.device)


@opaque
def info_nce_loss(
    queries: Tensor, keys: Tensor, *, temperature: float = 0.07, group: Group = None, tile_size: int | None = None
) -> Tensor:
    """InfoNCE (van den Oord et al. 2018) with cosine similarity and in-batch negatives, queries to keys only.

    The mean over i of  -log( exp(q_i·k_i/t) / sum_j exp(q_i·k_j/t) ),  rows L2-normalised. The sum holds the positive;
    queries are never negatives of each other (NT-Xent), nor is the other direction added (CLIP). Identical embeddings
    give log N; one pair gives 0.

    Args:
        queries, keys: (N, D) float; row i of both belongs together. Need not be normalised.
        temperature: > 0; divides the similarity.
        group: process group whose ranks hold the rest of the batch; None: this process alone.
        tile_size: side of a tile; None: chosen by size.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes differ, N < 1, a value is not finite, temperature <= 0.

    Example:
        >>> import torch
        >>> round(float(info_nce_loss(torch.ones(4, 3), torch.ones(4, 3))), 4)   # log 4
        1.3863
    """
    check_positive("temperature", temperature)
    least = 1 if group is None else 0
    q = check_embeddings("queries", queries, min_rows=least, values=False)
    k = check_embeddings("keys", keys, min_rows=least, values=False)
    check_same_shape("queries", q, "keys", k)
    return _one_direction(unit(q, "queries"), unit(k, "keys"), None, temperature, group, tile_size)


@opaque
def multiple_negatives_ranking_loss(
    anchors: Tensor,
    positives: Tensor,
    negatives: Tensor | None = None,
    *,
    temperature: float = 0.05,
    group: Group = None,
    tile_size: int | None = None,
) -> Tensor:
    """Multiple-negatives ranking (Henderson et al. 2017), with hard negatives as sentence-transformers has it.

    The mean over i of  -log( exp(a_i·p_i/t) / (sum_j exp(a_i·p_j/t) + sum_j exp(a_i·n_j/t)) ),  rows L2-normalised:
    every given negative is a negative of every anchor. Their ``scale`` of 20 is the temperature 0.05. Without
    ``negatives`` this is InfoNCE.

    Args:
        anchors, positives: (N, D) float; row i of both belongs together. Need not be normalised.
        negatives: (M, D) float, or None.
        temperature: > 0; divides the similarity.
        group, tile_size: as for ``info_nce_loss``.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes or widths differ, N < 1, a value is not finite, temperature <= 0.

    Example:
        >>> import torch
        >>> same = torch.ones(4, 3)
        >>> round(float(multiple_negatives_ranking_loss(same, same, same)), 4)   # log 8
        2.0794
    """
    check_positive("temperature", temperature)
    least = 1 if group is None else 0
    a = check_embeddings("anchors", anchors, min_rows=least, values=False)
    p = check_embeddings("positives", positives, min_rows=least, values=False)
    check_same_shape("anchors", a, "positives", p)
    a, p = unit(a, "anchors"), unit(p, "positives")
    if negatives is None:
        return _one_direction(a, p, None, temperature, group, tile_size)
    n = check_embeddings("negatives", negatives, min_rows=0, values=False)
    if n.shape[1] != a.shape[1]:
        raise LossInputError(
            f"negatives has width {n.shape[1]} and anchors {a.shape[1]}.",
            expected="Expected the same width.",
            advice="Embed all three with the same head.",
        )
    return _one_direction(a, p, unit(n.to(a.dtype), "negatives"), temperature, group, tile_size)


class InfoNCELoss(LossModule, function=info_nce_loss):
    """``info_nce_loss`` as a module."""


class MultipleNegativesRankingLoss(LossModule, function=multiple_negatives_ranking_loss):
    """``multiple_negatives_ranking_loss`` as a module."""
