"""Labels that may be wrong: samples whose neighbours agree on another class.

The class shares among a sample's neighbours (itself left out) are out-of-sample probabilities; the score is how far the share
of another class exceeds the label's own (the normalised margin of confident learning, Northcutt et al. 2021).

From which score on a label is suspected depends on the embeddings, so it is measured on them: wrong labels are planted at
random, the threshold that finds them best (largest F1) is taken, and what it finds of them comes with the result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from likewise.errors import EvaluationError
from likewise.evaluation._inputs import ArrayLike, as_embeddings, as_labels, check_k
from likewise.evaluation.knn import knn_vote
from likewise.evaluation.nearest import nearest


@dataclass(frozen=True)
class LabelIssuesResult:
    """Suspected labels of N samples, and how well planted ones were found."""

    suspects: NDArray[np.int64]
    """Positions, the surest first."""
    suggested: NDArray[np.int64]
    """(N,) the class other than the label that the neighbours speak for most."""
    scores: NDArray[np.float64]
    """(N,) in -1 … 1: the neighbours' share of the suggested class less that of the label; higher is more suspect."""
    threshold: float
    """Lowest score that is suspected; above 0."""
    planted_recall: float
    """Share of planted wrong labels that are suspected."""
    planted_precision: float
    """Share of planted ones among all that are then suspected; wrong labels that were there before count against it."""
    planted_auroc: float
    """Chance that a planted wrong label scores higher than one that was left as it is."""


def label_issues(
    embeddings: ArrayLike, labels: ArrayLike, *, k: int = 20, planted: float = 0.05, seed: int = 0
) -> LabelIssuesResult:
    """Samples whose label their neighbours contradict.

    Args:
        embeddings: (N, D) real, finite; of samples that the model did not learn by heart: a network that was trained on a
            wrong label until it believed it hides it.
        labels: (N,) int, at least two classes.
        k: neighbours, by cosine distance, each weighted by exp(similarity / 0.1).
        planted: share of labels replaced by another class to measure the search, in (0, 0.5].
        seed: of the planted labels.

    Raises:
        EvaluationError: fewer than k + 1 samples, one class only, or ``planted`` out of range.

    Example:
        >>> random = np.random.default_rng(0)
        >>> labels = np.arange(300) % 3
        >>> x = np.eye(3)[labels] + 0.1 * random.normal(size=(300, 3))
        >>> given = labels.copy()
        >>> given[[7, 50]] = (given[[7, 50]] + 1) % 3
        >>> sorted(label_issues(x, given).suspects.tolist())
        [7, 50]
    """
    x = as_embeddings(embeddings, "embeddings", min_rows=2)
    given = as_labels(labels, "labels", len(x))
    check_k(k)
    classes = len(np.unique(given))
    if classes < 2 or len(x) <= k or not 0 < planted <= 0.5:
        raise EvaluationError(
            f"{len(x)} samples of {classes} classes with k={k} and planted={planted}.",
            expected="Expected more than k samples of at least two classes, and planted in (0, 0.5].",
            advice="Lower k, or use more samples.",
        )
    distances, neighbors = nearest(x, x, k, distance="cosine", exclude_self=True)
    random = np.random.default_rng(seed)
    wrong = np.zeros(len(x), dtype=bool)
    wrong[random.permutation(len(x))[: max(1, round(planted * len(x)))]] = True
    names = np.unique(given)
    place = np.searchsorted(names, given[wrong])
    changed = given.copy()
    changed[wrong] = names[(place + random.integers(1, classes, len(place))) % classes]
    _, planted_scores = _scores(distances, neighbors, changed)
    order = np.argsort(-planted_scores, kind="stable")
    order = order[planted_scores[order] > 0] if (planted_scores > 0).any() else order[:1]
    hits = np.cumsum(wrong[order])
    best = int((2 * hits / (np.arange(1, len(order) + 1) + wrong.sum())).argmax())
    threshold = max(float(planted_scores[order[best]]), float(np.finfo(np.float64).tiny))
    suggested, scores = _scores(distances, neighbors, given)
    suspects = np.flatnonzero(scores >= threshold)
    return LabelIssuesResult(
        suspects=suspects[np.argsort(-scores[suspects], kind="stable")],
        suggested=suggested,
        scores=scores,
        threshold=threshold,
        planted_recall=float(hits[best] / wrong.sum()),
        planted_precision=float(hits[best] / (best + 1)),
        planted_auroc=float(roc_auc_score(wrong, planted_scores)),
    )


def _scores(
    distances: NDArray[np.float32], neighbors: NDArray[np.int64], labels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    vote = knn_vote(
        distances, neighbors, train_labels=labels, test_labels=labels, distance="cosine", weighting="softmax"
    )
    shares = vote.probabilities.astype(np.float64)
    rows = np.arange(len(labels))
    own = shares[rows, labels]
    shares[rows, labels] = -1.0
    suggested = shares.argmax(axis=1)
    return suggested, shares[rows, suggested] - own
