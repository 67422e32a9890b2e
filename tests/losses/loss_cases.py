"""One case per loss and variant: how to make its inputs, and the naive loop it must equal. A new loss adds a line
here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import naive_classes
import naive_hard
import naive_pairs
import naive_ranks
import naive_softmax
import numpy as np
import torch
from torch import Tensor

from likewise import losses

Naive = Callable[..., float]


@dataclass(frozen=True)
class Case:
    """``data`` as in the loss table. ``traits``: memory, group, tile: what the loss takes and must be exact with."""

    loss: Callable[..., Tensor]
    naive: Naive
    data: str
    options: dict[str, Any] = field(default_factory=dict)
    traits: str = "group tile"
    needs_positive: bool = False
    least: int = 1
    frozen: tuple[int, ...] = ()  # inputs that get no gradient by definition
    whole: tuple[int, ...] = ()  # inputs that every rank has in full
    rows_per_class: int = 1

    @property
    def id(self) -> str:
        words = [f"{k}={'tensor' if isinstance(v, Tensor) else v}" for k, v in self.options.items()]
        return "-".join([self.loss.__name__, *words])

    def has(self, trait: str) -> bool:
        return trait in self.traits.split()

    def inputs(self, n: int = 9, width: int = 4, seed: int = 0, dtype: torch.dtype = torch.float64) -> list[Tensor]:
        """Random inputs with at least one positive pair and one row alone in its class."""
        g = torch.Generator().manual_seed(seed)
        x = torch.randn(n, width, generator=g, dtype=torch.float64).to(dtype)
        labels = torch.randint(0, max(2, n // 3), (n,), generator=g)
        if n > 3:
            labels[: n // 2] = labels[n // 2 : n // 2 * 2]
            labels[-1] = 99
        labels = labels[torch.randperm(n, generator=g)]
        second = torch.randn(n, width, generator=g, dtype=torch.float64).to(dtype)
        if self.data == "labels":
            return [x, labels]
        if self.data == "proxies":
            proxies = torch.randn(4 * self.rows_per_class, width, generator=g, dtype=torch.float64).to(dtype)
            return [x, torch.arange(n) % 3, proxies]
        if self.data == "scores and center":
            return [x, second, torch.linspace(-0.2, 0.3, width, dtype=torch.float64).to(dtype)]
        if self.data == "views":
            return [x, second]
        if self.data == "three sets":
            return [x, second, torch.randn(n // 2, width, generator=g, dtype=torch.float64).to(dtype)]
        if self.data == "given pairs":
            return [x, second, (labels % 2).to(dtype)]
        if self.data == "matrix":
            return [torch.randn(n, n, generator=g, dtype=torch.float64).to(dtype), labels]
        return [x]

    def differentiable(self, tensors: list[Tensor]) -> list[bool]:
        """Which inputs get a gradient."""
        return [t.is_floating_point() and t.dim() == 2 and k not in self.frozen for k, t in enumerate(tensors)]

    def __call__(self, *tensors: Tensor, **more: Any) -> Tensor:
        return self.loss(*tensors, **self.options, **more)

    def slow(self, tensors: list[Tensor]) -> float:
        arrays = [t.double().numpy() if t.is_floating_point() else t.numpy() for t in tensors]
        options = {k: v.numpy() if isinstance(v, Tensor) else v for k, v in self.options.items()}
        return float(np.float64(self.naive(*arrays, **options)))


CASES: list[Case] = []


def add(loss: Callable[..., Tensor], naive: Naive, data: str, *options: dict[str, Any], **about: Any) -> None:
    CASES.extend(Case(loss, naive, data, chosen, **about) for chosen in (options or ({},)))


LABELS = {"traits": "group tile memory"}
POSITIVE = {**LABELS, "needs_positive": True}

add(
    losses.contrastive_loss,
    naive_pairs.contrastive,
    "labels",
    {"margin": 3.0},
    {"margin": 2.0, "form": "hadsell", "reduction": "mean"},
    **LABELS,
)
add(
    losses.siamese_loss,
    naive_pairs.siamese,
    "given pairs",
    {},
    {"half": True, "reduction": "sum", "margin": 3.0},
    traits="group",
)
for mining in ("all", "hard", "semihard"):
    for kind in ("euclidean", "squared", "cosine"):
        add(losses.triplet_loss, naive_pairs.triplet, "labels", {"mining": mining, "distance": kind}, **POSITIVE)
add(losses.alignment, naive_pairs.alignment, "views", {}, {"alpha": 1.5}, traits="group")
add(losses.uniformity, naive_softmax.uniformity, "embeddings", {}, {"t": 0.3}, least=2)
add(losses.nt_xent_loss, naive_softmax.nt_xent, "views", {"temperature": 0.5}, {"temperature": 0.01})
add(
    losses.decoupled_contrastive_loss,
    naive_softmax.decoupled,
    "views",
    {"temperature": 0.1},
    {"temperature": 0.2, "sigma": 0.5},
    least=2,
)
add(
    losses.supcon_loss,
    naive_softmax.supcon,
    "labels",
    {"temperature": 0.1},
    {"temperature": 0.01},
    {"temperature": 0.2, "variant": "in"},
    **POSITIVE,
)
add(losses.info_nce_loss, naive_softmax.info_nce, "views", {"temperature": 0.07}, {"temperature": 0.01})
add(losses.multiple_negatives_ranking_loss, naive_softmax.info_nce, "three sets", {"temperature": 0.05}, least=2)
add(losses.clip_loss, naive_softmax.clip, "views", {"temperature": 0.07}, {"temperature": 0.01})
add(losses.sigmoid_loss, naive_softmax.siglip, "views", {"temperature": 0.1, "bias": -3.0})
add(losses.n_pairs_loss, naive_softmax.n_pairs, "matrix", {}, {"normalize_targets": False}, traits="")
add(
    losses.n_pairs_embedding_loss,
    naive_softmax.n_pairs_embedding,
    "labels",
    {"temperature": 0.5},
    {"normalize": False, "normalize_targets": False},
    **LABELS,
)
add(losses.multiclass_n_pairs_loss, naive_softmax.multiclass_n_pairs, "views", {}, {"regularization": 0.1})
add(
    losses.soft_nearest_neighbor_loss,
    naive_softmax.soft_nearest_neighbor,
    "labels",
    {"temperature": 1.0},
    {"temperature": 7.0},
    **POSITIVE,
)
add(losses.nca_loss, naive_softmax.nca, "labels", {}, {"form": "log"}, **POSITIVE)
add(losses.multi_similarity_loss, naive_hard.multi_similarity, "labels", {}, {"alpha": 3.0, "beta": 70.0}, **LABELS)
add(
    losses.circle_loss,
    naive_hard.circle,
    "labels",
    {"margin": 0.25, "gamma": 8.0},
    {"gamma": 80.0},
    traits="group tile memory constants",
)
add(losses.lifted_structure_loss, naive_hard.lifted, "labels", {}, {"margin": 0.1}, needs_positive=True)
add(losses.generalized_lifted_structure_loss, naive_hard.generalized_lifted, "labels", {"margin": 1.0}, **LABELS)
add(losses.tuplet_margin_loss, naive_hard.tuplet, "labels", {"scale": 64.0}, {"margin": 0.4, "scale": 5.0}, **POSITIVE)
add(
    losses.margin_loss,
    naive_ranks.margin_based,
    "labels",
    {"beta": 2.0},
    {
        "margin": 0.4,
        "beta": torch.linspace(0.5, 2.5, 1000, dtype=torch.float64),
        "regularization": 0.3,
        "reduction": "mean",
    },
    **LABELS,
)
add(
    losses.snr_contrastive_loss,
    naive_ranks.snr_contrastive,
    "labels",
    {},
    {"margin": 3.0, "positive_margin": 0.5, "zero_mean": 0.2, "reduction": "nonzero"},
    **LABELS,
)
add(
    losses.angular_loss,
    naive_ranks.angular,
    "labels",
    {},
    {"alpha": 36.0},
    {"form": "triplet", "alpha": 30.0},
    **POSITIVE,
)
add(
    losses.ranked_list_loss,
    naive_ranks.ranked_list,
    "labels",
    {"alpha": 2.5, "margin": 0.6},
    {"alpha": 4.0, "margin": 3.0, "sharpness": 2.0, "positive_sharpness": 3.0, "balance": 0.3},
    traits="group tile memory constants",
)
add(losses.histogram_loss, naive_ranks.histogram, "labels", {}, {"bins": 7}, **POSITIVE)
add(losses.fast_ap_loss, naive_ranks.fast_ap, "labels", {}, {"bins": 25}, **POSITIVE)
add(
    losses.smooth_ap_loss,
    naive_ranks.smooth_ap,
    "labels",
    {"temperature": 0.1},
    {"temperature": 0.01},
    {"temperature": 0.2, "include_query": True},
    **POSITIVE,
)

PROXIES = {"traits": "group", "whole": (2,)}
add(losses.normalized_softmax_loss, naive_classes.normalized_softmax, "proxies", {"temperature": 0.05}, **PROXIES)
add(losses.cosface_loss, naive_classes.cosface, "proxies", {"margin": 0.2, "scale": 10.0}, **PROXIES)
add(
    losses.arcface_loss,
    naive_classes.arcface,
    "proxies",
    {"margin": 0.5, "scale": 8.0},
    {"margin": 2.0, "scale": 3.0},
    **PROXIES,
)
add(
    losses.subcenter_arcface_loss,
    naive_classes.subcenter,
    "proxies",
    {"centers": 2, "scale": 8.0},
    rows_per_class=2,
    **PROXIES,
)
add(losses.sphereface_loss, naive_classes.sphereface, "proxies", {}, {"margin": 3}, **PROXIES)
add(losses.proxy_nca_loss, naive_classes.proxy_nca, "proxies", {"temperature": 1.0}, **PROXIES)
add(losses.proxy_nca_pp_loss, naive_classes.proxy_nca_pp, "proxies", {}, **PROXIES)
add(losses.proxy_anchor_loss, naive_classes.proxy_anchor, "proxies", {"margin": 0.1}, **PROXIES)
add(losses.soft_triple_loss, naive_classes.soft_triple, "proxies", {"centers": 3}, rows_per_class=3, **PROXIES)
add(losses.vicreg_loss, naive_classes.vicreg, "views", {}, {"covariance": 9.0}, traits="group", least=2)
add(losses.barlow_twins_loss, naive_classes.barlow_twins, "views", {}, {"redundancy": 0.7}, traits="group", least=2)
add(losses.negative_cosine_loss, naive_classes.negative_cosine, "views", traits="group", frozen=(1,))
add(losses.swav_loss, naive_classes.swav, "views", {"temperature": 0.5, "epsilon": 0.4}, traits="group constants")
add(
    losses.dino_loss,
    naive_classes.dino,
    "scores and center",
    {"teacher_temperature": 0.2},
    traits="group",
    frozen=(1, 2),
    whole=(2,),
)
