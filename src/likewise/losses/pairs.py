"""Losses over pairs of rows: pull the same class together, push different classes to at least a margin.

The oldest objective of the field (Hadsell et al. 2006) and the one with most formulas under one name.
``contrastive_loss`` takes a labelled batch and all its N(N-1)/2 pairs, ``siamese_loss`` takes the pairs as given.

All pairs at 8,192 × 128 cost one and a half matrix products: pairs of the same class are a sum around the class mean
(n_c times the squared distance to it), and the tiles of the others add their gradient in the pass that computes them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.errors import LossInputError
from likewise.losses._batch import LabelledBatch, Memory
from likewise.losses._checks import (
    check_choice,
    check_embeddings,
    check_positive,
    check_same_shape,
    may_look,
)
from likewise.losses._gather import Group, combine, total_rows
from likewise.losses._module import LossModule
from likewise.losses._opaque import opaque
from likewise.losses._rules import pair_sum, squared_hinge_sum
from likewise.losses._tuples import Pairs, Tuples, check_pairs, measure_pairs


@opaque
def contrastive_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    margin: float = 1.0,
    form: str = "squared",
    reduction: str = "sum",
    tuples: Tuples = None,
    group: Group = None,
    memory: Memory = None,
    tile_size: int | None = None,
) -> Tensor:
    """Contrastive loss over all pairs i < j of a labelled batch, embeddings as given (never normalised).

    With D the Euclidean distance of the pair and m the margin:

    - ``squared``: same class D², different classes max(0, m - D²)
    - ``hadsell``: same class ½ D², different classes ½ max(0, m - D)²  (Hadsell, Chopra & LeCun 2006)

    One row has no pair: the loss is 0. Identical embeddings give m (squared) or ½ m² (hadsell) per different pair; at
    D = 0 the gradient of a different pair is taken as 0. D² of different classes is |x|² + |y|² - 2 x·y about the
    batch's mean, with an absolute error near 1e-7 (|x|² + |y|²) in float32.

    Args:
        embeddings: (N, D) float.
        labels: (N,) integer class numbers.
        margin: > 0; a squared distance for ``squared``, a distance for ``hadsell``.
        form: ``squared`` or ``hadsell``.
        reduction: ``sum`` over the pairs, or ``mean``: divided by their number.
        tuples: pairs (or triplets) from a miner instead of all pairs; each counts once as given, so that (i, j) and
            (j, i) are two.
        group: process group whose ranks hold the rest of the batch; None: this process alone.
        memory: ((M, D), (M,)) embeddings and labels without gradient: each row is also paired with each of them.
        tile_size: side of a tile; None: chosen by size.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes or dtypes do not fit, a value is not finite, margin <= 0, an unknown word, tuples
            outside of the batch.

    Example:
        >>> import torch
        >>> x = torch.tensor([[0.0, 0.0], [0.6, 0.0], [0.0, 0.8]])
        >>> round(float(contrastive_loss(x, torch.tensor([0, 0, 1]))), 4)   # 0.36 + (1 - 0.64) + 0
        0.72
    """
    check_choice("form", form, ("squared", "hadsell"))
    check_choice("reduction", reduction, ("sum", "mean"))
    check_positive("margin", margin)
    if tuples is not None:
        batch = LabelledBatch(embeddings, labels, normalize=False, group=group, memory=memory)
        return _given(batch, check_pairs(tuples, batch), form, margin, reduction)
    batch = LabelledBatch(embeddings, labels, normalize=False, group=group, tile_size=tile_size)
    x, count = batch.rows, len(batch.all_columns)
    # distances do not notice a shift, and around the mean fewer digits are lost
    center = batch.all_columns.detach().mean(dim=0) if count else 0
    total = ((batch.counts()[0] + 1) * batch.squared_to_means()).sum()
    columns = None if batch.columns is None else batch.columns - center
    x = x - center
    push = 0.5 * _push(x, columns, batch, form, margin)
    pairs = 0.5 * count * (count - 1)
    if memory is not None:
        kept = LabelledBatch(
            embeddings, labels, normalize=False, memory=memory, tile_size=tile_size, min_rows=0, only_memory=True
        )
        other = kept.all_columns - center
        total = total + pair_sum(x, other, kept.pairs, over="positive", metric="squared", value=_same, slope=_one)
        push = push + _push(x, other, kept, form, margin)
        pairs += count * len(other)
    total = combine(total if form == "squared" else 0.5 * total, group) + combine(push, group)
    return total / max(pairs, 1) if reduction == "mean" else total


def _given(batch: LabelledBatch, pairs: Pairs, form: str, margin: float, reduction: str) -> Tensor:
    pull = measure_pairs(batch, pairs.anchors, pairs.positives, "squared")
    if form == "squared":
        push = torch.relu(margin - measure_pairs(batch, pairs.negative_anchors, pairs.negatives, "squared"))
    else:
        distance = measure_pairs(batch, pairs.negative_anchors, pairs.negatives, "euclidean")
        pull, push = 0.5 * pull, 0.5 * torch.relu(margin - distance).pow(2)
    total = combine(pull.sum() + push.sum(), batch.group)
    if reduction == "sum":
        return total
    return total / combine(pull.new_tensor(float(len(pull) + len(push))), batch.group).clamp_min(1)


def _same(squared: Tensor) -> Tensor:
    return squared.clone()


def _one(squared: Tensor) -> Tensor:
    return torch.ones_like(squared)


def _push(x: Tensor, columns: Tensor | None, batch: LabelledBatch, form: str, margin: float) -> Tensor:
    """Sum over ordered pairs of different classes."""

    def hadsell(distance: Tensor) -> Tensor:
        return (margin - distance).clamp_min_(0).square_().mul_(0.5)

    def hadsell_slope(distance: Tensor) -> Tensor:
        # by the squared distance: -(m - D) / (2 D)
        return torch.where(distance > 0, (distance - margin).clamp_max_(0) / (2 * distance), 0)

    if form == "squared":
        return squared_hinge_sum(x, columns, batch.pairs, margin)
    return pair_sum(x, columns, batch.pairs, over="negative", metric="euclidean", value=hadsell, slope=hadsell_slope)


def siamese_loss(
    first: Tensor,
    second: Tensor,
    different: Tensor,
    *,
    margin: float = 2.5,
    half: bool = False,
    reduction: str = "mean",
    group: Group = None,
) -> Tensor:
    """Contrastive loss on given pairs: same D², different max(0, m - D)², embeddings as given.

    With D the Euclidean distance of row i of ``first`` and row i of ``second``; ``half=True`` multiplies both by ½,
    which is the loss of Hadsell, Chopra & LeCun 2006. At D = 0 the gradient of a different pair is taken as 0.

    Args:
        first, second: (N, D) float; row i of both is pair i.
        different: (N,) float, bool or integer: 0 same class, 1 different classes.
        margin: > 0, a distance.
        half: multiply by ½.
        reduction: ``mean`` over the pairs, or ``sum``.
        group: process group whose ranks hold the rest of the pairs; None: this process alone.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes or dtypes do not fit, a value is not finite or not in [0, 1], margin <= 0.

    Example:
        >>> import torch
        >>> a, b = torch.zeros(2, 2), torch.tensor([[3.0, 4.0], [0.0, 0.5]])
        >>> float(siamese_loss(a, b, torch.tensor([0, 1])))   # (25 + (2.5 - 0.5)²) / 2
        14.5
    """
    check_choice("reduction", reduction, ("sum", "mean"))
    check_positive("margin", margin)
    least = 1 if group is None else 0
    a = check_embeddings("first", first, min_rows=least)
    b = check_embeddings("second", second, min_rows=least)
    check_same_shape("first", a, "second", b)
    if not isinstance(different, Tensor) or different.shape != (a.shape[0],):
        raise LossInputError(
            f"different has shape {tuple(getattr(different, 'shape', ()))} for {a.shape[0]} pair(s).",
            expected=f"Expected ({a.shape[0]},): 0 same class, 1 different classes.",
            advice="Pass one number per pair.",
        )
    push = different.to(a.dtype)
    if may_look(push) and not bool(((push >= 0) & (push <= 1)).all()):
        raise LossInputError(
            f"different holds values from {float(push.detach().min())} to {float(push.detach().max())}.",
            expected="Expected 0 for the same class and 1 for different classes.",
            advice="Pass (labels_a != labels_b).float(), not the labels themselves.",
        )
    gap = a - b
    distance = torch.linalg.vector_norm(gap, dim=1)
    pairs = (1 - push) * gap.pow(2).sum(dim=1) + push * torch.relu(margin - distance).pow(2)
    total = combine(pairs.sum(), group)
    if reduction == "mean":
        total = total / total_rows(len(a), group, a.device)
    return 0.5 * total if half else total


class ContrastiveLoss(LossModule, function=contrastive_loss):
    """``contrastive_loss`` as a module."""


class SiameseLoss(LossModule, function=siamese_loss):
    """``siamese_loss`` as a module."""
