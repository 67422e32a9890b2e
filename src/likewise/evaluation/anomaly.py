"""Anomalies: samples that lie far from everything the gallery holds.

Two scores that need no training: the distance to the k-th nearest gallery sample (Sun et al. 2022), and the Mahalanobis
distance to the nearest class mean under one covariance for all classes (Lee et al. 2018), without labels to one Gaussian.
How well a score tells anomalies from normal samples is measured on samples of which it is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from likewise.errors import EvaluationError
from likewise.evaluation._inputs import ArrayLike, as_embeddings, as_labels, check_choice, check_same_dimension
from likewise.evaluation.nearest import nearest

METHODS = ("knn", "mahalanobis")
_ROWS = 16_384


@dataclass(frozen=True)
class AnomalyResult:
    """How well a score separates anomalies from normal samples."""

    auroc: float
    """Chance that an anomaly scores higher than a normal sample; ½ is guessing."""
    aupr: float
    """Average precision with anomalies as the positive class; guessing gives their share."""
    fpr_at_95: float
    """Share of anomalies taken for normal at the threshold that lets 95 % of the normal samples pass."""
    scores: NDArray[np.float64]
    """Of the normal samples, then of the anomalies; higher is stranger."""


def anomaly_scores(
    gallery: ArrayLike,
    queries: ArrayLike,
    *,
    method: str = "knn",
    k: int = 5,
    distance: str = "euclidean",
    gallery_labels: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """How strange each query is beside the gallery; higher is stranger.

    Args:
        gallery: (N, D) real, finite: normal samples.
        queries: (M, D).
        method: ``"knn"``, the distance to the k-th nearest gallery sample; ``"mahalanobis"``, min over classes c of
            (x - μ_c)ᵀ Σ⁻¹ (x - μ_c), Σ the covariance within classes with a millionth of its mean variance added.
        k: of ``"knn"``; more than N counts as N.
        distance: of ``"knn"``: ``"euclidean"`` or ``"cosine"``.
        gallery_labels: (N,) int, for ``"mahalanobis"``; without them there is one Gaussian.

    Returns:
        (M,) float64.

    Raises:
        EvaluationError: shapes do not fit, values not finite, an unknown method.

    Example:
        >>> gallery = np.array([[0.0], [1.0], [2.0]], dtype=np.float32)
        >>> anomaly_scores(gallery, np.array([[1.0], [9.0]], dtype=np.float32), k=1).tolist()
        [0.0, 7.0]
    """
    check_choice(method, "method", METHODS)
    known = as_embeddings(gallery, "gallery")
    asked = as_embeddings(queries, "queries")
    check_same_dimension(known, "gallery", asked, "queries")
    if method == "knn":
        return nearest(asked, known, min(k, len(known)), distance=distance)[0][:, -1].astype(np.float64)
    classes = (
        np.zeros(len(known), np.int64)
        if gallery_labels is None
        else as_labels(gallery_labels, "gallery_labels", len(known))
    )
    names, classes = np.unique(classes, return_inverse=True)
    means = np.stack([known[classes == name].mean(axis=0, dtype=np.float64) for name in range(len(names))])
    centred = known - means[classes]
    covariance = centred.T @ centred / len(known)
    variance = float(np.trace(covariance)) / len(covariance)
    values, vectors = np.linalg.eigh(covariance + np.eye(len(covariance)) * (1e-6 * variance if variance > 0 else 1.0))
    whiten = vectors / np.sqrt(values)
    centers = means @ whiten
    scores = np.empty(len(asked))
    for start in range(0, len(asked), _ROWS):
        rows = asked[start : start + _ROWS] @ whiten
        gaps = (rows**2).sum(1)[:, None] - 2 * rows @ centers.T + (centers**2).sum(1)
        scores[start : start + _ROWS] = gaps.min(axis=1).clip(min=0)
    return scores


def anomaly(
    gallery: ArrayLike,
    normal: ArrayLike,
    anomalous: ArrayLike,
    *,
    method: str = "knn",
    k: int = 5,
    distance: str = "euclidean",
    gallery_labels: ArrayLike | None = None,
) -> AnomalyResult:
    """How well anomalies are told from normal samples that the gallery does not hold; see ``anomaly_scores``.

    Args:
        gallery: (N, D) normal samples to compare with.
        normal: (M, D) other normal samples, such as the test split.
        anomalous: (A, D), such as the test split of another data set.
        method, k, distance, gallery_labels: as in ``anomaly_scores``.

    Raises:
        EvaluationError: as ``anomaly_scores``.

    Example:
        >>> gallery = np.array([[0.0], [1.0], [2.0]], dtype=np.float32)
        >>> anomaly(gallery, gallery + 0.1, gallery + 9).auroc
        1.0
    """
    common, strange = as_embeddings(normal, "normal"), as_embeddings(anomalous, "anomalous")
    scores = np.concatenate(
        [
            anomaly_scores(gallery, part, method=method, k=k, distance=distance, gallery_labels=gallery_labels)
            for part in (common, strange)
        ]
    )
    return _separation(scores, len(common))


def one_class_anomaly(
    train: ArrayLike,
    train_labels: ArrayLike,
    test: ArrayLike,
    test_labels: ArrayLike,
    *,
    method: str = "knn",
    k: int = 5,
    distance: str = "euclidean",
) -> dict[int, AnomalyResult]:
    """Each class in turn is normal and all others are anomalies: class → result.

    Args:
        train: (N, D); the class's own rows are the gallery.
        train_labels: (N,) int.
        test: (M, D).
        test_labels: (M,) int, at least two classes.
        method, k, distance: as in ``anomaly_scores``.

    Raises:
        EvaluationError: a test class has no training sample, one class only, or as ``anomaly_scores``.
    """
    x, z = as_embeddings(train, "train"), as_embeddings(test, "test")
    known, truth = as_labels(train_labels, "train_labels", len(x)), as_labels(test_labels, "test_labels", len(z))
    classes = np.unique(truth)
    missing = sorted(set(classes.tolist()) - set(known.tolist()))
    if len(classes) < 2 or missing:
        raise EvaluationError(
            f"test has the classes {classes.tolist()[:20]}"
            + (f", of which {missing} are not in train." if missing else "."),
            expected="Expected at least two classes, each with training samples.",
            advice="Use splits of the same classes.",
        )
    results = {}
    for name in classes.tolist():
        own = truth == name
        results[name] = anomaly(x[known == name], z[own], z[~own], method=method, k=k, distance=distance)
    return results


def _separation(scores: NDArray[np.float64], normal: int) -> AnomalyResult:
    from sklearn.metrics import average_precision_score, roc_auc_score

    strange = np.arange(len(scores)) >= normal
    threshold = np.quantile(scores[:normal], 0.95, method="inverted_cdf")
    return AnomalyResult(
        auroc=float(roc_auc_score(strange, scores)),
        aupr=float(average_precision_score(strange, scores)),
        fpr_at_95=float((scores[normal:] <= threshold).mean()),
        scores=scores,
    )
