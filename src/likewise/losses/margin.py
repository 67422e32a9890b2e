"""Margin loss: positives within beta - margin of the anchor, negatives beyond beta + margin, beta fixed or learned.

The loss that distance weighted sampling was made for: with ``tuples=`` of that miner it is the paper's whole method.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from likewise.errors import LossInputError
from likewise.losses._batch import LabelledBatch, Memory
from likewise.losses._checks import check_choice, check_not_negative, may_look
from likewise.losses._gather import Group, combine
from likewise.losses._hinges import hinge_sum
from likewise.losses._module import LossModule
from likewise.losses._opaque import opaque
from likewise.losses._tuples import Tuples, check_pairs, measure_pairs


@opaque
def margin_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    margin: float = 0.2,
    beta: float | Tensor = 1.2,
    regularization: float = 0.0,
    reduction: str = "nonzero",
    tuples: Tuples = None,
    group: Group = None,
    memory: Memory = None,
    tile_size: int | None = None,
) -> Tensor:
    """Margin based loss (Wu et al. 2017), Euclidean, embeddings as given.

    With D the distance of anchor i and another sample: positives max(0, margin + D - beta_i), negatives
    max(0, margin + beta_i - D), over all ordered pairs or over ``tuples``; plus regularization times the mean of beta_i
    over the rows. beta_i is one number, or that of the anchor's class. The paper's embeddings have length 1: normalise
    first. At D = 0 the gradient by the embeddings is taken as 0. Identical embeddings give margin + beta per negative
    pair.

    Args:
        embeddings: (N, D) float.
        labels: (N,) integer class numbers.
        margin: >= 0, a distance (the paper's α, 0.2).
        beta: a distance, the boundary between positives and negatives: a number, a tensor of one element, or (C,) one
            per class; a tensor may be learned.
        regularization: >= 0 (the paper's ν).
        reduction: ``nonzero`` divides the sum by the number of pairs whose loss is not 0 (as the authors do), ``mean``
            by the number of pairs, ``sum`` by 1.
        tuples: triplets or pairs from a miner instead of all ordered pairs; a triplet is two pairs, each as given.
        group: process group whose ranks hold the rest of the batch; None: this process alone.
        memory: ((M, D), (M,)) embeddings and labels that are further columns, without gradient.
        tile_size: side of a tile; None: chosen by size.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes or dtypes do not fit, a value is not finite, margin or regularization < 0, a label without
            a beta, an unknown word, tuples outside of the batch.

    Example:
        >>> import torch
        >>> x = torch.tensor([[0.0], [1.5], [1.0]])   # one positive pair at 1.5, negative pairs at 1 and 0.5
        >>> y = torch.tensor([0, 0, 1])
        >>> round(float(margin_loss(x, y, reduction="sum")), 4)   # twice 0.5 + 0.4 + 0.9
        3.6
    """
    check_not_negative("margin", margin)
    check_not_negative("regularization", regularization)
    check_choice("reduction", reduction, ("nonzero", "mean", "sum"))
    batch = LabelledBatch(embeddings, labels, normalize=False, group=group, memory=memory, tile_size=tile_size)
    per_row = _beta_of_rows(beta, batch)
    if tuples is None:
        total, active = hinge_sum(
            batch, metric="euclidean", slope=torch.ones_like(per_row), near=per_row - margin, far=per_row + margin
        )
        positives, negatives = batch.counts()
        pairs = (positives + negatives).sum()
    else:
        given = check_pairs(tuples, batch)
        near = measure_pairs(batch, given.anchors, given.positives, "euclidean")
        far = measure_pairs(batch, given.negative_anchors, given.negatives, "euclidean")
        values = torch.cat(
            [
                torch.relu(margin + near - per_row[given.anchors]),
                torch.relu(margin + per_row[given.negative_anchors] - far),
            ]
        )
        total, active = values.sum(), (values > 0).sum().to(values.dtype)
        pairs = active.new_tensor(float(len(values)))
    loss = combine(total, group)
    if reduction != "sum":
        loss = loss / combine(active if reduction == "nonzero" else pairs, group).clamp_min(1)
    return loss + regularization * batch.mean(per_row) if regularization else loss


def _beta_of_rows(beta: float | Tensor, batch: LabelledBatch) -> Tensor:
    rows = batch.rows
    if not isinstance(beta, Tensor):
        return rows.new_full((len(rows),), float(beta))
    beta = beta.to(rows).reshape(-1)
    if len(beta) == 1:
        return beta.expand(len(rows))
    labels = batch.labels
    if may_look(labels) and len(labels) and not (int(labels.min()) >= 0 and int(labels.max()) < len(beta)):
        raise LossInputError(
            f"labels range from {int(labels.min())} to {int(labels.max())} with a beta for {len(beta)} classes.",
            expected=f"Expected class numbers 0 to {len(beta) - 1}.",
            advice="Make the loss with num_classes equal to the data's.",
        )
    return beta[labels]


class MarginLoss(LossModule, function=margin_loss):
    """``margin_loss`` as a module, which owns beta as a parameter where it is learned.

    Args:
        learn_beta: train ``beta`` from its start value.
        num_classes: one learned beta per class; None: one for all.
        **options: the keyword arguments of ``margin_loss``.

    Example:
        >>> from likewise.losses import MarginLoss
        >>> [tuple(p.shape) for p in MarginLoss(learn_beta=True, num_classes=5, beta=1.0).parameters()]
        [(5,)]
    """

    def __init__(self, *, learn_beta: bool = False, num_classes: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        if num_classes is not None and not learn_beta:
            raise LossInputError(
                f"num_classes is {num_classes} and beta is not learned.",
                expected="Expected learn_beta=True with num_classes.",
                advice="Pass a tensor of shape (C,) as beta for fixed numbers that differ by class.",
            )
        start = torch.as_tensor(self.options["beta"], dtype=torch.get_default_dtype()).reshape(-1)
        self.learned = nn.Parameter(start.expand(num_classes or len(start)).clone()) if learn_beta else None

    def forward(self, *tensors: Tensor, **options: Any) -> Tensor:
        """The loss of embeddings and labels."""
        own = {} if self.learned is None else {"beta": self.learned}
        return super().forward(*tensors, **{**own, **options})
