"""Clusters in an embedding, found without labels and compared with them.

k-means with several starts, on the embeddings as they are or (spherical) on their directions. How well the clusters match
the classes is said in several ways, because each forgives something else: NMI and AMI count information (AMI less what chance
gives), ARI counts pairs, the Hungarian accuracy gives each cluster one class at most; the silhouette asks no class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from likewise.errors import EvaluationError
from likewise.evaluation._inputs import ArrayLike, as_embeddings, as_labels

SILHOUETTE_SAMPLES = 5_000
_ROUNDS = 300


@dataclass(frozen=True)
class ClusteringResult:
    """Clusters of N samples, and how they match K classes where labels were given."""

    assignments: NDArray[np.int64]
    """(N,) cluster of each sample."""
    centers: NDArray[np.float32]
    """(clusters, D); of norm 1 where spherical."""
    silhouette: float | None
    """-1 … 1, of at most 5,000 samples; None where there is one cluster only."""
    nmi: float | None = None
    """Normalised mutual information, 0 … 1 (arithmetic mean of the entropies)."""
    ami: float | None = None
    """Adjusted mutual information: 0 is what chance gives."""
    ari: float | None = None
    """Adjusted Rand index: 0 is what chance gives."""
    accuracy: float | None = None
    """Share of samples whose cluster is matched with their class, each cluster with at most one class."""
    matching: dict[int, int] | None = None
    """cluster → class, the best one-to-one matching."""


def clustering(
    embeddings: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    clusters: int | None = None,
    spherical: bool = False,
    starts: int = 10,
    seed: int = 0,
) -> ClusteringResult:
    """k-means on embeddings, compared with the classes.

    Args:
        embeddings: (N, D) real, finite.
        labels: (N,) int, or None where there are none.
        clusters: how many; default: the number of classes in ``labels``.
        spherical: cluster by direction: samples and centres are divided by their norms, and a sample belongs to the centre
            of largest cosine similarity (Dhillon & Modha 2001).
        starts: k-means++ starts, of which the best is kept.
        seed: of the starts.

    Raises:
        EvaluationError: shapes do not fit, or ``clusters`` is not in 1 … N, or neither labels nor ``clusters`` are given.

    Example:
        >>> x = np.array([[0.0, 1.0], [0.1, 1.0], [5.0, 0.0], [5.1, 0.0]], dtype=np.float32)
        >>> found = clustering(x, np.array([0, 0, 1, 1]))
        >>> found.accuracy, round(found.nmi, 6)
        (1.0, 1.0)
    """
    x = as_embeddings(embeddings, "embeddings").astype(np.float32, copy=False)
    truth = None if labels is None else as_labels(labels, "labels", len(x))
    if clusters is None:
        if truth is None:
            raise EvaluationError(
                "Neither labels nor clusters were given.",
                expected="Expected one of them: it says how many clusters to look for.",
                advice="Pass clusters=10, for example.",
            )
        clusters = len(np.unique(truth))
    if not 1 <= clusters <= len(x) or starts < 1:
        raise EvaluationError(
            f"clusters={clusters} and starts={starts} for {len(x)} samples.",
            expected=f"Expected 1 … {len(x)} clusters and at least one start.",
            advice="Lower clusters.",
        )
    from sklearn import metrics
    from sklearn.cluster import KMeans

    if spherical:
        assignments, centers = _spherical(x, clusters, starts, seed)
    else:
        fitted = KMeans(clusters, n_init=starts, random_state=seed).fit(x)
        assignments, centers = fitted.labels_.astype(np.int64), fitted.cluster_centers_.astype(np.float32)
    silhouette = _silhouette(x, assignments, "cosine" if spherical else "euclidean", seed)
    if truth is None:
        return ClusteringResult(assignments, centers, silhouette)
    matching, accuracy = _match(assignments, truth)
    return ClusteringResult(
        assignments,
        centers,
        silhouette,
        nmi=float(metrics.normalized_mutual_info_score(truth, assignments)),
        ami=float(metrics.adjusted_mutual_info_score(truth, assignments)),
        ari=float(metrics.adjusted_rand_score(truth, assignments)),
        accuracy=accuracy,
        matching=matching,
    )


def _spherical(
    x: NDArray[np.float32], clusters: int, starts: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    from sklearn.cluster import kmeans_plusplus

    unit = _directions(x)
    found: list[tuple[float, NDArray[np.int64], NDArray[np.float32]]] = []
    for start in range(starts):
        centers, _ = kmeans_plusplus(unit, clusters, random_state=np.random.RandomState([seed, start]))
        assignments = np.full(len(unit), -1)
        for _ in range(_ROUNDS):
            similarity = unit @ centers.T
            moved = similarity.argmax(axis=1)
            if np.array_equal(moved, assignments):
                break
            assignments = moved
            own = similarity[np.arange(len(unit)), assignments]
            sums = np.zeros_like(centers)
            np.add.at(sums, assignments, unit)
            empty = np.flatnonzero(np.bincount(assignments, minlength=clusters) == 0)
            # a cluster that lost all its samples begins again at those that fit their own clusters worst
            sums[empty] = unit[np.argsort(own)[: len(empty)]]
            centers = _directions(sums)
        found.append((float((unit * centers[assignments]).sum()), assignments.astype(np.int64), centers))
    _, assignments, centers = max(found, key=lambda each: each[0])
    return assignments, centers


def _directions(x: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return (x / np.where(norms > 0, norms, 1)).astype(np.float32)


def _silhouette(x: NDArray[Any], assignments: NDArray[np.int64], metric: str, seed: int) -> float | None:
    from sklearn.metrics import silhouette_score

    rows = np.random.default_rng(seed).permutation(len(x))[:SILHOUETTE_SAMPLES]
    shown = len(np.unique(assignments[rows]))
    if not 2 <= shown < len(rows):
        return None
    return float(silhouette_score(x[rows], assignments[rows], metric=metric))


def _match(assignments: NDArray[np.int64], truth: NDArray[np.int64]) -> tuple[dict[int, int], float]:
    from scipy.optimize import linear_sum_assignment

    table = np.zeros((int(assignments.max()) + 1, int(truth.max()) + 1), dtype=np.int64)
    np.add.at(table, (assignments, truth), 1)
    rows, columns = linear_sum_assignment(table, maximize=True)
    return dict(zip(rows.tolist(), columns.tolist(), strict=True)), float(table[rows, columns].sum() / len(truth))
