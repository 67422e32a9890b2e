"""Metric learning against one learned proxy per class: Proxy-NCA and ++, Proxy-Anchor, SoftTriple.

A batch of N rows meets C proxies instead of N rows: N × C, no choice of pairs, and every class is present in every
batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.errors import LossInputError
from likewise.losses._checks import check_not_negative, check_positive
from likewise.losses._gather import Group, combine, gather, total_rows
from likewise.losses._proxies import ProxyModule, check_proxies, cosines, mean_cross_entropy, own, with_own
from likewise.losses._unit import unit


def proxy_nca_loss(
    embeddings: Tensor, labels: Tensor, proxies: Tensor, *, temperature: float = 1.0, group: Group = None
) -> Tensor:
    """Proxy-NCA (Movshovitz-Attias et al. 2017): the own proxy is not in the denominator.

    mean_i -log( exp(-||x_i - p_y||²/T) / sum_{c != y} exp(-||x_i - p_c||²/T) ),  all at length 1, T = 1 in the
    paper. May be negative. Identical vectors everywhere give log(C - 1).

    Args:
        embeddings: (N, D) float. Need not be normalised.
        labels: (N,) integers in 0 … C - 1.
        proxies: (C, D) float, C >= 2; the module owns them.
        temperature: > 0; divides the squared distance.
        group: process group whose ranks hold the rest of the batch; None: this process alone.

    Returns:
        The loss, a scalar.

    Raises:
        LossInputError: shapes or dtypes do not fit, fewer than two proxies, a label has no proxy, a value is not
        finite,
            temperature <= 0.

    Example:
        >>> import torch
        >>> round(float(proxy_nca_loss(torch.ones(2, 3), torch.tensor([0, 1]), torch.ones(4, 3))), 4)   # log 3
        1.0986
    """
    check_positive("temperature", temperature)
    x, y, p = check_proxies(embeddings, labels, proxies, group)
    if len(p) < 2:
        raise LossInputError(
            "proxies has one row.", expected="Expected at least two classes.", advice="One class has nothing to part."
        )
    # -||u - v||² = 2 cos - 2 at length 1; the 2 cancels
    logit_NC = 2 * cosines(x, p) / temperature
    mine = own(logit_NC, y)
    others = with_own(logit_NC, y, torch.full_like(mine, -torch.inf))
    return combine((torch.logsumexp(others, dim=1) - mine).sum(), group) / total_rows(len(x), group, x.device)


def proxy_nca_pp_loss(
    embeddings: Tensor, labels: Tensor, proxies: Tensor, *, temperature: float = 1 / 9, group: Group = None
) -> Tensor:
    """ProxyNCA++ (Teh et al. 2020): the own proxy in the denominator, and a low temperature.

    mean_i -log( exp(-||x_i - p_y||²/T) / sum_c exp(-||x_i - p_c||²/T) ),  all at length 1. Identical vectors give
    log C.

    Args:
        embeddings, labels, proxies, group: as for ``proxy_nca_loss``.
        temperature: > 0; divides the squared distance (the paper has 1/9).

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes or dtypes do not fit, a label has no proxy, a value is not finite, temperature <= 0.

    Example:
        >>> import torch
        >>> round(float(proxy_nca_pp_loss(torch.ones(2, 3), torch.tensor([0, 1]), torch.ones(4, 3))), 4)   # log 4
        1.3863
    """
    check_positive("temperature", temperature)
    x, y, p = check_proxies(embeddings, labels, proxies, group)
    return mean_cross_entropy(2 * cosines(x, p) / temperature, y, group)


def proxy_anchor_loss(
    embeddings: Tensor,
    labels: Tensor,
    proxies: Tensor,
    *,
    margin: float = 0.1,
    alpha: float = 32.0,
    group: Group = None,
) -> Tensor:
    """Proxy-Anchor (Kim et al. 2020): each proxy against the whole batch.

    1/|P+| sum_{p in P+} log(1 + sum_{x of p} exp(-alpha (s - m))) + 1/C sum_p log(1 + sum_{x not of p} exp(alpha (s
    + m))), s = cosine, P+ the proxies with a row in the batch.

    Args:
        embeddings: (N, D) float. Need not be normalised.
        labels: (N,) integers in 0 … C - 1.
        proxies: (C, D) float; the module owns them.
        margin: >= 0, in cosine.
        alpha: > 0.
        group: process group whose ranks hold the rest of the batch; None: this process alone.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes or dtypes do not fit, a label has no proxy, a value is not finite, margin < 0, alpha
        <= 0.

    Example:
        >>> import torch
        >>> one = torch.ones(1, 2)
        >>> round(float(proxy_anchor_loss(one, torch.tensor([0]), one, margin=0.0, alpha=1.0)), 4)   # log(1 + exp(-1))
        0.3133
    """
    check_not_negative("margin", margin)
    check_positive("alpha", alpha)
    x, y, p = check_proxies(embeddings, labels, proxies, group)
    # N × C numbers over ranks instead of N × D rows: the proxies are the same everywhere
    cos_NC, _ = gather(cosines(x, p), group)
    labels_N, _ = gather(y, group)
    own_NC = labels_N[:, None] == torch.arange(len(p), device=x.device)
    pull = torch.where(own_NC, -alpha * (cos_NC - margin), -torch.inf)
    push = torch.where(own_NC, -torch.inf, alpha * (cos_NC + margin))
    present = own_NC.any(dim=0)
    return _softplus_sum(pull) / present.sum() + _softplus_sum(push) / len(p)


def _softplus_sum(score_NC: Tensor) -> Tensor:
    """Sum over columns of log(1 + sum of exp)."""
    zero = torch.zeros_like(score_NC[:1])
    return torch.logsumexp(torch.cat([zero, score_NC]), dim=0).sum()


def soft_triple_loss(
    embeddings: Tensor,
    labels: Tensor,
    proxies: Tensor,
    *,
    centers: int = 10,
    scale: float = 20.0,
    gamma: float = 0.1,
    margin: float = 0.01,
    regularization: float = 0.2,
    group: Group = None,
) -> Tensor:
    """SoftTriple (Qian et al. 2019): K centres per class, softly chosen, and few of them kept apart.

    Cross-entropy of scale (S_c - margin [c = y]),  S_c = sum_k softmax_k(cos_ck/gamma) cos_ck,  plus
    regularization / (C K (K-1)) · sum over classes and pairs of centres k < l of ||w_k - w_l||, lengths 1.

    Args:
        embeddings: (N, D) float. Need not be normalised.
        labels: (N,) integers in 0 … C - 1.
        proxies: (C · K, D) float, the K centres of class 0 first; the module owns them.
        centers: K >= 1.
        scale: > 0, the paper's lambda.
        gamma: > 0, temperature of the choice of a centre.
        margin: >= 0, the paper's delta.
        regularization: >= 0, the paper's tau.
        group: process group whose ranks hold the rest of the batch; None: this process alone.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        LossInputError: shapes or dtypes do not fit, a label has no proxy, a value is not finite, a number out of range.

    Example:
        >>> import torch
        >>> x, y = torch.eye(2), torch.tensor([0, 1])
        >>> round(float(soft_triple_loss(x, y, torch.eye(2), centers=1, scale=1.0, margin=0.5)), 4)
        0.4741
    """
    check_not_negative("margin", margin)
    check_not_negative("regularization", regularization)
    check_positive("scale", scale)
    check_positive("gamma", gamma)
    x, y, p = check_proxies(embeddings, labels, proxies, group, centers)
    cos_NCK = cosines(x, p).unflatten(1, (-1, centers))
    logit_NC = (torch.softmax(cos_NCK / gamma, dim=2) * cos_NCK).sum(dim=2)
    loss = mean_cross_entropy(scale * with_own(logit_NC, y, own(logit_NC, y) - margin), y, group)
    if not regularization or centers == 1:
        return loss
    first, second = torch.triu_indices(centers, centers, offset=1, device=p.device)
    w_CKD = unit(p).unflatten(0, (-1, centers))
    apart = torch.linalg.vector_norm(w_CKD[:, first] - w_CKD[:, second], dim=2).sum()
    total: Tensor = loss + regularization * apart / (len(w_CKD) * centers * (centers - 1))
    return total


class ProxyNCALoss(ProxyModule, function=proxy_nca_loss):
    """``proxy_nca_loss`` as a module that owns its proxies."""


class ProxyNCAPlusPlusLoss(ProxyModule, function=proxy_nca_pp_loss):
    """``proxy_nca_pp_loss`` as a module that owns its proxies."""


class ProxyAnchorLoss(ProxyModule, function=proxy_anchor_loss):
    """``proxy_anchor_loss`` as a module that owns its proxies."""


class SoftTripleLoss(ProxyModule, function=soft_triple_loss):
    """``soft_triple_loss`` as a module that owns its proxies."""
