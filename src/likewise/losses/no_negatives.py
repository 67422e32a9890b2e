"""Two views without negatives: decorrelation (VICReg, Barlow Twins) and prediction (BYOL and SimSiam, SwAV, DINO).

Nothing here is N × N. What couples a batch is a mean, a variance or a D × D covariance; over ranks these are sums
of sums.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from likewise.errors import LossInputError
from likewise.losses._checks import check_embeddings, check_not_negative, check_positive, check_same_shape
from likewise.losses._gather import Group, all_max, all_sum, combine, total_rows
from likewise.losses._module import LossModule
from likewise.losses._opaque import full_precision
from likewise.losses._unit import unit


def _two(name1: str, one: Tensor, name2: str, two: Tensor, group: Group, least: int) -> tuple[Tensor, Tensor, int]:
    a = check_embeddings(name1, one, min_rows=least if group is None else 0)
    b = check_embeddings(name2, two, min_rows=least if group is None else 0)
    check_same_shape(name1, a, name2, b)
    return a, b, total_rows(len(a), group, a.device)


def _center(x: Tensor, rows: int, group: Group) -> Tensor:
    return x - all_sum(x.sum(dim=0), group) / rows


def _off_diagonal(square: Tensor) -> Tensor:
    return square.pow(2).sum() - square.diagonal().pow(2).sum()


def vicreg_loss(
    view1: Tensor,
    view2: Tensor,
    *,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
    group: Group = None,
) -> Tensor:
    """Variance-invariance-covariance regularisation (VICReg, Bardes et al. 2022), embeddings as given.

    invariance · mean (u - v)²  +  variance · ½ sum over views of mean_d max(0, 1 - sqrt(Var_d + 1e-4))
    +  covariance · sum over views of 1/D sum_{d != e} C_de²,  Var and C with N - 1. As the authors' code: the first
    mean is over all N · D entries and the variance term has the ½. Identical embeddings give 0.99 · variance.

    Args:
        view1, view2: (N, D) float, N >= 2; row i of both is the same image.
        invariance, variance, covariance: >= 0, the weights.
        group: process group whose ranks hold the rest of the batch; None: this process alone.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes differ, N < 2, a value is not finite, a weight < 0.

    Example:
        >>> import torch
        >>> round(float(vicreg_loss(torch.ones(4, 3), torch.ones(4, 3))), 2)
        24.75
    """
    for name, weight in (("invariance", invariance), ("variance", variance), ("covariance", covariance)):
        check_not_negative(name, weight)
    a, b, rows = _two("view1", view1, "view2", view2, group, 2)
    width = a.shape[1]
    total = invariance * all_sum((a - b).pow(2).sum(), group) / (rows * width)
    for x in (a, b):
        z = _center(x, rows, group)
        spread = all_sum(z.pow(2).sum(dim=0), group) / (rows - 1)
        total = total + 0.5 * variance * torch.relu(1 - (spread + 1e-4).sqrt()).mean()
        with full_precision(z):
            products = z.T @ z
        total = total + covariance * _off_diagonal(all_sum(products, group) / (rows - 1)) / width
    return total


def barlow_twins_loss(
    view1: Tensor, view2: Tensor, *, redundancy: float = 0.005, epsilon: float = 1e-5, group: Group = None
) -> Tensor:
    """Barlow Twins (Zbontar et al. 2021): the cross-correlation of two views should be the identity.

    sum_d (1 - C_dd)²  +  redundancy · sum_{d != e} C_de²,  C = corr over the batch with each dimension standardised by
    (x - mean) / sqrt(var + epsilon), var with N, as batch normalisation has it. Identical rows give D.

    Args:
        view1, view2: (N, D) float, N >= 2; row i of both is the same image.
        redundancy: >= 0, the paper's lambda.
        epsilon: > 0.
        group: process group whose ranks hold the rest of the batch; None: this process alone.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes differ, N < 2, a value is not finite, redundancy < 0, epsilon <= 0.

    Example:
        >>> import torch
        >>> float(barlow_twins_loss(torch.ones(4, 3), torch.ones(4, 3)))
        3.0
    """
    check_not_negative("redundancy", redundancy)
    check_positive("epsilon", epsilon)
    a, b, rows = _two("view1", view1, "view2", view2, group, 2)
    u, v = (_standardize(x, rows, epsilon, group) for x in (a, b))
    with full_precision(u):
        products = u.T @ v
    c = all_sum(products, group) / rows
    return (1 - c.diagonal()).pow(2).sum() + redundancy * _off_diagonal(c)


def _standardize(x: Tensor, rows: int, epsilon: float, group: Group) -> Tensor:
    z = _center(x, rows, group)
    return z / (all_sum(z.pow(2).sum(dim=0), group) / rows + epsilon).sqrt()


def negative_cosine_loss(prediction: Tensor, target: Tensor, *, group: Group = None) -> Tensor:
    """Negative cosine similarity with a target that gets no gradient (SimSiam, Chen & He 2021).

    -mean_i cos(p_i, z_i). BYOL's loss (Grill et al. 2020) is 2 + 2 times it. Add both directions yourself:
    ½ L(p1, z2) + ½ L(p2, z1). Identical embeddings give -1; a row of zeros counts 0.

    Args:
        prediction: (N, D) float, the predictor's output.
        target: (N, D) float, the other view's embedding; detached here.
        group: process group whose ranks hold the rest of the batch; None: this process alone.

    Returns:
        The loss, a scalar in [-1, 1].

    Raises:
        LossInputError: shapes differ, N < 1, a value is not finite.

    Example:
        >>> import torch
        >>> float(negative_cosine_loss(torch.eye(3), 2 * torch.eye(3)))
        -1.0
    """
    p, z, rows = _two("prediction", prediction, "target", target, group, 1)
    return -combine((unit(p) * unit(z.detach())).sum(), group) / rows


def sinkhorn(scores: Tensor, *, epsilon: float = 0.05, iterations: int = 3, group: Group = None) -> Tensor:
    """Soft assignments of rows to K prototypes with equal shares (SwAV, Caron et al. 2020).

    Q = exp(scores / epsilon), scaled in turn so that each prototype gets N/K of the rows and each row sums to 1. In
    logarithms, so that no epsilon overflows. No gradient.

    Args:
        scores: (N, K) float, cosine of each row with each prototype.
        epsilon: > 0; smaller is sharper.
        iterations: >= 1.
        group: process group whose ranks hold the rest of the batch; None: this process alone.

    Returns:
        (N, K), rows sum to 1.

    Raises:
        LossInputError: a wrong shape or dtype, a value is not finite, epsilon <= 0, iterations < 1.

    Example:
        >>> import torch
        >>> sinkhorn(torch.eye(2), epsilon=0.01).round().tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    check_positive("epsilon", epsilon)
    if iterations < 1:
        raise LossInputError(f"iterations is {iterations}.", expected="Expected at least 1.", advice="SwAV takes 3.")
    q = check_embeddings("scores", scores.detach(), min_rows=1 if group is None else 0) / epsilon
    rows, prototypes = total_rows(len(q), group, q.device), q.shape[1]
    for _ in range(iterations):
        top = all_max(q, group)
        mass = all_sum((q - top).exp().sum(dim=0), group).log() + top
        q = q - mass + math.log(rows / prototypes)
        q = q - torch.logsumexp(q, dim=1, keepdim=True)
    return q.exp()


def swav_loss(
    scores1: Tensor,
    scores2: Tensor,
    *,
    temperature: float = 0.1,
    epsilon: float = 0.05,
    iterations: int = 3,
    group: Group = None,
) -> Tensor:
    """Swapped prediction between two views (SwAV, Caron et al. 2020).

    ½ mean_i [ -sum_k q2_ik log softmax(scores1_i/t)_k  -  sum_k q1_ik log softmax(scores2_i/t)_k ],  q =
    ``sinkhorn`` of the scores, without gradient. The paper sums the two views; this is their mean.

    Args:
        scores1, scores2: (N, K) float, cosine of each row of a view with each prototype.
        temperature: > 0; divides the scores.
        epsilon, iterations: of ``sinkhorn``.
        group: process group whose ranks hold the rest of the batch; None: this process alone.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes differ, N < 1, a value is not finite, temperature or epsilon <= 0.

    Example:
        >>> import torch
        >>> round(float(swav_loss(torch.zeros(4, 8), torch.zeros(4, 8))), 4)   # log 8
        2.0794
    """
    check_positive("temperature", temperature)
    a, b, rows = _two("scores1", scores1, "scores2", scores2, group, 1)
    total = torch.zeros((), dtype=a.dtype, device=a.device)
    for scores, other in ((a, b), (b, a)):
        code = sinkhorn(other, epsilon=epsilon, iterations=iterations, group=group)
        total = total - (code * torch.log_softmax(scores / temperature, dim=1)).sum()
    return 0.5 * combine(total, group) / rows


def dino_loss(
    student: Tensor,
    teacher: Tensor,
    center: Tensor,
    *,
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.04,
    group: Group = None,
) -> Tensor:
    """Cross-entropy of a student with a centred, sharpened teacher (DINO, Caron et al. 2021, algorithm 1).

    mean_i -sum_k softmax((teacher_i - center)/t_t)_k log softmax(student_i/t_s)_k,  no gradient to teacher or
    center. The center's moving average belongs to the training step. For multi-crop add the pairs of views yourself.

    Args:
        student, teacher: (N, K) float, outputs of the two heads for two views of the same images.
        center: (K,) float, running mean of the teacher's outputs.
        student_temperature, teacher_temperature: > 0.
        group: process group whose ranks hold the rest of the batch; None: this process alone.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes differ, N < 1, a value is not finite, a temperature <= 0.

    Example:
        >>> import torch
        >>> round(float(dino_loss(torch.zeros(4, 8), torch.zeros(4, 8), torch.zeros(8))), 4)   # log 8
        2.0794
    """
    check_positive("student_temperature", student_temperature)
    check_positive("teacher_temperature", teacher_temperature)
    s, t, rows = _two("student", student, "teacher", teacher, group, 1)
    if not isinstance(center, Tensor) or center.shape != (s.shape[1],):
        raise LossInputError(
            f"center has shape {tuple(getattr(center, 'shape', ()))}.",
            expected=f"Expected ({s.shape[1]},): one number per output.",
            advice="Start it as zeros and let it follow the mean of the teacher's outputs.",
        )
    target = torch.softmax((t.detach() - center.detach()) / teacher_temperature, dim=1)
    return -combine((target * torch.log_softmax(s / student_temperature, dim=1)).sum(), group) / rows


class VICRegLoss(LossModule, function=vicreg_loss):
    """``vicreg_loss`` as a module."""


class BarlowTwinsLoss(LossModule, function=barlow_twins_loss):
    """``barlow_twins_loss`` as a module."""


class NegativeCosineLoss(LossModule, function=negative_cosine_loss):
    """``negative_cosine_loss`` as a module."""


class SwAVLoss(LossModule, function=swav_loss):
    """``swav_loss`` as a module."""


class DINOLoss(LossModule, function=dino_loss):
    """``dino_loss`` as a module."""
