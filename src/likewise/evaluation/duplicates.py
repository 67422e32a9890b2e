"""Duplicates inside a split, and leaks from train into test: the same image twice, or nearly.

A copy lies much nearer than an ordinary neighbour. How near is ordinary differs from place to place and from model to model,
so the threshold is a share of the median distance to the nearest neighbour. Distances are exact (``nearest``), so equal
embeddings have distance 0 and are always found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from likewise.errors import EvaluationError
from likewise.evaluation._inputs import ArrayLike, as_embeddings
from likewise.evaluation.nearest import nearest

MOST_COPIES = 20
"""Neighbours of a sample that are looked at; of a larger group of copies every member still finds others of it."""


@dataclass(frozen=True)
class DuplicatesResult:
    """Pairs of samples that are nearer than the threshold, the nearest first."""

    pairs: NDArray[np.int64]
    """(P, 2): i < j inside one split; else a query and a gallery position."""
    distances: NDArray[np.float32]
    """(P,)"""
    threshold: float
    groups: tuple[tuple[int, ...], ...]
    """Inside one split: sets of samples that are linked by pairs, the largest first; else empty."""


def duplicates(
    embeddings: ArrayLike,
    gallery: ArrayLike | None = None,
    *,
    ratio: float = 0.1,
    threshold: float | None = None,
    distance: str = "cosine",
) -> DuplicatesResult:
    """Near-duplicate pairs inside one split, or between a split and a gallery (leaks).

    Args:
        embeddings: (N, D) real, finite.
        gallery: (G, D), such as train for a test split; None looks inside ``embeddings``.
        ratio: the threshold as a share of the median distance to the nearest neighbour.
        threshold: a distance, in place of ``ratio``.
        distance: ``"cosine"`` or ``"euclidean"``.

    Raises:
        EvaluationError: ``ratio`` or ``threshold`` is negative, fewer than two samples, or as ``nearest``.

    Example:
        >>> x = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1e-4], [-1.0, 0.3]], dtype=np.float32)
        >>> duplicates(x).pairs.tolist()
        [[0, 2]]
    """
    if ratio < 0 or (threshold is not None and threshold < 0):
        raise EvaluationError(
            f"ratio={ratio}, threshold={threshold}.", expected="Expected 0 or more.", advice="The default ratio is 0.1."
        )
    inside = gallery is None
    x = as_embeddings(embeddings, "embeddings", min_rows=2 if inside else 1)
    other = x if gallery is None else as_embeddings(gallery, "gallery")
    k = min(MOST_COPIES, len(other) - int(inside))
    distances, neighbors = nearest(x, other, k, distance=distance, exclude_self=inside)
    return duplicate_pairs(distances, neighbors, ratio=ratio, threshold=threshold, inside=inside)


def duplicate_pairs(
    distances: NDArray[np.float32],
    neighbors: NDArray[np.int64],
    *,
    ratio: float = 0.1,
    threshold: float | None = None,
    inside: bool = True,
) -> DuplicatesResult:
    """The second half of ``duplicates``, for neighbours that ``nearest`` has already found.

    Args:
        distances, neighbors: (N, k) as ``nearest`` returns them.
        ratio, threshold: as in ``duplicates``.
        inside: the neighbours are others of the same N samples.

    Example:
        >>> distances = np.array([[0.01], [0.01], [0.9], [0.8]], np.float32)
        >>> duplicate_pairs(distances, np.array([[1], [0], [0], [2]])).pairs.tolist()
        [[0, 1]]
    """
    limit = float(threshold) if threshold is not None else ratio * float(np.median(distances[:, 0]))
    rows, places = np.nonzero(distances <= limit)
    pairs = np.stack([rows, neighbors[rows, places]], axis=1)
    found = distances[rows, places]
    groups: tuple[tuple[int, ...], ...] = ()
    if inside:
        pairs, first = np.unique(np.sort(pairs, axis=1), axis=0, return_index=True)
        found = found[first]
        groups = _groups(pairs, len(distances))
    order = np.lexsort((pairs[:, 1], pairs[:, 0], found))
    return DuplicatesResult(pairs[order].astype(np.int64), found[order], limit, groups)


def _groups(pairs: NDArray[np.int64], count: int) -> tuple[tuple[int, ...], ...]:
    graph = coo_array((np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    members: dict[int, list[int]] = {}
    for position in np.unique(pairs).tolist():
        members.setdefault(int(labels[position]), []).append(position)
    return tuple(sorted((tuple(group) for group in members.values()), key=lambda group: (-len(group), group)))
