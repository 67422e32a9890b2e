"""Triplet loss with the three ways of choosing triplets, all exact, none of them cubic.

``hard`` streams over tiles without gradient to find each anchor's farthest positive and nearest negative, then computes
the loss on those N triplets. ``all`` sums over every triplet without forming one: with an anchor's negative distances
sorted, a positive meets a prefix of them, so counts and prefix sums do (O(N² log N), where N³ triplets exist).
``semihard`` finds, in the same sorted row, the first negative beyond each positive.
"""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.losses._batch import LabelledBatch, Memory
from likewise.losses._checks import check_choice, check_not_negative
from likewise.losses._extremes import farthest_positives, nearest_negatives
from likewise.losses._gather import Group, combine
from likewise.losses._module import LossModule
from likewise.losses._opaque import opaque
from likewise.losses._strips import euclidean, squared_distances, strip_sum
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
    return _sorted(batch, margin, distance, mining, tile_size)


def _given(batch: LabelledBatch, margin: float, distance: str, tuples: Triplets) -> Tensor:
    metric = "dot" if distance == "cosine" else distance
    near = measure_pairs(batch, tuples.anchors, tuples.positives, metric)
    far = measure_pairs(batch, tuples.anchors, tuples.negatives, metric)
    gap = far - near if metric == "dot" else near - far
    return batch.mean(torch.relu(gap + margin))


def _hard(batch: LabelledBatch, margin: float, distance: str, use: Tensor) -> Tensor:
    columns = batch.all_columns
    far = columns[farthest_positives(batch)]
    near = columns[nearest_negatives(batch)]
    if distance == "euclidean":
        gap = torch.linalg.vector_norm(batch.rows - far, dim=1) - torch.linalg.vector_norm(batch.rows - near, dim=1)
    elif distance == "squared":
        gap = (batch.rows - far).pow(2).sum(dim=1) - (batch.rows - near).pow(2).sum(dim=1)
    else:
        gap = torch.linalg.vecdot(batch.rows, near) - torch.linalg.vecdot(batch.rows, far)
    return batch.mean(torch.relu(gap + margin), use)


def _sorted(batch: LabelledBatch, margin: float, distance: str, mining: str, tile_size: int | None) -> Tensor:
    labels, order = batch.layout.col_labels, batch.layout.col_order
    columns = batch.all_columns if order is None else batch.all_columns[order]
    ids = torch.arange(len(labels), device=labels.device) if order is None else order
    first = torch.searchsorted(labels, batch.labels)
    same = torch.searchsorted(labels, batch.labels, right=True) - first
    widest = int(same.max()) if len(same) else 1
    reach = torch.arange(widest, device=labels.device)
    own = batch.own_columns()
    shift = columns.detach().mean(dim=0) if distance != "cosine" else None

    def strip(part: slice, x_BD: Tensor, y_MD: Tensor) -> Tensor:
        if shift is None:
            d_BM = 1 - x_BD @ y_MD.T
        else:
            d_BM = squared_distances(x_BD - shift, y_MD - shift)
            d_BM = euclidean(d_BM) if distance == "euclidean" else d_BM
        place_BP = first[part, None] + reach
        usable_BP = reach < same[part, None]
        place_BP = place_BP.clamp_max(len(labels) - 1)
        usable_BP = usable_BP & (ids[place_BP] != own[part, None])
        positive_BP = d_BM.gather(1, place_BP)
        negative_BM, _ = d_BM.masked_fill(labels == batch.labels[part, None], torch.inf).sort(dim=1)
        number_B1 = len(labels) - same[part, None]
        if mining == "all":
            meets_BP = torch.searchsorted(negative_BM.detach(), (positive_BP + margin).detach().contiguous())
            meets_BP = torch.minimum(meets_BP, number_B1)
            prefix = torch.where(negative_BM.isinf(), 0, negative_BM).double().cumsum(dim=1).to(d_BM.dtype)
            prefix = torch.where(meets_BP > 0, prefix.gather(1, (meets_BP - 1).clamp_min(0)), 0)
            values = meets_BP * (positive_BP + margin) - prefix
        else:
            beyond_BP = torch.searchsorted(negative_BM.detach(), positive_BP.detach().contiguous(), right=True)
            pick_BP = torch.minimum(beyond_BP, number_B1 - 1).clamp_min(0)
            usable_BP = usable_BP & (number_B1 > 0)
            chosen_BP = torch.where(usable_BP, negative_BM.gather(1, pick_BP), 0)
            values = torch.relu(positive_BP - chosen_BP + margin)
        return torch.where(usable_BP, values, 0).sum()

    total = strip_sum(strip, batch.rows, columns, columns=len(labels), tile_size=tile_size)
    positives, negatives = batch.counts()
    number = positives * negatives if mining == "all" else positives * (negatives > 0)
    return combine(total, batch.group) / combine(number.sum(), batch.group).clamp_min(1)


class TripletLoss(LossModule, function=triplet_loss):
    """``triplet_loss`` as a module."""
