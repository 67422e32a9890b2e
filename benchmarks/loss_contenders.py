"""What the losses are measured against: the same numbers in plain torch, and in other libraries.

Plain torch is what a careful person writes in ten lines: one matrix, masks, cross_entropy. lightly asks for torchvision,
which this project's environment leaves out; its NT-Xent is here as its formula is (four quarters of the matrix, their
diagonals cut out by a mask, joined again), and called so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from likewise import losses

Step = Callable[[Tensor, Tensor, Tensor], Tensor]


def plain_nt_xent(x: Tensor, y: Tensor, labels: Tensor) -> Tensor:
    z = F.normalize(torch.cat([x[0::2], x[1::2]]), dim=1)
    n = len(z) // 2
    s = (z @ z.T / 0.1).masked_fill(torch.eye(2 * n, dtype=torch.bool), -torch.inf)
    return F.cross_entropy(s, torch.arange(2 * n).roll(n))


def lightly_nt_xent(x: Tensor, y: Tensor, labels: Tensor) -> Tensor:
    """lightly's formula: four quarters."""
    a, b = F.normalize(x[0::2], dim=1), F.normalize(x[1::2], dim=1)
    n = len(a)
    others = ~torch.eye(n, dtype=torch.bool)
    aa, ab, ba, bb = (torch.einsum("nc,mc->nm", u, v) / 0.1 for u in (a, b) for v in (a, b))
    top = torch.cat([ab, aa[others].view(n, -1)], dim=1)
    bottom = torch.cat([ba, bb[others].view(n, -1)], dim=1)
    return F.cross_entropy(torch.cat([top, bottom]), torch.arange(n).repeat(2))


def plain_supcon(x: Tensor, y: Tensor, labels: Tensor) -> Tensor:
    z = F.normalize(x, dim=1)
    self = torch.eye(len(z), dtype=torch.bool)
    s = z @ z.T / 0.1
    same = ((labels[:, None] == labels) & ~self).float()
    log_share = s - s.masked_fill(self, -torch.inf).logsumexp(1, keepdim=True)
    return -((same * log_share).sum(1) / same.sum(1).clamp_min(1)).mean()


def plain_clip(x: Tensor, y: Tensor, labels: Tensor) -> Tensor:
    s = F.normalize(x, dim=1) @ F.normalize(y, dim=1).T / 0.1
    target = torch.arange(len(s))
    return 0.5 * (F.cross_entropy(s, target) + F.cross_entropy(s.T, target))


def plain_info_nce(x: Tensor, y: Tensor, labels: Tensor) -> Tensor:
    s = F.normalize(x, dim=1) @ F.normalize(y, dim=1).T / 0.1
    return F.cross_entropy(s, torch.arange(len(s)))


def plain_n_pairs(x: Tensor, y: Tensor, labels: Tensor) -> Tensor:
    z = F.normalize(x, dim=1)
    target = (labels[:, None] == labels).float()
    return F.cross_entropy(z @ z.T, target / target.sum(1, keepdim=True))


def plain_contrastive(x: Tensor, y: Tensor, labels: Tensor) -> Tensor:
    squared = torch.cdist(x, x).pow(2)
    same = labels[:, None] == labels
    return torch.where(same, squared, torch.relu(200 - squared)).triu(1).sum()


def plain_hard(x: Tensor, y: Tensor, labels: Tensor) -> Tensor:
    d = torch.cdist(x, x)
    same = labels[:, None] == labels
    far = d.masked_fill(~same, -torch.inf).amax(1)
    near = d.masked_fill(same, torch.inf).amin(1)
    return torch.relu(far - near + 0.2).mean()


def plain_semihard(x: Tensor, y: Tensor, labels: Tensor) -> Tensor:
    d = torch.cdist(x, x)
    same = labels[:, None] == labels
    self = torch.eye(len(d), dtype=torch.bool)
    beyond, _ = d.masked_fill(same, torch.inf).sort(dim=1)
    pick = torch.searchsorted(beyond.detach(), d.detach(), right=True)
    pick = torch.minimum(pick, (~same).sum(1, keepdim=True) - 1)
    return torch.relu(d - beyond.gather(1, pick) + 0.2)[same & ~self].mean()


def pml(name: str, **options: Any) -> Step | None:
    try:
        import pytorch_metric_learning.losses as theirs
    except ImportError:
        return None
    loss = getattr(theirs, name)(**options)
    return lambda x, y, labels: loss(x, labels)


def pml_hard() -> Step | None:
    try:
        from pytorch_metric_learning import losses as theirs
        from pytorch_metric_learning import miners
    except ImportError:
        return None
    from pytorch_metric_learning.distances import LpDistance

    distance = LpDistance(normalize_embeddings=False)
    miner, loss = miners.BatchHardMiner(distance=distance), theirs.TripletMarginLoss(margin=0.2, distance=distance)
    return lambda x, y, labels: loss(x, labels, miner(x, labels))


# name: ours; contender -> (it, the largest N it is run at); multiplications of ours in N² D
TABLE: dict[str, tuple[Step, dict[str, tuple[Step | None, int]], float | None]] = {
    "nt_xent": (
        lambda x, y, labels: losses.nt_xent_loss(x[0::2], x[1::2], temperature=0.1),
        {"plain": (plain_nt_xent, 8192), "lightly": (lightly_nt_xent, 8192)},
        2,
    ),
    "supcon": (
        lambda x, y, labels: losses.supcon_loss(x, labels, temperature=0.1),
        {"plain": (plain_supcon, 8192), "pml": (pml("SupConLoss", temperature=0.1), 4096)},
        2,
    ),
    "info_nce": (
        lambda x, y, labels: losses.info_nce_loss(x, y, temperature=0.1),
        {"plain": (plain_info_nce, 8192)},
        3,
    ),
    "clip": (
        lambda x, y, labels: losses.clip_loss(x, y, temperature=0.1),
        {"plain": (plain_clip, 8192)},
        4,
    ),
    "n_pairs": (
        lambda x, y, labels: losses.n_pairs_embedding_loss(x, labels),
        {"plain": (plain_n_pairs, 8192)},
        2,
    ),
    "contrastive": (
        lambda x, y, labels: losses.contrastive_loss(x, labels, margin=200.0),
        {"plain": (plain_contrastive, 8192)},
        1.5,
    ),
    "triplet_hard": (
        lambda x, y, labels: losses.triplet_loss(x, labels, mining="hard"),
        {"plain": (plain_hard, 8192), "pml": (pml_hard(), 4096)},
        None,
    ),
    "triplet_semihard": (
        lambda x, y, labels: losses.triplet_loss(x, labels, mining="semihard"),
        {"plain": (plain_semihard, 4096)},
        None,
    ),
    "multi_similarity": (
        lambda x, y, labels: losses.multi_similarity_loss(x, labels),
        {"pml": (pml("MultiSimilarityLoss", alpha=2, beta=50, base=0.5), 4096)},
        2,
    ),
    "circle": (
        lambda x, y, labels: losses.circle_loss(x, labels),
        {"pml": (pml("CircleLoss", m=0.4, gamma=80), 4096)},
        2,
    ),
    "generalized_lifted": (
        lambda x, y, labels: losses.generalized_lifted_structure_loss(x, labels),
        {"pml": (pml("GeneralizedLiftedStructureLoss", neg_margin=1, pos_margin=0), 4096)},
        2,
    ),
}
