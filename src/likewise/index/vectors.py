"""All embeddings of a table in memory: exact search without a read from disk.

The vectors of a table in one array, searched by ``evaluation.nearest``, which is exact and made for many queries: on one
core 1,000 against 60,000 × 64 take a quarter of faiss's time together, and one alone a fifth of a second
(benchmarks/search.py). The array is that of one version of the table and is read again when another process has committed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from likewise.evaluation.nearest import nearest
from likewise.index._lance import LanceItems

__all__ = ["MOST_BYTES", "Vectors"]

MOST_BYTES = 2**30  # of embeddings that are held in memory: 4 million of 64 dimensions

RowIds = NDArray[np.uint64]


@dataclass(frozen=True)
class Vectors:
    """Embeddings of one version of a table.

    Args:
        version: of the table.
        row_ids: (N,) ascending.
        embeddings: (N, D) float32.
    """

    version: int
    row_ids: RowIds
    embeddings: NDArray[np.float32]

    @classmethod
    def read(cls, items: LanceItems, version: int, dimension: int) -> Vectors:
        """Read them from the table."""
        column, row_ids = items.column("embedding")
        flat = [chunk.flatten().to_numpy().reshape(-1, dimension) for chunk in column.chunks]
        embeddings = np.concatenate(flat) if flat else np.empty((0, dimension), np.float32)
        order = np.argsort(row_ids)
        return cls(version, row_ids[order], np.ascontiguousarray(embeddings[order]))

    def nearest(
        self, queries: NDArray[np.float32], k: int, distance: str, among: RowIds | None = None
    ) -> tuple[RowIds, NDArray[np.float32]]:
        """Row ids (Q, k) and distances (Q, k) of the nearest rows, all or those ``among``; fewer where there are fewer."""
        row_ids, embeddings = self.row_ids, self.embeddings
        if among is not None:
            places = np.searchsorted(self.row_ids, np.sort(among))
            row_ids, embeddings = row_ids[places], embeddings[places]
        k = min(k, len(row_ids))
        if k == 0:
            return np.empty((len(queries), 0), np.uint64), np.empty((len(queries), 0), np.float32)
        distances, found = nearest(queries, embeddings, k, distance=distance)
        return row_ids[found], distances
