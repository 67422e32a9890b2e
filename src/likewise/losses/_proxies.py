"""What losses with one learned vector per class share: the checked inputs, and modules that own the vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from likewise.errors import LossInputError
from likewise.losses._checks import check_embeddings, check_labels, may_look
from likewise.losses._gather import Group, combine, total_rows
from likewise.losses._module import LossModule
from likewise.losses._opaque import full_precision
from likewise.losses._unit import unit


def check_proxies(
    embeddings: Tensor, labels: Tensor, proxies: Tensor, group: Group, centers: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings (N, D), labels (N,) below C, and proxies (C · centers, D), all checked."""
    x = check_embeddings("embeddings", embeddings, min_rows=1 if group is None else 0)
    y = check_labels(labels, len(x))
    p = check_embeddings("proxies", proxies).to(x.dtype)
    if p.shape[1] != x.shape[1]:
        raise LossInputError(
            f"proxies has width {p.shape[1]} and embeddings {x.shape[1]}.",
            expected="Expected the same width.",
            advice="Make the loss with embedding_dim equal to the model's.",
        )
    if centers < 1 or len(p) % centers:
        raise LossInputError(
            f"proxies has {len(p)} row(s) with centers = {centers}.",
            expected="Expected centers rows per class, centers >= 1.",
            advice="Make proxies of shape (classes · centers, D).",
        )
    classes = len(p) // centers
    if may_look(y) and len(y) and (int(y.min()) < 0 or int(y.max()) >= classes):
        raise LossInputError(
            f"labels range from {int(y.min())} to {int(y.max())} with {classes} classes of proxies.",
            expected=f"Expected class numbers 0 to {classes - 1}.",
            advice="Make the loss with num_classes equal to the data's.",
        )
    return x, y, p


def cosines(x: Tensor, proxies: Tensor) -> Tensor:
    """(N, C) cosine of every row with every proxy."""
    with full_precision(x):
        product: Tensor = unit(x) @ unit(proxies).T
        return product


def own(values_NC: Tensor, labels: Tensor) -> Tensor:
    """(N,) the entry of each row's own class."""
    return values_NC.gather(1, labels[:, None]).squeeze(1)


def with_own(values_NC: Tensor, labels: Tensor, replaced: Tensor) -> Tensor:
    """The same matrix with each row's own class replaced."""
    return values_NC.scatter(1, labels[:, None], replaced[:, None])


def mean_cross_entropy(logits_NC: Tensor, labels: Tensor, group: Group) -> Tensor:
    """Mean over the rows of all ranks of -log softmax at the own class."""
    total = nn.functional.cross_entropy(logits_NC, labels, reduction="sum")
    return combine(total, group) / total_rows(len(labels), group, labels.device)


class ProxyModule(LossModule):
    """A loss that owns its proxies as the parameter ``proxies``, (num_classes, embedding_dim).

    Args:
        num_classes: C.
        embedding_dim: D.
        **options: the keyword arguments of the loss function.
    """

    per_class = 1

    def __init__(self, num_classes: int, embedding_dim: int, **options: Any) -> None:
        super().__init__(**options)
        shape = (num_classes, embedding_dim)
        centers = self.options.get("centers")
        self.proxies = nn.Parameter(torch.randn(shape if centers is None else (num_classes * centers, embedding_dim)))

    def forward(self, *tensors: Tensor, **options: Any) -> Tensor:
        """The loss of embeddings and labels against the proxies; an option given here counts for this call."""
        function: Callable[..., Tensor] = type(self).function
        return function(*tensors, self.proxies, **{**self.options, **options})
