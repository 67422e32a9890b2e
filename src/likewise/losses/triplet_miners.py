"""Miners that choose triplets: all, hard, semi-hard, easy positive, distance weighted.

Each takes (embeddings, labels), looks at them without gradient, by tiles or strips, and returns the indices that a triplet
loss takes as ``tuples=``. All ranks together find what one process would (``group=``). How many there are is read from
the device once per strip. Where a loss can choose by itself it is faster: ``triplet_loss(mining=...)`` makes no triplets.
"""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.errors import LossInputError
from likewise.losses._batch import LabelledBatch, Memory
from likewise.losses._checks import check_choice, check_positive, sum_dtype
from likewise.losses._extremes import hardest
from likewise.losses._gather import Group
from likewise.losses._mining import Search, without_gradient
from likewise.losses._opaque import opaque
from likewise.losses._tuples import Triplets

_DISTANCES = ("euclidean", "squared", "cosine")


@opaque
def all_triplets(
    embeddings: Tensor,
    labels: Tensor,
    *,
    limit: int = 10_000_000,
    group: Group = None,
    memory: Memory = None,
    tile_size: int | None = None,
) -> Triplets:
    """Every triplet of an anchor, one of its class and one of another class. The embeddings are not looked at.

    N rows with P positives each have N · P · (N - P) triplets, 24 bytes each. ``triplet_loss(mining="all")`` sums over
    them without making them.

    Args:
        embeddings: (N, D) float.
        labels: (N,) integer class numbers.
        limit: the most triplets this rank may make.
        group: process group whose ranks hold the rest of the batch; None: this process alone.
        memory: ((M, D), (M,)) embeddings and labels that may be positives and negatives too.
        tile_size: rows of a strip; None: chosen by size.

    Returns:
        The triplets, by anchor.

    Raises:
        LossInputError: shapes or dtypes do not fit, or more triplets than ``limit``.

    Example:
        >>> import torch
        >>> [t.tolist() for t in all_triplets(torch.zeros(3, 2), torch.tensor([0, 0, 1]))]
        [[0, 1], [1, 0], [2, 2]]
    """
    search = Search(embeddings, labels, unit=False, group=group, memory=memory)
    positives, negatives = search.batch.counts()
    number = int((positives.long() * negatives.long()).sum())
    if number > limit:
        raise LossInputError(
            f"The batch has {number:,} triplets.",
            expected=f"Expected at most limit = {limit:,}.",
            advice="Use triplet_loss(mining='all'), which makes none, a miner that chooses, or a smaller batch.",
        )
    found = []
    for strip in search.strips(tile_size):
        row, near = (strip.same & ~strip.self_).nonzero(as_tuple=True)
        pair, far = (~strip.same)[row].nonzero(as_tuple=True)
        found.append((strip.rows[row[pair]], near[pair], far))
    return search.triplets(found)


@opaque
def hard_triplets(
    embeddings: Tensor,
    labels: Tensor,
    *,
    distance: str = "euclidean",
    group: Group = None,
    memory: Memory = None,
    tile_size: int | None = None,
) -> Triplets:
    """Each anchor with its farthest positive and its nearest negative ("batch hard", Hermans et al. 2017).

    Args:
        embeddings: (N, D) float.
        labels: (N,) integer class numbers.
        distance: ``euclidean`` and ``squared`` (the same order) of the embeddings as given, or ``cosine``.
        group: process group whose ranks hold the rest of the batch; None: this process alone.
        memory: ((M, D), (M,)) embeddings and labels that may be positives and negatives too.
        tile_size: side of a tile; None: chosen by size.

    Returns:
        At most one triplet per row: rows without a positive or without a negative have none.

    Raises:
        LossInputError: shapes or dtypes do not fit, a value is not finite, an unknown word.

    Example:
        >>> import torch
        >>> x = torch.tensor([[0.0], [1.0], [3.0], [5.0]])
        >>> [t.tolist() for t in hard_triplets(x, torch.tensor([0, 0, 0, 1]))]
        [[0, 1, 2], [2, 2, 0], [3, 3, 3]]
    """
    check_choice("distance", distance, _DISTANCES)
    batch = LabelledBatch(
        without_gradient(embeddings),
        labels,
        normalize=distance == "cosine",
        group=group,
        memory=memory,
        tile_size=tile_size,
    )
    positives, negatives = batch.counts()
    anchors = ((positives > 0) & (negatives > 0)).nonzero().squeeze(1)
    far, near = hardest(batch)
    return Triplets(anchors, far[anchors], near[anchors])


@opaque
def easy_positive_triplets(
    embeddings: Tensor,
    labels: Tensor,
    *,
    negatives: str = "semihard",
    distance: str = "cosine",
    group: Group = None,
    memory: Memory = None,
    tile_size: int | None = None,
) -> Triplets:
    """Each anchor with its nearest positive and one negative (easy positive mining, Xuan et al. 2020).

    The negative is the nearest that is farther than the positive (``semihard``, the paper's EPSHN; an anchor without one
    has no triplet), or the nearest of all (``hard``, EPHN).

    Args:
        embeddings: (N, D) float.
        labels: (N,) integer class numbers.
        negatives: ``semihard`` or ``hard``.
        distance, group, memory: as for ``hard_triplets``; the paper's embeddings have length 1 (``cosine``).
        tile_size: rows of a strip; None: chosen by size.

    Returns:
        At most one triplet per row.

    Raises:
        LossInputError: shapes or dtypes do not fit, a value is not finite, an unknown word.

    Example:
        >>> import torch
        >>> x = torch.tensor([[0.0], [1.0], [3.0], [0.5], [2.5]])
        >>> y = torch.tensor([0, 0, 0, 1, 2])
        >>> [t.tolist() for t in easy_positive_triplets(x, y, distance="euclidean")]
        [[0, 1, 2], [1, 0, 1], [4, 4, 3]]
    """
    check_choice("negatives", negatives, ("semihard", "hard"))
    check_choice("distance", distance, _DISTANCES)
    search = Search(embeddings, labels, unit=distance == "cosine", group=group, memory=memory)
    found = []
    for strip in search.strips(tile_size):
        pull, near = strip.squared.masked_fill(~strip.same | strip.self_, torch.inf).min(dim=1)
        barred = strip.same if negatives == "hard" else strip.same | (strip.squared <= pull[:, None])
        push, other = strip.squared.masked_fill(barred, torch.inf).min(dim=1)
        use = torch.isfinite(pull) & torch.isfinite(push)
        found.append((strip.rows[use], near[use], other[use]))
    return search.triplets(found)


@opaque
def semihard_triplets(
    embeddings: Tensor,
    labels: Tensor,
    *,
    distance: str = "euclidean",
    group: Group = None,
    memory: Memory = None,
    tile_size: int | None = None,
) -> Triplets:
    """Each (anchor, positive) pair with the nearest negative that is farther than the positive (Schroff et al. 2015).

    Where no negative is farther, the farthest one, as TensorFlow has it: the triplets of
    ``triplet_loss(mining="semihard")``.

    Args:
        embeddings: (N, D) float.
        labels: (N,) integer class numbers.
        distance, group, memory: as for ``hard_triplets``.
        tile_size: rows of a strip; None: chosen by size.

    Returns:
        One triplet per (anchor, positive) pair, by anchor.

    Raises:
        LossInputError: shapes or dtypes do not fit, a value is not finite, an unknown word.

    Example:
        >>> import torch
        >>> x = torch.tensor([[0.0], [1.0], [1.5], [4.0]])
        >>> [t.tolist() for t in semihard_triplets(x, torch.tensor([0, 0, 1, 1]))]
        [[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1]]
    """
    check_choice("distance", distance, _DISTANCES)
    search = Search(embeddings, labels, unit=distance == "cosine", group=group, memory=memory)
    found = []
    for strip in search.strips(tile_size):
        apart, order = strip.squared.masked_fill(strip.same, torch.inf).sort(dim=1)
        number = (~strip.same).sum(dim=1)
        row, near = (strip.same & ~strip.self_ & (number > 0)[:, None]).nonzero(as_tuple=True)
        grid, place = _by_row(row, strip.squared[row, near], len(strip.rows))
        beyond = torch.searchsorted(apart, grid, right=True)[row, place]
        pick = torch.minimum(beyond, number[row] - 1)
        found.append((strip.rows[row], near, order[row, pick]))
    return search.triplets(found)


def _by_row(row: Tensor, values: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Values of a sorted list of rows as a (rows, most of one row) grid, and the place of each in its row."""
    place = torch.arange(len(row), device=row.device) - torch.searchsorted(row, row)
    grid = values.new_zeros(rows, int(place.max()) + 1 if len(place) else 1)
    grid[row, place] = values
    return grid, place


@opaque
def distance_weighted_triplets(
    embeddings: Tensor,
    labels: Tensor,
    *,
    cutoff: float = 0.5,
    reach: float = 1.4,
    generator: torch.Generator | None = None,
    group: Group = None,
    memory: Memory = None,
    tile_size: int | None = None,
) -> Triplets:
    """Each (anchor, positive) pair with a negative drawn by its distance (distance weighted sampling, Wu et al. 2017).

    Points spread evenly over the unit sphere of D dimensions lie at distance d with density
    q(d) ~ d^(D-2) (1 - d²/4)^((D-3)/2), so a random negative nearly always lies at √2. Negatives are drawn with
    probability ~ 1/q(max(d, cutoff)), d between embeddings at length 1; those at ``reach`` or beyond are not drawn (the
    authors' code: their loss is 0). An anchor with no negative within reach draws among all of them.

    Args:
        embeddings: (N, D) float. Need not be normalised.
        labels: (N,) integer class numbers.
        cutoff: > 0; negatives nearer than this count as if they were there, which bounds the variance (the paper's λ).
        reach: > 0, a distance; 2 draws from all.
        generator: where the draws come from; None: torch's default one. With ``group``, a generator in the same state
            on every rank gives what one process draws.
        group, memory: as for ``hard_triplets``.
        tile_size: rows of a strip; None: chosen by size.

    Returns:
        One triplet per (anchor, positive) pair with a negative, by anchor.

    Raises:
        LossInputError: shapes or dtypes do not fit, a value is not finite, cutoff or reach <= 0.

    Example:
        >>> import torch
        >>> x = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.6, 0.8], [-1.0, 0.0]])   # the last is out of reach
        >>> triplets = distance_weighted_triplets(x, torch.tensor([0, 0, 1, 2]))
        >>> [t.tolist() for t in triplets]
        [[0, 1], [1, 0], [2, 2]]
    """
    check_positive("cutoff", cutoff)
    check_positive("reach", reach)
    search = Search(embeddings, labels, unit=True, group=group, memory=memory)
    width, widest = search.rows.shape[1], search.widest()
    total = len(search.order) - (0 if memory is None else len(memory[0]))
    source = search.rows.device if generator is None else generator.device
    precise = sum_dtype(search.rows.device)
    eps = torch.finfo(precise).eps
    start = int(search.batch.own_columns()[0]) if len(search.rows) else 0
    # one number per row and possible positive of all ranks, so that ranks draw what one process draws
    draws = torch.rand(total, widest, generator=generator, device=source, dtype=sum_dtype(source))
    draws = draws[start : start + len(search.rows)].to(search.rows.device, precise).clamp_max_(1 - 4 * eps)
    found = []
    for strip in search.strips(tile_size):
        squared = strip.squared.to(precise).clamp(cutoff**2, 4 - max(1e-9, 4 * eps))
        log_weight = (2 - width) / 2 * squared.log() - (width - 3) / 2 * torch.log1p(-squared / 4)
        barred = strip.same | (strip.squared >= reach**2)
        barred = torch.where(barred.all(dim=1, keepdim=True), strip.same, barred)
        log_weight.masked_fill_(barred, -torch.inf)
        top = log_weight.amax(dim=1, keepdim=True)
        use = torch.isfinite(top)
        share = torch.where(use, (log_weight - torch.where(use, top, 0)).exp(), 0).cumsum(dim=1)
        picks = torch.searchsorted(share, draws[strip.rows] * share[:, -1:], right=True)
        row, near = (strip.same & ~strip.self_ & use).nonzero(as_tuple=True)
        place = torch.arange(len(row), device=row.device) - torch.searchsorted(row, row)
        found.append((strip.rows[row], near, picks[row, place]))
    return search.triplets(found)
