"""Triplet loss with the three ways of choosing triplets, all exact, none of them cubic.

``hard`` streams over tiles without gradient to find each anchor's farthest positive and nearest negative, then computes
the loss on those N triplets. ``all`` sums over every triplet without forming one, and ``semihard`` finds the first
negative beyond each positive, both in strips of rows with sorted distances.
"""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.losses._batch import LabelledBatch, Memory
from likewise.losses._checks import check_choice, check_not_negative
from likewise.losses._extremes import hardest
from likewise.losses._gather import Group, combine
from likewise.losses._module import LossModule
from likewise.losses._opaque import opaque
from likewise.losses._triplet_rows import triplet_rows_sum
from likewise.losses._tuples import Triplets, Tuples, check_triplets, measure_pairs

_DISTANCES = ("euclidean", "squared", "cosine")


@opaque
def triplet_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    margin: float = 0.2,
    mining: str = "all",
    distance: str = "euclidean",
    tuples: Tuples = None,
    group: Group = None,
    memory: Memory = None,
    tile_size: int | None = None,
) -> Tensor:
    """Triplet loss max(0, d_ap - d_an + m) over a labelled batch (Schroff et al. 2015), by mining:

    - ``all``: the mean over every triplet (anchor, positive, negative), those at 0 included ("batch all", Hermans et
      al. 2017)
    - ``hard``: the mean over anchors of their farthest positive and nearest negative ("batch hard", Hermans et al. 2017)
    - ``semihard``: the mean over all (anchor, positive) pairs with the nearest negative that is farther than the
      positive; where there is none, the farthest negative (Schroff et al., as TensorFlow has it)

    d is ||a - b|| (``euclidean``), ||a - b||² (``squared``, as in Schroff et al.), both of the embeddings as given, or
    1 - cosine. A batch of one class has no triplet: the loss is 0. Identical embeddings give m.

    Args:
        embeddings: (N, D) float.
        labels: (N,) integer class numbers.
        margin: >= 0, in units of d.
        mining: ``all``, ``hard`` or ``semihard``.
        distance: ``euclidean``, ``squared`` or ``cosine``.
        tuples: triplets from a miner (``find_miner``), used instead of ``mining``; the mean is over them. None of them: 0.
        group: process group whose ranks hold the rest of the batch; None: this process alone.
        memory: ((M, D), (M,)) embeddings and labels that may be positives and negatives too, without gradient.
        tile_size: side of a tile (``hard``) or rows of a strip; None: chosen by size.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes or dtypes do not fit, a value is not finite, margin < 0, an unknown word, no positive
            pair in the labels, tuples outside of the batch.

    Example:
        >>> import torch
        >>> x = torch.tensor([[0.0], [1.0], [1.5]])   # anchors 0 and 1: d_ap = 1, d_an = 1.5 and 0.5
        >>> y = torch.tensor([0, 0, 1])
        >>> [round(float(triplet_loss(x, y, margin=0.2, mining=m)), 4) for m in ("all", "hard", "semihard")]
        [0.35, 0.35, 0.35]
    """
    check_choice("mining", mining, ("all", "hard", "semihard"))
    check_choice("distance", distance, _DISTANCES)
    check_not_negative("margin", margin)
    batch = LabelledBatch(
        embeddings, labels, normalize=distance == "cosine", group=group, memory=memory, tile_size=tile_size
    )
    if tuples is not None:
        return _given(batch, margin, distance, check_triplets(tuples, batch))
    positives, negatives = batch.counts()
    batch.require_positives(positives)
    if mining == "hard":
        return _hard(batch, margin, distance, (positives > 0) & (negatives > 0))
    total = triplet_rows_sum(batch, distance=distance, margin=margin, semihard=mining == "semihard")
    number = positives * (negatives if mining == "all" else negatives > 0)
    return combine(total, group) / combine(number.sum(), group).clamp_min(1)


def _given(batch: LabelledBatch, margin: float, distance: str, tuples: Triplets) -> Tensor:
    metric = "dot" if distance == "cosine" else distance
    near = measure_pairs(batch, tuples.anchors, tuples.positives, metric)
    far = measure_pairs(batch, tuples.anchors, tuples.negatives, metric)
    gap = far - near if metric == "dot" else near - far
    return batch.mean(torch.relu(gap + margin))


def _hard(batch: LabelledBatch, margin: float, distance: str, use: Tensor) -> Tensor:
    every = torch.arange(len(batch.rows), device=batch.rows.device)
    metric = "dot" if distance == "cosine" else distance
    far, near = measure_pairs(batch, every.repeat(2), torch.cat(hardest(batch)), metric).chunk(2)
    gap = near - far if metric == "dot" else far - near
    return batch.mean(torch.relu(gap + margin), use)


class TripletLoss(LossModule, function=triplet_loss):
    """``triplet_loss`` as a module."""
