"""Two views of each sample, every other row a negative: NT-Xent (SimCLR), its decoupled form, and its exact split.

Per row i with partner p: loss = softplus(LSE - s_ip), LSE = log sum over the rows that are neither i nor p of
exp(s_ik), s = cosine / temperature. The partner stays out of the sum, so a loss near zero keeps all its digits, at
temperature 0.01 too. Cost at 8,192 rows, D = 128: two half matrix products forward and backward, no N × N memory.
"""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.losses._checks import check_embeddings, check_positive, check_same_shape
from likewise.losses._gather import Group, all_sum, combine, gather
from likewise.losses._module import LossModule
from likewise.losses._opaque import opaque
from likewise.losses._row_softmax import row_softmax_sum
from likewise.losses._rules import pair_logsumexp, softplus
from likewise.losses._space import row_dots
from likewise.losses._unit import unit
from likewise.losses._whole import is_small, pairs_of


def _views(
    view1: Tensor, view2: Tensor, temperature: float, group: Group, min_pairs: int = 1
) -> tuple[Tensor, Tensor | None, Tensor, int]:
    """Unit rows, partners side by side; those of all ranks (None without ranks); places of ours; how many in all."""
    check_positive("temperature", temperature)
    least = min_pairs if group is None else 0
    a = check_embeddings("view1", view1, min_rows=least, values=False)
    b = check_embeddings("view2", view2, min_rows=least, values=False)
    check_same_shape("view1", a, "view2", b)
    # partners side by side: labels are sorted as they stand and only diagonal tiles need a mask
    rows = unit(torch.stack([a, b], dim=1).flatten(0, 1), "view1", "view2")
    if group is None:
        return rows, None, torch.arange(len(rows), device=a.device), len(rows)
    columns, start = gather(rows, group)
    return rows, columns, torch.arange(start, start + len(rows), device=a.device), len(columns)


def _negatives(
    rows: Tensor, columns: Tensor | None, own: Tensor, temperature: float, tile_size: int | None
) -> tuple[Tensor, Tensor]:
    """Per row: log-sum-exp over its negatives, and similarity to its partner."""
    every = None if columns is None else torch.arange(len(columns), device=rows.device) // 2
    layout = pairs_of(own // 2, every, tile_size=tile_size)
    scale = 1 / temperature
    negatives, _ = pair_logsumexp(rows, columns, layout, over="negative", scale=scale, bound=scale)
    partner = row_dots(rows[0::2], rows[1::2]) * scale
    return negatives, partner.repeat_interleave(2)


@opaque
def nt_xent_loss(
    view1: Tensor, view2: Tensor, *, temperature: float = 0.5, group: Group = None, tile_size: int | None = None
) -> Tensor:
    """Normalised temperature-scaled cross-entropy between two views (SimCLR, Chen et al. 2020, eq. 1).

    The mean over all 2N rows i of  -log( exp(s_ip/t) / sum_{k != i} exp(s_ik/t) ),  s = cosine similarity,
    p = the other view of the same image. Identical embeddings give exactly log(2N - 1); one pair gives 0.

    Args:
        view1, view2: (N, D) float; row i of both is the same image. Need not be normalised.
        temperature: > 0; divides the similarity.
        group: process group whose ranks hold the rest of the batch; None: this process alone.
        tile_size: side of a tile; None: chosen by size.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes differ, N < 1, a value is not finite, temperature <= 0.

    Example:
        >>> import torch
        >>> same = torch.ones(4, 3)
        >>> round(float(nt_xent_loss(same, same)), 4)   # log 7
        1.9459
    """
    rows, columns, own, number = _views(view1, view2, temperature, group)
    if columns is not None or is_small(number, number, tile_size):
        scale = 1 / temperature
        total = row_softmax_sum(rows, columns, own ^ 1, barred=own, scale=scale, bound=scale, tile_size=tile_size)
        return combine(total, group) / number
    negatives, partner = _negatives(rows, columns, own, temperature, tile_size)
    return softplus(negatives - partner).sum() / number


@opaque
def nt_xent_decomposition(
    view1: Tensor, view2: Tensor, *, temperature: float = 0.5, group: Group = None, tile_size: int | None = None
) -> tuple[Tensor, Tensor]:
    """NT-Xent's exact split (Chen, Luo & Li 2021): temperature * nt_xent_loss == alignment + distribution.

    alignment = -mean_i s_ip,  distribution = t · mean_i log sum_{k != i} exp(s_ik/t),  s = cosine similarity.

    Args:
        view1, view2, temperature, group, tile_size: as for ``nt_xent_loss``.

    Returns:
        (alignment, distribution), two scalars; alignment lies in [-1, 1].

    Raises:
        LossInputError: as ``nt_xent_loss``.

    Example:
        >>> import torch
        >>> a, b = torch.eye(2), torch.eye(2)
        >>> [round(float(part), 4) for part in nt_xent_decomposition(a, b, temperature=1.0)]   # log(e + 2)
        [-1.0, 1.5514]
    """
    rows, columns, own, number = _views(view1, view2, temperature, group)
    negatives, partner = _negatives(rows, columns, own, temperature, tile_size)
    pull = temperature * combine(partner.sum(), group) / number
    return -pull, pull + temperature * combine(softplus(negatives - partner).sum(), group) / number


@opaque
def decoupled_contrastive_loss(
    view1: Tensor,
    view2: Tensor,
    *,
    temperature: float = 0.1,
    sigma: float | None = None,
    group: Group = None,
    tile_size: int | None = None,
) -> Tensor:
    """Decoupled contrastive loss: NT-Xent without the positive in the denominator (DCL, Yeh et al. 2022).

    The mean over all 2N rows of  -w_i s_ip/t + log sum_{k not i, p} exp(s_ik/t),  s = cosine similarity. DCL has w = 1;
    with ``sigma`` it is DCLW: w_i = 2 - exp(s_ip/sigma) / mean_j exp(s_jp/sigma), gradients through w too.
    Identical embeddings give log(2N - 2). May be negative.

    Args:
        view1, view2: (N, D) float, N >= 2; row i of both is the same image. Need not be normalised.
        temperature: > 0; divides the similarity.
        sigma: > 0, width of the weights (the paper has 0.5); None: no weights.
        group, tile_size: as for ``nt_xent_loss``.

    Returns:
        The loss, a scalar.

    Raises:
        LossInputError: shapes differ, N < 2, a value is not finite, temperature or sigma <= 0.

    Example:
        >>> import torch
        >>> same = torch.ones(4, 3)
        >>> round(float(decoupled_contrastive_loss(same, same)), 4)   # log 6
        1.7918
    """
    rows, columns, own, number = _views(view1, view2, temperature, group, min_pairs=2)
    negatives, partner = _negatives(rows, columns, own, temperature, tile_size)
    weight: Tensor | float = 1.0
    if sigma is not None:
        check_positive("sigma", sigma)
        # relative to the largest possible exponent: a ratio does not notice, and nothing overflows
        closeness = torch.exp((partner * temperature - 1) / sigma)
        weight = 2 - closeness * number / all_sum(closeness.sum(), group)
    return combine((negatives - weight * partner).sum(), group) / number


class NTXentLoss(LossModule, function=nt_xent_loss):
    """``nt_xent_loss`` as a module."""


class DecoupledContrastiveLoss(LossModule, function=decoupled_contrastive_loss):
    """``decoupled_contrastive_loss`` as a module."""
