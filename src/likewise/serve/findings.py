"""What the neighbours of every image say about it: its class, its label, how strange it is, whether it is there twice.

One search for the 20 nearest others of every image carries all of it: the class they vote for (leave-one-out), labels they
contradict, the distance to the fifth as the anomaly score, pairs that are nearer than images are, and nearest neighbours
of another class. k-means clusters and the t-SNE map are apart. Everything comes from ``likewise.evaluation``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from likewise.evaluation import clustering, duplicate_pairs, label_issues_vote, nearest, project, rank_suspects
from likewise.serve.snapshot import UNKNOWN, Snapshot

__all__ = ["NEIGHBORS", "Findings", "Judged", "find", "flat_map", "pca_map"]

NEIGHBORS = 20
_ANOMALY_NEIGHBOR = 5
_CLUSTERS = 10  # where there are no classes to say how many
_MOST_CLUSTERS = 100
_STARTS = 3

Distance = Literal["cosine", "euclidean"]


@dataclass(frozen=True)
class Judged:
    """What neighbours say about labels; -1 and NaN where an image has none.

    Args:
        prediction: (N,) int32, class that most of an image's neighbours speak for, itself left out.
        suggested: (N,) int32, class other than the label that they speak for most.
        score: (N,) float32, -1 … 1, their share for the suggested class less that for the label.
        suspects: positions of labels that more neighbours contradict than support, the surest first (``rank_suspects``).
        gaps: of the suspects.
        planted_recall: share of labels made wrong on purpose that at least come among the suspects here.
        other: (N,) int32, position of the nearest image where that is of another class, else -1.
        other_distance: (N,) float32.
    """

    prediction: NDArray[np.int32]
    suggested: NDArray[np.int32]
    score: NDArray[np.float32]
    suspects: NDArray[np.int32]
    gaps: NDArray[np.float32]
    planted_recall: float
    other: NDArray[np.int32]
    other_distance: NDArray[np.float32]


@dataclass(frozen=True)
class Findings:
    """Of N images.

    Args:
        neighbors: (N, k) int32, the nearest others.
        distances: (N, k) float32, ascending.
        cluster: (N,) int32.
        pairs: (P, 2) int32, images that are nearer than the threshold, the nearest pair first.
        pair_distances: (P,) float32.
        pair_threshold: a tenth of the median distance to the nearest neighbour.
        judged: where at least two classes are known.
    """

    neighbors: NDArray[np.int32]
    distances: NDArray[np.float32]
    cluster: NDArray[np.int32]
    pairs: NDArray[np.int32]
    pair_distances: NDArray[np.float32]
    pair_threshold: float
    judged: Judged | None

    @property
    def anomaly(self) -> NDArray[np.float32]:
        """(N,) distance to the fifth nearest other image (Sun et al. 2022); higher is stranger."""
        return self.distances[:, min(_ANOMALY_NEIGHBOR, self.distances.shape[1]) - 1]


def pca_map(snapshot: Snapshot, distance: Distance) -> NDArray[np.float32]:
    """(N, 2) principal components, or the embedding itself where it has two dimensions."""
    if len(snapshot) == 0:
        return np.empty((0, 2), np.float32)
    return project(_rows(snapshot, distance), "pca")


def flat_map(snapshot: Snapshot, distance: Distance) -> NDArray[np.float32]:
    """(N, 2) t-SNE."""
    return project(_rows(snapshot, distance), "tsne")


def find(snapshot: Snapshot, distance: Distance) -> Findings:
    """Everything but the map, for at least two images."""
    x = snapshot.embeddings
    distances, neighbors = nearest(x, x, min(NEIGHBORS, len(x) - 1), distance=distance, exclude_self=True)
    known = snapshot.classes
    labels = np.full(len(x), UNKNOWN, np.int32) if known is None else known.codes
    classes = len(np.unique(labels[labels != UNKNOWN]))
    clusters = min(max(classes, 2) if classes else _CLUSTERS, _MOST_CLUSTERS, len(x))
    grouped = clustering(x, clusters=clusters, spherical=distance == "cosine", starts=_STARTS)
    pairs = duplicate_pairs(distances, neighbors)
    return Findings(
        neighbors=neighbors.astype(np.int32),
        distances=distances,
        cluster=grouped.assignments.astype(np.int32),
        pairs=pairs.pairs.astype(np.int32),
        pair_distances=pairs.distances,
        pair_threshold=pairs.threshold,
        judged=_judge(x, labels, distance, distances, neighbors) if classes > 1 else None,
    )


def _judge(
    x: NDArray[np.float32],
    labels: NDArray[np.int32],
    distance: Distance,
    distances: NDArray[np.float32],
    neighbors: NDArray[np.int64],
) -> Judged:
    """Labels against those of the neighbours, among the images that have one."""
    rows = np.flatnonzero(labels != UNKNOWN)
    own = labels[rows]
    if len(rows) < len(x):
        k = min(NEIGHBORS, len(rows) - 1)
        distances, neighbors = nearest(x[rows], x[rows], k, distance=distance, exclude_self=True)
    issues = label_issues_vote(
        distances, neighbors, own, distance=distance, weighting="softmax" if distance == "cosine" else "uniform"
    )
    suspects, gaps = rank_suspects(x[rows], own, issues, distance=distance)
    nearest_one, differs = neighbors[:, 0], own[neighbors[:, 0]] != own

    def spread(values: NDArray[Any], empty: float | int) -> NDArray[Any]:
        whole = np.full(len(x), empty, np.float32 if isinstance(empty, float) else np.int32)
        whole[rows] = values
        return whole

    return Judged(
        prediction=spread(np.where(issues.scores > 0, issues.suggested, own), UNKNOWN),
        suggested=spread(issues.suggested, UNKNOWN),
        score=spread(issues.scores, np.nan),
        suspects=rows[suspects].astype(np.int32),
        gaps=gaps.astype(np.float32),
        planted_recall=issues.planted_recall,
        other=spread(np.where(differs, rows[nearest_one], UNKNOWN), UNKNOWN),
        other_distance=spread(np.where(differs, distances[:, 0], np.nan), np.nan),
    )


def _rows(snapshot: Snapshot, distance: Distance) -> NDArray[np.float32]:
    """Rows whose Euclidean distances rank as the index's distance does."""
    x = snapshot.embeddings
    if distance == "euclidean":
        return x
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return (x / np.where(norms > 0, norms, 1)).astype(np.float32)
