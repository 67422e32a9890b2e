"""Losses on what a miner finds: cases for the contract tests of mining."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import naive_miners
import naive_ranks
import numpy as np
import torch
from loss_cases import Case
from torch import Tensor
from torch.nn.functional import normalize

from likewise import losses


def _mined(
    name: str,
    loss: Callable[..., Tensor],
    miner: str,
    *,
    of_loss: dict[str, Any] | None = None,
    of_miner: dict[str, Any] | None = None,
) -> Callable[..., Tensor]:
    def run(x: Tensor, y: Tensor, *, group: Any = None, **shared: Any) -> Tensor:
        chosen = losses.MinedLoss(partial(loss, **(of_loss or {})), miner, group=group, **(of_miner or {}))
        return chosen(x, y, **shared)

    run.__name__ = name
    return run


def _triplet(miner: str, distance: str, **options: str) -> Case:
    looks = {} if miner == "all" else {"distance": distance, **options}
    run = _mined(
        "-".join([miner, distance, *options.values()]),
        losses.triplet_loss,
        miner,
        of_loss={"distance": distance},
        of_miner=looks,
    )
    return Case(run, partial(naive_miners.mined_triplet, miner=miner, distance=distance, **options), "labels")


def _contrastive(form: str, reduction: str) -> Case:
    options = {"form": form, "reduction": reduction}
    run = _mined(f"contrastive-{form}", losses.contrastive_loss, "hard", of_loss={"margin": 3.0, **options})
    return Case(run, partial(naive_miners.mined_contrastive, **options), "labels")


def _learned_margin(x: Tensor, y: Tensor, p: Tensor, **more: Any) -> Tensor:
    return losses.margin_loss(x, y, beta=2 + 0.1 * p.sum(dim=1), regularization=0.2, **more)


def _naive_learned_margin(x: np.ndarray, y: np.ndarray, p: np.ndarray) -> float:
    return naive_ranks.margin_based(x, y, beta=2 + 0.1 * p.sum(axis=1), regularization=0.2)


def _drawn(x: Tensor, y: Tensor, **more: Any) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    loss = losses.MinedLoss(
        losses.MarginLoss(), "distance_weighted", generator=generator, group=more.pop("group", None)
    )
    return loss(normalize(x, dim=1), y, **more)


# what is drawn has no loop to be compared with, but ranks must draw it as one process does
DRAWN = [Case(_drawn, naive_ranks.margin_based, "labels")]

# beta per class from a tensor that every rank has, which is what a learned parameter is
LEARNED = [Case(_learned_margin, _naive_learned_margin, "proxies", whole=(2,))]

MINED = [
    _triplet("all", "euclidean"),
    _triplet("all", "cosine"),
    _triplet("hard", "euclidean"),
    _triplet("hard", "squared"),
    _triplet("hard", "cosine"),
    _triplet("semihard", "euclidean"),
    _triplet("semihard", "cosine"),
    _triplet("easy_positive", "cosine"),
    _triplet("easy_positive", "euclidean", negatives="hard"),
    _contrastive("squared", "sum"),
    _contrastive("hadsell", "mean"),
    Case(
        _mined("multi_similarity", losses.multi_similarity_loss, "multi_similarity", of_miner={"epsilon": 0.3}),
        partial(naive_miners.mined_multi_similarity, epsilon=0.3),
        "labels",
    ),
]
