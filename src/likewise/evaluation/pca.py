"""Principal components of rows that may be many and wide, without a float64 copy of them.

Up to 1,024 columns the covariance is summed slice by slice and decomposed exactly. Beyond (CIFAR-10 has 3,072 pixels)
six rounds of subspace iteration with ten spare directions find the leading components (Halko et al. 2011); the seed
is fixed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from likewise.evaluation._inputs import ArrayLike, as_embeddings
from likewise.evaluation._tiles import row_slices

_EXACT_COLUMNS = 1024
_SPARE = 10
_ROUNDS = 6


@dataclass(frozen=True)
class PrincipalComponents:
    """A fitted projection from D to d dimensions."""

    mean: NDArray[np.float64]
    """(D,)"""
    directions: NDArray[np.float64]
    """(D, d) orthonormal columns, most variance first; the largest entry of each is positive."""

    @classmethod
    def fit(cls, rows: ArrayLike, dimension: int) -> PrincipalComponents:
        """The leading components of (N, D) rows; at most D of them."""
        x = as_embeddings(rows, "rows")
        dimension = min(dimension, x.shape[1])
        mean = x.mean(axis=0, dtype=np.float64)
        if x.shape[1] <= _EXACT_COLUMNS:
            directions = np.linalg.eigh(_covariance_times(x, mean, None))[1][:, ::-1]
        else:
            generator = torch.Generator().manual_seed(0)
            width = min(dimension + _SPARE, x.shape[1])
            directions = torch.randn(x.shape[1], width, generator=generator).numpy().astype(np.float64)
            for _ in range(_ROUNDS):
                directions = np.linalg.qr(_covariance_times(x, mean, directions))[0]
            inner = directions.T @ _covariance_times(x, mean, directions)
            directions = directions @ np.linalg.eigh((inner + inner.T) / 2)[1][:, ::-1]
        directions = directions[:, :dimension]
        largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=0)[None], axis=0)
        return cls(mean, directions * np.where(largest < 0, -1, 1))

    def transform(self, rows: ArrayLike) -> NDArray[np.float32]:
        """(N, d) float32 coordinates of (N, D) rows."""
        x = as_embeddings(rows, "rows")
        parts = [_centred(part, self.mean) @ self.directions.astype(np.float32) for part in row_slices(x)]
        return np.concatenate(parts)


def _centred(part: NDArray[Any], mean: NDArray[np.float64]) -> NDArray[np.float32]:
    return (part.astype(np.float64) - mean).astype(np.float32)


def _covariance_times(
    x: NDArray[Any], mean: NDArray[np.float64], right: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Covariance times a (D, r) matrix, or the (D, D) covariance itself, summed over slices of the rows."""
    total = np.zeros((x.shape[1], x.shape[1] if right is None else right.shape[1]))
    for part in row_slices(x):
        centred = torch.from_numpy(_centred(part, mean))
        inner = centred if right is None else centred @ torch.from_numpy(right.astype(np.float32))
        total += (centred.T @ inner).numpy()
    return total / len(x)
