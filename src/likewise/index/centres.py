"""The centres of the partitions of an inverted file that is held in memory, and their file.

A thousand centres are all that has to be kept: which rows belong to which follows from the embeddings, so rows that came
after the centres were made find their partition like any other.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from likewise.index._lance import Distance
from likewise.training.files import replacing

__all__ = ["Centres"]

FILE = "centres.safetensors"
A_CENTRE = 100  # rows that the k-means sees for each centre
ROUNDS = 10  # of Lloyd's algorithm: later ones move little
_ROWS = 2**14  # assigned at a time


class Centres:
    """Centres of partitions.

    Args:
        centres: (P, D) float32; under the cosine distance means of rows of unit length.
        distance: ``cosine`` or ``euclidean``.
    """

    def __init__(self, centres: NDArray[np.float32], distance: Distance) -> None:
        self._centres = torch.from_numpy(centres)
        self._bias = self._centres.square().sum(dim=1)
        self._unit = distance == "cosine"

    def __len__(self) -> int:
        return len(self._centres)

    @classmethod
    def fit(cls, embeddings: NDArray[np.float32], partitions: int, distance: Distance, *, seed: int) -> Centres:
        """K-means on some of the rows.

        Args:
            embeddings: (N, D) float32.
            partitions: at most N.
            distance: of the index.
            seed: of the rows that are looked at, and of the first centres.
        """
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning

        random = np.random.default_rng(seed)
        sample = embeddings[np.sort(random.permutation(len(embeddings))[: A_CENTRE * partitions])]
        if distance == "cosine":
            sample = _of_unit_length(sample)
        means = KMeans(partitions, init="random", n_init=1, max_iter=ROUNDS, random_state=seed, algorithm="lloyd")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than partitions: some stay empty
            found = means.fit(sample).cluster_centers_.astype(np.float32)
        return cls(found, distance)

    def assign(self, embeddings: NDArray[np.float32]) -> NDArray[np.int64]:
        """Partition (N,) of each row (N, D): that of the nearest centre."""
        found = np.empty(len(embeddings), np.int64)
        for start in range(0, len(embeddings), _ROWS):
            part = torch.from_numpy(embeddings[start : start + _ROWS])
            scale = part.norm(dim=1, keepdim=True).clamp(min=1e-30) if self._unit else 1.0
            found[start : start + _ROWS] = torch.addmm(self._bias, part / scale, self._centres.T, alpha=-2).argmin(1)
        return found

    def nearest(self, query: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        """The ``count`` partitions whose centres are nearest to one query (D,)."""
        row = _of_unit_length(query[None])[0] if self._unit else query
        gaps = torch.addmv(self._bias, self._centres, torch.from_numpy(np.ascontiguousarray(row)), alpha=-2)
        chosen: NDArray[np.int64] = gaps.topk(min(count, len(self)), largest=False).indices.numpy()
        return chosen

    def write(self, folder: Path) -> None:
        """Replace the file of an index in one step."""
        with replacing(folder / FILE) as beside:
            save_file({"centres": self._centres.numpy()}, beside)

    @classmethod
    def read(cls, folder: Path, distance: Distance) -> Centres | None:
        """Those of an index, or None where they cannot be read: they can be made again."""
        try:
            return cls(load_file(folder / FILE)["centres"], distance)
        except (OSError, KeyError, SafetensorError):
            return None


def _of_unit_length(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
    return unit
