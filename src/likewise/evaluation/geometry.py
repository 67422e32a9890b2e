"""The shape of an embedding space: is it in use, or has it collapsed?

Alignment and uniformity are taken on the unit sphere (Wang & Isola 2020), the effective rank is RankMe's (Garrido et
al. 2023), the spread is the quantity that SimSiam watches (Chen & He 2021, figure 2): about 1 for directions that
fill the sphere, 0 for a collapsed model. All pairs are counted, in tiles: about 0.3 s for 10,000 × 64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from likewise.evaluation._inputs import ArrayLike, as_embeddings, as_labels
from likewise.evaluation._tiles import full_precision, lengths, row_slices
from likewise.losses import effective_rank

_TILE = 1024  # rows and columns of a tile: 4 MB in float32


@dataclass(frozen=True)
class GeometryResult:
    """Four numbers about an embedding space."""

    effective_rank: float
    """exp of the entropy of the singular values' shares, 1 … min(N, D); of the embeddings as given."""
    uniformity: float
    """log mean over pairs i < j of exp(-2|x_i - x_j|²), unit vectors; -8 … 0, lower is more even."""
    alignment: float | None
    """Mean |x_i - x_j|² over pairs of one class, unit vectors; 0 … 4; None without labels or without such a pair."""
    spread: float
    """sqrt(D) times the mean deviation per dimension of the unit vectors, 0 … 1."""


def geometry(embeddings: ArrayLike, labels: ArrayLike | None = None) -> GeometryResult:
    """Effective rank, uniformity, alignment and spread of an embedding space.

    Args:
        embeddings: (N, D) real, finite, N >= 2. A zero vector has no direction and stays at the centre.
        labels: (N,) int; pairs of equal labels are the positive pairs of the alignment.

    Raises:
        EvaluationError: shapes do not fit, a value is not finite, fewer than two rows.

    Example:
        >>> result = geometry(np.array([[1.0, 0.0], [-1.0, 0.0]], dtype=np.float32), np.array([0, 0]))
        >>> round(result.effective_rank, 6), round(result.uniformity, 6), result.alignment
        (1.0, -8.0, 4.0)
    """
    rows = as_embeddings(embeddings, "embeddings", min_rows=2)
    norms = lengths(rows)
    unit = np.empty(rows.shape, dtype=np.float32)
    np.divide(rows, np.where(norms > 0, norms, 1)[:, None], out=unit, casting="unsafe")
    mean = unit.mean(axis=0, dtype=np.float64)
    variance = sum(np.square(part - mean).sum(axis=0) for part in row_slices(unit)) / len(unit)
    return GeometryResult(
        effective_rank=float(effective_rank(_triangle(rows))),
        uniformity=_uniformity(unit),
        alignment=None if labels is None else _alignment(unit, as_labels(labels, "labels", len(rows))),
        spread=float(np.sqrt(variance).mean() * math.sqrt(rows.shape[1])),
    )


def _triangle(rows: NDArray[Any]) -> torch.Tensor:
    """The R of a QR decomposition, slice by slice: (D, D) with the singular values of the (N, D) matrix."""
    triangle = torch.zeros(0, rows.shape[1], dtype=torch.float64)
    for part in row_slices(rows):
        stacked = torch.cat([triangle, torch.from_numpy(part.astype(np.float64))])
        triangle = torch.linalg.qr(stacked, mode="r").R
    return triangle


def _uniformity(unit: NDArray[np.float32]) -> float:
    # the mean direction is taken off first: points close together keep the digits of their distances
    centred = torch.from_numpy(unit - unit.mean(axis=0))
    squares = centred.square().sum(dim=1)
    total = 0.0
    with full_precision():
        for i in range(0, len(centred), _TILE):
            rows = centred[i : i + _TILE]
            for j in range(i, len(centred), _TILE):
                columns = centred[j : j + _TILE]
                product = torch.addmm(squares[j : j + _TILE], rows, columns.T, alpha=-2)
                potential = product.add_(squares[i : i + _TILE, None]).clamp_(min=0).mul_(-2).exp_()
                if i == j:
                    potential = potential.triu_(diagonal=1)
                total += float(potential.sum(dtype=torch.float64))
    return math.log(total / (len(centred) * (len(centred) - 1) / 2))


def _alignment(unit: NDArray[np.float32], labels: NDArray[np.int64]) -> float | None:
    """Over the ordered pairs of a class of n: sum |x_i - x_j|² = 2 n sum |x_i|² - 2 |sum x_i|², no pair formed."""
    total, pairs = 0.0, 0
    for label in np.unique(labels):
        members = unit[labels == label].astype(np.float64)
        # around the class mean, which drops the second term and with it the cancellation
        total += 2 * len(members) * float(np.square(members - members.mean(axis=0)).sum())
        pairs += len(members) * (len(members) - 1)
    return total / pairs if pairs else None
