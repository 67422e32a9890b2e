"""All embeddings and ids of a table in memory: search without a read from disk.

They are those of one version of the table, read again when a process has committed. Searched exactly, one query of
60,000 × 64 costs about what it takes to read the memory (``evaluation.Gallery``); where partitions are known the rows lie
partition by partition, and a search looks at those whose centres are nearest.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from likewise.evaluation import Gallery
from likewise.index._lance import Distance, LanceItems
from likewise.index.centres import Centres

__all__ = ["MOST_BYTES", "Positions", "RowIds", "Vectors", "read_rows"]

MOST_BYTES = 2**30  # of embeddings that are held in memory, twice over: 4 million of 64 dimensions

RowIds = NDArray[np.uint64]
Positions = NDArray[np.int64]


def read_rows(items: LanceItems, dimension: int) -> tuple[NDArray[np.float32], RowIds, pa.ChunkedArray]:
    """Embeddings (N, D), row ids (N,) and ids (N,) of all rows, in the order of the table."""
    found = items.columns(["id", "embedding"])
    embeddings = np.empty((len(found), dimension), np.float32)
    end = 0
    for chunk in found["embedding"].chunks:
        embeddings[end : end + len(chunk)] = chunk.flatten().to_numpy().reshape(-1, dimension)
        end += len(chunk)
    return embeddings, found["_rowid"].to_numpy(), found["id"]


class Vectors:
    """Embeddings of one version of a table.

    Args:
        embeddings: (N, D) float32.
        row_ids: (N,).
        ids: (N,) of the images.
        distance: ``cosine`` or ``euclidean``.
        centres: of partitions, where there are any.

    Attributes:
        embeddings: as they are searched: by row id, or by partition and then by row id.
    """

    def __init__(
        self,
        embeddings: NDArray[np.float32],
        row_ids: RowIds,
        ids: pa.ChunkedArray,
        distance: Distance,
        centres: Centres | None = None,
    ) -> None:
        self.centres = centres
        if centres is None:
            order = np.argsort(row_ids)
        else:
            partition = centres.assign(embeddings)
            order = np.lexsort((row_ids, partition))
            ends = np.cumsum(np.bincount(partition, minlength=len(centres)))
            self._stretches = np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1)
        self.embeddings = embeddings if (np.diff(order) == 1).all() else embeddings[order]
        self._row_ids = row_ids[order]
        self._by_row_id = np.argsort(self._row_ids)
        self._ids = ids.combine_chunks().take(pa.array(order))
        self._gallery = Gallery(self.embeddings, distance=distance) if len(embeddings) else None

    @classmethod
    def read(cls, items: LanceItems, dimension: int, distance: Distance, centres: Centres | None = None) -> Vectors:
        """Read them from the table as it is."""
        return cls(*read_rows(items, dimension), distance, centres)

    def __len__(self) -> int:
        return len(self._row_ids)

    def nearest(
        self, queries: NDArray[np.float32], k: int, among: RowIds | None = None
    ) -> tuple[Positions, NDArray[np.float32]]:
        """Positions (Q, k) and distances (Q, k) of the nearest rows, all or those ``among``; fewer where there are fewer."""
        places = None if among is None else np.sort(self.places(among))
        k = min(k, len(self) if places is None else len(places))
        if k == 0 or self._gallery is None:
            return np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
        distances, found = self._gallery.nearest(queries, k, among=places)
        return found, distances

    def nearly(self, query: NDArray[np.float32], k: int, probes: int) -> tuple[Positions, NDArray[np.float32]]:
        """Positions and distances of the nearest rows to one query in the ``probes`` partitions nearest to it."""
        if self._gallery is None or self.centres is None:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        distances, found = self._gallery.nearest_in(query, k, self._stretches[self.centres.nearest(query, probes)])
        return found, distances

    def row_ids(self, positions: Positions) -> RowIds:
        """Row ids of positions."""
        return self._row_ids[positions]

    def ids(self, positions: Positions) -> list[str]:
        """Ids of positions."""
        found: list[str] = self._ids.take(pa.array(positions)).to_pylist()
        return found

    def places(self, row_ids: RowIds) -> Positions:
        """Positions of those of ``row_ids`` that are here."""
        at = np.searchsorted(self._row_ids, row_ids, sorter=self._by_row_id)
        near = self._by_row_id[np.minimum(at, len(self) - 1)] if len(self) else np.empty(0, np.int64)
        places: Positions = near[self._row_ids[near] == row_ids[: len(near)]]
        return places
