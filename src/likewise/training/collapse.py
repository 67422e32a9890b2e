"""The collapse alarm: has the encoder begun to give every image the same embedding?

Two ways to fail are told apart. In a complete collapse all embeddings are one point: their variance is next to nothing
beside their squared norm. In a dimensional collapse they lie on a line: the effective rank of the centred embeddings is
close to 1 though there are many dimensions. Both are cheap to see on some thousand embeddings, so they are looked at
after every epoch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from likewise.losses import effective_rank

__all__ = ["Health", "inspect_embeddings"]

LEAST_RELATIVE_VARIANCE = 1e-3
LEAST_RANK = 1.2
LEAST_DIMENSIONS = 4


@dataclass(frozen=True)
class Health:
    """What the alarm saw.

    Attributes:
        effective_rank: exp of the entropy of the normalised singular values (RankMe, Garrido et al. 2023), 1 … D.
        spread: √D times the mean over the dimensions of the standard deviation of the L2-normalised embeddings: about
            1 for directions spread evenly over the sphere, 0 for a single one.
        relative_variance: total variance over the mean squared norm, 0 … 1.
        reason: empty, or why the embeddings count as collapsed.
    """

    effective_rank: float
    spread: float
    relative_variance: float
    reason: str

    @property
    def collapsed(self) -> bool:
        """Whether the alarm fires."""
        return bool(self.reason)


def inspect_embeddings(embeddings: Tensor) -> Health:
    """Look for collapse in embeddings (N, D) float, N at least 2."""
    dimensions = embeddings.shape[1]
    centred = embeddings - embeddings.mean(dim=0)
    squared_norm = float(embeddings.pow(2).sum(dim=1).mean())
    variance = float(centred.pow(2).sum(dim=1).mean()) / squared_norm if squared_norm > 0 else 0.0
    directions = torch.nn.functional.normalize(embeddings)
    spread = float(directions.std(dim=0).mean()) * dimensions**0.5
    rank = float(effective_rank(embeddings)) if squared_norm > 0 else 1.0
    reason = ""
    if variance < LEAST_RELATIVE_VARIANCE:
        reason = f"all embeddings are nearly one point (variance {variance:.1e} of the squared norm)"
    elif dimensions >= LEAST_DIMENSIONS and (line := float(effective_rank(centred))) < LEAST_RANK:
        reason = f"the embeddings lie on a line (effective rank {line:.2f} of {dimensions} after centring)"
    return Health(rank, spread, variance, reason)
