"""Three numbers that say what an embedding space looks like, without a classifier.

Alignment: how close the two members of a positive pair are. Uniformity: how evenly all points cover the sphere.
Effective rank: how many dimensions are in use. A collapsed space has perfect alignment, the worst uniformity (0) and
rank 1.
Alignment and uniformity can be trained on; the effective rank is differentiable too, but meant to be looked at.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from likewise.losses._checks import check_embeddings, check_positive, check_same_shape, sum_dtype
from likewise.losses._gather import Group, combine, gather, total_rows
from likewise.losses._module import LossModule
from likewise.losses._opaque import opaque
from likewise.losses._rules import pair_logsumexp
from likewise.losses._whole import pairs_of


def alignment(view1: Tensor, view2: Tensor, *, alpha: float = 2, group: Group = None) -> Tensor:
    """Mean distance of positive pairs to the power alpha (the L_align of Wang & Isola 2020), embeddings as given.

    mean_i ||u_i - v_i||^alpha. The paper has unit vectors; here nothing is normalised, so normalise first for its
    numbers (then it lies in [0, 4] for alpha = 2). Identical views give 0.

    Args:
        view1, view2: (N, D) float; row i of both is one positive pair.
        alpha: > 0.
        group: process group whose ranks hold the rest of the pairs; None: this process alone.

    Returns:
        A scalar; smaller is closer.

    Raises:
        LossInputError: shapes or dtypes do not fit, a value is not finite, alpha <= 0.

    Example:
        >>> import torch
        >>> float(alignment(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])))
        2.0
    """
    check_positive("alpha", alpha)
    least = 1 if group is None else 0
    u, v = check_embeddings("view1", view1, min_rows=least), check_embeddings("view2", view2, min_rows=least)
    check_same_shape("view1", u, "view2", v)
    gap = u - v
    if alpha == 2:
        return combine(gap.pow(2).sum(), group) / total_rows(len(u), group, u.device)
    distance = torch.linalg.vector_norm(gap, dim=1)
    # a power below 1 has an infinite slope at 0; a pair that lies together is left where it is
    apart = distance > 0
    total = torch.where(apart, torch.where(apart, distance, 1).pow(alpha), 0).sum()
    return combine(total, group) / total_rows(len(u), group, u.device)


@opaque
def uniformity(embeddings: Tensor, *, t: float = 2, group: Group = None, tile_size: int | None = None) -> Tensor:
    """Logarithm of the mean Gaussian potential over all pairs i < j (the L_uniform of Wang & Isola 2020), embeddings as given.

    log mean_{i<j} exp(-t ||x_i - x_j||²). The paper has unit vectors; here nothing is normalised, so normalise first
    for its numbers (then it lies in [-4t, 0]). Identical embeddings give 0, the worst.

    Args:
        embeddings: (N, D) float, N >= 2.
        t: > 0.
        group: process group whose ranks hold the rest of the batch; None: this process alone.
        tile_size: side of a tile; None: chosen by size.

    Returns:
        A scalar; smaller is more even.

    Raises:
        LossInputError: fewer than two rows, a wrong shape or dtype, a value that is not finite, t <= 0.

    Example:
        >>> import torch
        >>> round(float(uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))), 6)   # one pair at distance 2
        -8.0
    """
    check_positive("t", t)
    x = check_embeddings("embeddings", embeddings, min_rows=2 if group is None else 0)
    columns, start = gather(x, group)
    center = columns.detach().mean(dim=0)
    every = torch.arange(len(columns), device=x.device)
    mine = every[start : start + len(x)]
    layout = pairs_of(mine, None if group is None else every, tile_size=tile_size)
    other = None if group is None else columns - center
    per_row, _ = pair_logsumexp(x - center, other, layout, over="negative", metric="squared", scale=-t)
    every_row, _ = gather(per_row, group)
    return torch.logsumexp(every_row, dim=0) - math.log(len(columns) * (len(columns) - 1))


def effective_rank(embeddings: Tensor) -> Tensor:
    """Exponential of the entropy of the singular values (Roy & Vetterli 2007; RankMe, Garrido et al. 2023).

    exp(-sum_k p_k log p_k),  p_k = sigma_k / sum_j sigma_j,  0 log 0 = 0, of the matrix as given (not centred). RankMe
    adds 1e-7 to each p_k, which changes the value by less than 1e-5 · D. Between 1 and min(N, D); zeros give 0.
    Computed in float64, on the host where the device has none (Metal): O(N D²).

    Args:
        embeddings: (N, D) float.

    Returns:
        A float64 scalar.

    Raises:
        LossInputError: a wrong shape or dtype, or a value that is not finite.

    Example:
        >>> import torch
        >>> round(float(effective_rank(torch.eye(5))), 6), round(float(effective_rank(torch.ones(5, 3))), 6)
        (5.0, 1.0)
    """
    x = check_embeddings("embeddings", embeddings)
    sigma = torch.linalg.svdvals((x if sum_dtype(x.device) == torch.float64 else x.cpu()).double())
    total = sigma.sum()
    p = sigma / torch.where(total > 0, total, 1)
    entropy = -torch.special.xlogy(p, p).sum()
    return torch.where(total > 0, entropy.exp(), 0)


class Alignment(LossModule, function=alignment):
    """``alignment`` as a module."""


class Uniformity(LossModule, function=uniformity):
    """``uniformity`` as a module."""
