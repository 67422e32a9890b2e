"""Images against texts: CLIP's symmetric softmax, with several positives by id, and SigLIP's sigmoid.

CLIP reads each similarity twice, as a row (image to texts) and as a column (text to images): one tile feeds both. The
temperature may be a learned tensor; it then takes part through the embeddings, which are divided by it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from likewise.errors import LossInputError
from likewise.losses._checks import check_embeddings, check_labels, check_positive, check_same_shape, may_look
from likewise.losses._classes import Classes, class_dots
from likewise.losses._gather import Group, combine, gather, total_rows
from likewise.losses._layout import Layout
from likewise.losses._module import LossModule
from likewise.losses._opaque import opaque
from likewise.losses._row_softmax import row_softmax_sum
from likewise.losses._rules import pair_logsumexp, pair_sum, softplus
from likewise.losses._space import row_dots
from likewise.losses._unit import unit
from likewise.losses._whole import is_small, pairs_of

Scalar = float | Tensor


def _unit_pair(image: Tensor, text: Tensor, group: Group) -> tuple[Tensor, Tensor]:
    least = 1 if group is None else 0
    a = check_embeddings("image", image, min_rows=least, values=False)
    b = check_embeddings("text", text, min_rows=least, values=False)
    check_same_shape("image", a, "text", b)
    return unit(a, "image"), unit(b, "text")


def _bound(temperature: Scalar) -> float | None:
    if not isinstance(temperature, Tensor):
        return 1 / temperature
    return 1.001 / float(temperature.detach()) if temperature.device.type == "cpu" else None


@opaque
def clip_loss(
    image: Tensor,
    text: Tensor,
    *,
    temperature: Scalar = 0.07,
    positives: Tensor | None = None,
    group: Group = None,
    tile_size: int | None = None,
) -> Tensor:
    """CLIP's symmetric cross-entropy (Radford et al. 2021, fig. 3), with several positives by id.

    ½ mean_i -log( exp(s_ii) / sum_j exp(s_ij) )  +  ½ mean_i -log( exp(s_ii) / sum_j exp(s_ji) ),  s = cosine / t.
    With ``positives`` row i of image and text has id i; all pairs of equal id are positives, and each direction is the
    mean over the positives of its -log (UniCL, Yang et al. 2022). Identical embeddings give log N; one pair 0.

    Args:
        image, text: (N, D) float; row i of both belongs together. Need not be normalised.
        temperature: > 0; divides the similarity; a float, or a tensor with one element to be learned.
        positives: (N,) integer ids, equal id = positive; None: only row i with row i.
        group: process group whose ranks hold the rest of the batch; None: this process alone.
        tile_size: side of a tile; None: chosen by size.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes differ, N < 1, a value is not finite, temperature <= 0.

    Example:
        >>> import torch
        >>> round(float(clip_loss(torch.ones(4, 3), torch.ones(4, 3))), 4)   # log 4
        1.3863
    """
    check_positive("temperature", temperature)
    a, b = _unit_pair(image, text, group)
    ids = None if positives is None else check_labels(positives, len(a), name="positives")
    bound = _bound(temperature)
    # a learned temperature takes part through the embeddings; a number is the engine's scale and costs nothing
    rows, scale = (a / temperature, 1.0) if isinstance(temperature, Tensor) else (a, 1 / temperature)
    how: dict[str, Any] = {"scale": scale, "bound": bound, "tile_size": tile_size}
    total = total_rows(len(a), group, a.device)
    if group is None:
        both = _both(rows, b, **how) if ids is None else _by_id(rows, b, ids, ids, **how, both=True)
        return 0.5 * both / total
    all_a, start = gather(rows, group)
    all_b, _ = gather(b, group)
    if ids is None:
        own = torch.arange(start, start + len(a), device=a.device)
        to_text = row_softmax_sum(rows, all_b, own, **how)
        to_image = row_softmax_sum(b, all_a, own, **how)
    else:
        every = gather(ids, group)[0]
        to_text = _by_id(rows, all_b, ids, every, **how)
        to_image = _by_id(b, all_a, ids, every, **how)
    return 0.5 * combine(to_text + to_image, group) / total


def _both(rows: Tensor, columns: Tensor, *, scale: float, bound: float | None, tile_size: int | None) -> Tensor:
    """Row i and column i: the sum of -log of both softmaxes at them, each tile read as rows and as columns."""
    if is_small(len(rows), len(columns), tile_size):
        own = torch.arange(len(rows), device=rows.device)
        return row_softmax_sum(rows, columns, own, scale=scale) + row_softmax_sum(columns, rows, own, scale=scale)
    labels = torch.arange(len(rows), device=rows.device)
    layout = Layout(labels, labels, tile_size=tile_size, ascending=True)
    push_rows, push_cols = pair_logsumexp(rows, columns, layout, over="negative", scale=scale, bound=bound, both=True)
    partner = row_dots(rows, columns) * scale
    return softplus(push_rows - partner).sum() + softplus(push_cols - partner).sum()


def _by_id(
    rows: Tensor,
    columns: Tensor,
    row_ids: Tensor,
    col_ids: Tensor,
    *,
    scale: float,
    bound: float | None,
    tile_size: int | None,
    both: bool = False,
) -> Tensor:
    """Rows against columns, and with ``both`` columns against rows: sums over rows of the mean over positives."""
    layout = pairs_of(row_ids, col_ids, tile_size=tile_size)
    push, push_cols = pair_logsumexp(rows, columns, layout, over="negative", scale=scale, bound=bound, both=both)
    pull, pull_cols = pair_logsumexp(rows, columns, layout, over="positive", scale=scale, bound=bound, both=both)
    total = _several(rows, columns, row_ids, col_ids, pull, push, scale)
    return total + _several(columns, rows, col_ids, row_ids, pull_cols, push_cols, scale) if both else total


def _several(
    rows: Tensor, columns: Tensor, row_labels: Tensor, col_labels: Tensor, pull: Tensor, push: Tensor, scale: float
) -> Tensor:
    """Sum over rows of the mean over positives of -log softmax: (P - mean s) + softplus(Q - P)."""
    layout = Layout(row_labels, col_labels)
    ordered = layout.col_labels
    count = torch.searchsorted(ordered, row_labels, right=True) - torch.searchsorted(ordered, row_labels)
    mean = class_dots(rows, columns, Classes(layout, row_labels)) * scale / count
    pull = torch.where(count == 1, mean, pull)
    total: Tensor = ((pull - mean) + softplus(push - pull)).sum()
    return total


@opaque
def sigmoid_loss(
    image: Tensor,
    text: Tensor,
    *,
    temperature: Scalar,
    bias: Scalar,
    positives: Tensor | None = None,
    group: Group = None,
    tile_size: int | None = None,
) -> Tensor:
    """Sigmoid loss for language-image pre-training (SigLIP, Zhai et al. 2023).

    -1/N sum_i sum_j log sigmoid( z_ij (cos_ij/t + b) ),  z = 1 for i = j, else -1. The paper multiplies by t' =
    1/t, which starts at 10, with b at -10. The sum over N² pairs is divided by N, as in the paper. With ``positives`` z = 1
    for all pairs of equal id. Identical embeddings give softplus(-(1/t + b)) + (N - 1) softplus(1/t + b).

    Args:
        image, text: (N, D) float; row i of both belongs together. Need not be normalised.
        temperature: > 0; divides the similarity; a float, or a tensor with one element to be learned.
        bias: a float, or a tensor with one element to be learned.
        positives: (N,) integer ids, equal id = positive; None: only row i with row i.
        group: process group whose ranks hold the rest of the batch; None: this process alone.
        tile_size: side of a tile; None: chosen by size.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes differ, N < 1, a value is not finite, temperature <= 0.

    Example:
        >>> import torch
        >>> one = torch.ones(1, 3)
        >>> round(float(sigmoid_loss(one, one, temperature=0.1, bias=-10.0)), 4)   # log 2
        0.6931
    """
    check_positive("temperature", temperature)
    a, b = _unit_pair(image, text, group)
    ids = None if positives is None else check_labels(positives, len(a), name="positives")
    shift = torch.as_tensor(bias, device=a.device)
    if shift.numel() != 1 or (may_look(shift) and not bool(torch.isfinite(shift).all())):
        raise LossInputError(
            f"bias is {bias}.", expected="Expected one finite number.", advice="SigLIP starts it at -10."
        )
    rows = a / temperature
    shift = shift.to(a.dtype).reshape(1, 1)
    own = softplus(-(row_dots(rows, b) + shift[0])).sum() if ids is None else None
    columns, start = gather(b, group)
    # the bias is one more coordinate: the engine then needs no rule of its own for it, and its gradient comes along
    rows = torch.cat([rows, shift.expand(len(a), 1)], dim=1)
    columns = torch.cat([columns, columns.new_ones(len(columns), 1)], dim=1)
    every = torch.arange(len(columns), device=a.device) if ids is None else gather(ids, group)[0]
    layout = pairs_of(every[start : start + len(a)], every, tile_size=tile_size)
    negatives = pair_sum(rows, columns, layout, over="negative", metric="dot", value=softplus, slope=torch.sigmoid)
    if own is None:
        own = pair_sum(rows, columns, layout, over="positive", metric="dot", value=_pull, slope=_pull_slope)
    return combine(own + negatives, group) / total_rows(len(a), group, a.device)


def _pull(scores: Tensor) -> Tensor:
    """-log sigmoid: what a positive pair costs."""
    return softplus(-scores)


def _pull_slope(scores: Tensor) -> Tensor:
    return -torch.sigmoid(-scores)


class CLIPLoss(LossModule, function=clip_loss):
    """``clip_loss`` as a module. For a learned temperature pass the parameter to the function."""


class SigmoidLoss(LossModule, function=sigmoid_loss):
    """``sigmoid_loss`` as a module. For a learned temperature and bias pass the parameters to the function."""
