"""The nearest neighbours of every row of a large table: exact while that is minutes, then in cells, with the recall measured.

Beyond 100,000 rows all pairs are too many (a million rows: 10¹² of them). Rows are then put into about √N cells, each
around a row drawn at random, and a row is compared with the members of the cells nearest to its own; as many cells as
find 98 % of the true neighbours of 200 rows, whose true ones are found by looking through everything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from likewise.evaluation import nearest

__all__ = ["Neighbours", "neighbours_of_all"]

EXACT_UP_TO = 100_000
_SAMPLE = 200
_WANTED = 0.98
_LARGEST_TRIAL = 256  # cells

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Neighbours:
    """Of every row its k nearest other rows.

    Args:
        ids: (N, k) int64, nearest first.
        distances: (N, k) float32.
        recall: share of the true neighbours that are there; 1 where the search was exact, else measured on a sample.
    """

    ids: NDArray[np.int64]
    distances: NDArray[np.float32]
    recall: float


def neighbours_of_all(
    embeddings: Vectors, k: int, *, distance: str, seed: int = 0, exact_up_to: int = EXACT_UP_TO
) -> Neighbours:
    """The k nearest other rows of each row.

    Args:
        embeddings: (N, D) float32, N ≥ 2.
        k: at most N - 1 are found.
        distance: ``cosine`` or ``euclidean``.
        seed: of the cells and of the sample that measures the recall.
        exact_up_to: rows that are all compared with all.

    Example:
        >>> found = neighbours_of_all(np.array([[0.0], [1.0], [3.0]], np.float32), 1, distance="euclidean")
        >>> found.ids[:, 0].tolist(), found.recall
        ([1, 0, 1], 1.0)
    """
    k = min(k, len(embeddings) - 1)
    if len(embeddings) <= exact_up_to:
        distances, ids = nearest(embeddings, embeddings, k, distance=distance, exclude_self=True)
        return Neighbours(ids, distances, 1.0)
    return _in_cells(embeddings, k, distance, seed)


def _in_cells(embeddings: Vectors, k: int, distance: str, seed: int) -> Neighbours:
    random = np.random.default_rng(seed)
    count = int(np.sqrt(len(embeddings)))
    centres = embeddings[np.sort(random.permutation(len(embeddings))[:count])]
    cell = nearest(embeddings, centres, 1, distance=distance)[1][:, 0]
    order = np.argsort(cell, kind="stable")
    starts = np.searchsorted(cell[order], np.arange(count + 1))
    sizes = np.diff(starts)
    near = nearest(centres, centres, min(_LARGEST_TRIAL, count), distance=distance)[1]

    def search(rows: NDArray[np.int64], home: int, looked_into: int) -> tuple[Vectors, NDArray[np.int64]]:
        """Of rows of one cell: their k nearest among the members of the cells around it, at least k others."""
        reach = int(np.searchsorted(np.cumsum(sizes[near[home]]), k + 1)) + 1
        members = np.concatenate([order[starts[c] : starts[c + 1]] for c in near[home, : max(looked_into, reach)]])
        members.sort()
        found, places = nearest(embeddings[rows], embeddings[members], min(k + 1, len(members)), distance=distance)
        return _others(rows, members[places], found)

    sample = np.sort(random.permutation(len(embeddings))[:_SAMPLE])
    true = nearest(embeddings[sample], embeddings, k + 1, distance=distance)
    true_ids = _others(sample, true[1], true[0])[1]
    looked_into, recall = 2, 0.0
    while recall < _WANTED and looked_into < near.shape[1]:
        looked_into = min(2 * looked_into, near.shape[1])
        found = [search(sample[[i]], int(cell[row]), looked_into)[1][0] for i, row in enumerate(sample)]
        recall = float(np.mean([np.isin(a, b).mean() for a, b in zip(true_ids, found, strict=True)]))
    ids = np.empty((len(embeddings), k), np.int64)
    distances = np.empty((len(embeddings), k), np.float32)
    for home in range(count):
        rows = order[starts[home] : starts[home + 1]]
        if len(rows):
            distances[rows], ids[rows] = search(rows, home, looked_into)
    return Neighbours(ids, distances, recall)


def _others(rows: NDArray[np.int64], ids: NDArray[np.int64], distances: Vectors) -> tuple[Vectors, NDArray[np.int64]]:
    """Drop each row's own entry, or its last where it is not there."""
    own = ids == rows[:, None]
    own[~own.any(axis=1), -1] = True
    shape = (len(rows), ids.shape[1] - 1)
    return distances[~own].reshape(shape), ids[~own].reshape(shape)
