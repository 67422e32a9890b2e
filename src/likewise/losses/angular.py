"""Angular loss: the angle at the negative of the triangle (anchor, positive, negative) must stay below alpha.

Both forms take each positive pair to all its negatives, strip by strip: N rows in classes of K cost N · K products of a
vector with all columns. Given triplets cost themselves.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from likewise.errors import LossInputError
from likewise.losses._batch import LabelledBatch, Memory
from likewise.losses._checks import check_choice
from likewise.losses._gather import Group, combine
from likewise.losses._module import LossModule
from likewise.losses._opaque import opaque
from likewise.losses._pair_strips import PairStrip, PositivePairs
from likewise.losses._rules import softplus
from likewise.losses._strips import squared_distances
from likewise.losses._tuples import Triplets, Tuples, check_triplets, measure, measure_pairs


@opaque
def angular_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    alpha: float = 45.0,
    form: str = "n_pair",
    tuples: Tuples = None,
    group: Group = None,
    memory: Memory = None,
    tile_size: int | None = None,
) -> Tensor:
    """Angular loss (Wang et al. 2017) of embeddings at length 1, with T = tan² alpha:

    - ``n_pair``: the mean over ordered positive pairs (a, p) of
      log(1 + sum_n exp(4 T (a + p)·n - 2 (1 + T) a·p)), n over all negatives: the paper's loss for batches, of which its
      batches with one pair per class are a case
    - ``triplet``: the mean over all triplets, or ``tuples``, of max(0, ||a - p||² - 4 T ||n - (a + p)/2||²)

    ``n_pair`` is the smooth bound of ``triplet`` without the constant of unit vectors, as in the paper. The paper's sum
    with the N-pair loss is ``WeightedSum``. One class gives 0; identical embeddings give log(1 + N- exp(6 T - 2)) in
    ``n_pair`` and 0 in ``triplet``.

    Args:
        embeddings: (N, D) float. Need not be normalised.
        labels: (N,) integer class numbers.
        alpha: degrees, above 0 and below 90 (the paper finds 36 to 55 to work well).
        form: ``n_pair`` or ``triplet``.
        tuples: triplets from a miner instead of all; ``form="triplet"`` only.
        group: process group whose ranks hold the rest of the batch; None: this process alone.
        memory: ((M, D), (M,)) embeddings and labels that are further columns, without gradient.
        tile_size: pairs of a strip; None: chosen by size.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes or dtypes do not fit, a value is not finite, alpha out of range, an unknown word, tuples
            with ``n_pair`` or outside of the batch, no positive pair.

    Example:
        >>> import torch
        >>> x, y = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0, 1])
        >>> round(float(angular_loss(x, y)), 4)   # T = 1: log(1 + exp(0 - 4))
        0.0181
    """
    if not 0 < alpha < 90:
        raise LossInputError(
            f"alpha is {alpha}.",
            expected="Expected degrees above 0 and below 90.",
            advice="The paper finds 36 to 55 to work well.",
        )
    check_choice("form", form, ("n_pair", "triplet"))
    batch = LabelledBatch(embeddings, labels, normalize=True, group=group, memory=memory, tile_size=tile_size)
    tangent = math.tan(math.radians(alpha)) ** 2
    if tuples is not None:
        if form != "triplet":
            raise LossInputError(
                f"tuples were given with form {form!r}.",
                expected="Expected form='triplet': the other form takes all negatives of a pair.",
                advice="Pass form='triplet', or no tuples.",
            )
        return _given(batch, tangent, check_triplets(tuples, batch))
    positives, negatives = batch.counts()
    batch.require_positives(positives)
    pairs = PositivePairs(batch)

    def n_pair(strip: PairStrip) -> Tensor:
        own = torch.linalg.vecdot(strip.anchors, strip.positives)
        sums_BM = 4 * tangent * (strip.anchors + strip.positives) @ strip.columns.T
        # a number that exp takes to 0, not -inf, whose slope would be none
        push = sums_BM.masked_fill(strip.same, torch.finfo(own.dtype).min / 8).logsumexp(dim=1)
        return softplus(push - 2 * (1 + tangent) * own).sum()

    def triplet(strip: PairStrip) -> Tensor:
        apart = (strip.anchors - strip.positives).pow(2).sum(dim=1, keepdim=True)
        far_BM = squared_distances((strip.anchors + strip.positives) / 2, strip.columns)
        return torch.where(strip.same, 0, torch.relu(apart - 4 * tangent * far_BM)).sum()

    total = pairs.sum(n_pair if form == "n_pair" else triplet, tile_size)
    number = positives if form == "n_pair" else positives * negatives
    return combine(total, group) / combine(number.sum(), group).clamp_min(1)


def _given(batch: LabelledBatch, tangent: float, triplets: Triplets) -> Tensor:
    anchors, positives, negatives = triplets
    columns = batch.all_columns
    apart = measure_pairs(batch, anchors, positives, "squared")
    # the median of a triangle from its sides
    from_anchor = measure_pairs(batch, anchors, negatives, "squared")
    from_positive = measure(columns, None, positives, negatives, metric="squared")
    median = 0.5 * (from_anchor + from_positive) - 0.25 * apart
    return batch.mean(torch.relu(apart - 4 * tangent * median))


class AngularLoss(LossModule, function=angular_loss):
    """``angular_loss`` as a module."""
