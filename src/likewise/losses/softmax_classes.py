"""Classification losses on the sphere: a softmax over cosines with one learned vector per class, with and without
margin.

All compute cos t_c between an embedding and each class vector, change the one of the own class, multiply by a scale and
take the cross-entropy. N × C, no pairs within the batch. The margin: none (normalised softmax), on the cosine
(CosFace), added to the angle (ArcFace, and with several vectors per class sub-centre ArcFace), multiplying the
angle (SphereFace).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from likewise.errors import LossInputError
from likewise.losses._checks import check_not_negative, check_positive
from likewise.losses._gather import Group
from likewise.losses._proxies import ProxyModule, check_proxies, cosines, mean_cross_entropy, own, with_own


def normalized_softmax_loss(
    embeddings: Tensor, labels: Tensor, proxies: Tensor, *, temperature: float = 0.05, group: Group = None
) -> Tensor:
    """Normalised softmax (Wang et al. 2017, NormFace; Zhai & Wu 2019): cross-entropy of cosines / temperature.

    mean_i -log( exp(cos t_iy/T) / sum_c exp(cos t_ic/T) ). Identical vectors everywhere give log C.

    Args:
        embeddings: (N, D) float. Need not be normalised.
        labels: (N,) integers in 0 … C - 1.
        proxies: (C, D) float, one vector per class; the module owns them.
        temperature: > 0; divides the cosine.
        group: process group whose ranks hold the rest of the batch; None: this process alone.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes or dtypes do not fit, a label has no proxy, a value is not finite, temperature <= 0.

    Example:
        >>> import torch
        >>> round(float(normalized_softmax_loss(torch.ones(2, 3), torch.tensor([0, 1]), torch.ones(4, 3))), 4)   # log 4
        1.3863
    """
    check_positive("temperature", temperature)
    x, y, p = check_proxies(embeddings, labels, proxies, group)
    return mean_cross_entropy(cosines(x, p) / temperature, y, group)


def cosface_loss(
    embeddings: Tensor,
    labels: Tensor,
    proxies: Tensor,
    *,
    margin: float = 0.35,
    scale: float = 64.0,
    group: Group = None,
) -> Tensor:
    """CosFace, also AM-softmax (Wang et al. 2018): cross-entropy of s (cos t_c - m [c = y]).

    Args:
        embeddings: (N, D) float. Need not be normalised.
        labels: (N,) integers in 0 … C - 1.
        proxies: (C, D) float, one vector per class; the module owns them.
        margin: >= 0, taken from the cosine.
        scale: > 0.
        group: process group whose ranks hold the rest of the batch; None: this process alone.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes or dtypes do not fit, a label has no proxy, a value is not finite, margin < 0, scale
        <= 0.

    Example:
        >>> import torch
        >>> x, y = torch.eye(2), torch.tensor([0, 1])
        >>> round(float(cosface_loss(x, y, torch.eye(2), margin=0.5, scale=1.0)), 4)   # log(1 + exp(0 - 0.5))
        0.4741
    """
    check_not_negative("margin", margin)
    check_positive("scale", scale)
    x, y, p = check_proxies(embeddings, labels, proxies, group)
    cos_NC = cosines(x, p)
    return mean_cross_entropy(scale * with_own(cos_NC, y, own(cos_NC, y) - margin), y, group)


def arcface_loss(
    embeddings: Tensor,
    labels: Tensor,
    proxies: Tensor,
    *,
    margin: float = 0.5,
    scale: float = 64.0,
    group: Group = None,
) -> Tensor:
    """ArcFace (Deng et al. 2019): cross-entropy of s cos(t_y + m) for the own class and s cos t_c for the
    others.

    Where t_y + m exceeds pi, cos would rise again; as in the authors' code the own logit is then
    s (cos t_y - m sin(pi - m)), which goes on falling.

    Args:
        embeddings: (N, D) float. Need not be normalised.
        labels: (N,) integers in 0 … C - 1.
        proxies: (C, D) float, one vector per class; the module owns them.
        margin: radians, 0 to pi.
        scale: > 0.
        group: process group whose ranks hold the rest of the batch; None: this process alone.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes or dtypes do not fit, a label has no proxy, a value is not finite, margin not in 0 … pi,
            scale <= 0.

    Example:
        >>> import torch
        >>> x, y = torch.eye(2), torch.tensor([0, 1])
        >>> round(float(arcface_loss(x, y, torch.eye(2), margin=torch.pi / 3, scale=1.0)), 4)   # log(1 + exp(-½))
        0.4741
    """
    _check_angle(margin, scale)
    x, y, p = check_proxies(embeddings, labels, proxies, group)
    cos_NC = cosines(x, p)
    return mean_cross_entropy(scale * with_own(cos_NC, y, _add_angle(own(cos_NC, y), margin)), y, group)


def _check_angle(margin: float, scale: float) -> None:
    check_positive("scale", scale)
    if not 0 <= margin <= math.pi:
        raise LossInputError(
            f"margin is {margin}.", expected="Expected radians from 0 to pi.", advice="The paper has 0.5, 28.6 degrees."
        )


def _add_angle(cos: Tensor, margin: float) -> Tensor:
    sine_squared = (1 - cos.pow(2)).clamp_min(0)
    bent = sine_squared > 1e-12  # the sine has an infinite slope where the angle is 0
    sine = torch.where(bent, torch.where(bent, sine_squared, 1).sqrt(), 0)
    turned = cos * math.cos(margin) - sine * math.sin(margin)
    return torch.where(cos > math.cos(math.pi - margin), turned, cos - margin * math.sin(math.pi - margin))


def subcenter_arcface_loss(
    embeddings: Tensor,
    labels: Tensor,
    proxies: Tensor,
    *,
    centers: int = 3,
    margin: float = 0.5,
    scale: float = 64.0,
    group: Group = None,
) -> Tensor:
    """Sub-centre ArcFace (Deng et al. 2020): each class has K vectors and counts with the nearest of them.

    Args:
        embeddings: (N, D) float. Need not be normalised.
        labels: (N,) integers in 0 … C - 1.
        proxies: (C · K, D) float, the K vectors of class 0 first; the module owns them.
        centers: K >= 1.
        margin, scale, group: as for ``arcface_loss``.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: as ``arcface_loss``, and proxies not a multiple of K.

    Example:
        >>> import torch
        >>> x, y = torch.eye(2), torch.tensor([0, 1])
        >>> twice = torch.eye(2).repeat_interleave(2, dim=0)
        >>> bool(subcenter_arcface_loss(x, y, twice, centers=2) == arcface_loss(x, y, torch.eye(2)))
        True
    """
    _check_angle(margin, scale)
    x, y, p = check_proxies(embeddings, labels, proxies, group, centers)
    cos_NC = cosines(x, p).unflatten(1, (-1, centers)).amax(dim=2)
    return mean_cross_entropy(scale * with_own(cos_NC, y, _add_angle(own(cos_NC, y), margin)), y, group)


def sphereface_loss(
    embeddings: Tensor, labels: Tensor, proxies: Tensor, *, margin: int = 4, group: Group = None
) -> Tensor:
    """SphereFace, A-softmax (Liu et al. 2017): the own angle times m, made to fall on all of 0 … pi.

    Logits ||x|| cos t_c, and for the own class ||x|| psi(t_y), psi(t) = (-1)^k cos(m t) - 2k for t in [k pi/m,
    (k+1) pi/m]. Class vectors at length 1, embeddings at their own length; without the annealing of the authors'
    training.

    Args:
        embeddings: (N, D) float, as given.
        labels: (N,) integers in 0 … C - 1.
        proxies: (C, D) float, one vector per class; the module owns them.
        margin: integer >= 1, the m.
        group: process group whose ranks hold the rest of the batch; None: this process alone.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes or dtypes do not fit, a label has no proxy, a value is not finite, margin < 1.

    Example:
        >>> import torch
        >>> x, y = torch.eye(2), torch.tensor([0, 1])
        >>> round(float(sphereface_loss(x, y, torch.eye(2))), 4)   # log(1 + exp(-1))
        0.3133
    """
    if int(margin) != margin or margin < 1:
        raise LossInputError(
            f"margin is {margin}.", expected="Expected a whole number, 1 or above.", advice="The paper has 4."
        )
    x, y, p = check_proxies(embeddings, labels, proxies, group)
    cos_NC = cosines(x, p)
    length = torch.linalg.vector_norm(x, dim=1)
    cos = own(cos_NC, y)
    # the Chebyshev polynomial gives cos(m t) from cos t without an inverse cosine, whose slope is infinite at the ends
    before, multiple = torch.ones_like(cos), cos
    for _ in range(int(margin) - 1):
        before, multiple = multiple, 2 * cos * multiple - before
    k = torch.floor(margin * torch.acos(cos.detach().clamp(-1, 1)) / math.pi).clamp_max(margin - 1)
    psi = (1 - 2 * (k % 2)) * multiple - 2 * k
    return mean_cross_entropy(length[:, None] * with_own(cos_NC, y, psi), y, group)


class NormalizedSoftmaxLoss(ProxyModule, function=normalized_softmax_loss):
    """``normalized_softmax_loss`` as a module that owns its class vectors."""


class CosFaceLoss(ProxyModule, function=cosface_loss):
    """``cosface_loss`` as a module that owns its class vectors."""


class ArcFaceLoss(ProxyModule, function=arcface_loss):
    """``arcface_loss`` as a module that owns its class vectors."""


class SubcenterArcFaceLoss(ProxyModule, function=subcenter_arcface_loss):
    """``subcenter_arcface_loss`` as a module that owns its class vectors."""


class SphereFaceLoss(ProxyModule, function=sphereface_loss):
    """``sphereface_loss`` as a module that owns its class vectors."""
