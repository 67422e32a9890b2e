"""Labels that may be wrong: samples whose neighbours agree on another class.

The class shares among a sample's neighbours (itself left out) are out-of-sample probabilities; the score is how far the share
of another class exceeds the label's own (the normalised margin of confident learning, Northcutt et al. 2021).

From which score on a label is suspected depends on the embeddings, so it is measured on them: wrong labels are planted at
random, the threshold that finds them best (largest F1) is taken, and what it finds of them comes with the result.

Votes say which labels to suspect, not which to look at first: where two classes overlap they are as clear as for a mistake.
Suspects are therefore ranked by distances (``rank_suspects``), in reports and in the explorer alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from likewise.errors import EvaluationError
from likewise.evaluation._inputs import ArrayLike, as_embeddings, as_labels, check_k
from likewise.evaluation.knn import knn_vote
from likewise.evaluation.nearest import nearest

_CELLS = 2**22  # of the table of samples and classes at once: 32 MB


@dataclass(frozen=True)
class LabelIssuesResult:
    """Suspected labels of N samples, and how well planted ones were found."""

    suspects: NDArray[np.int64]
    """Positions from the threshold on, the surest first: as ``rank_suspects`` has them, or by their scores from
    ``label_issues_vote``, which has no embeddings."""
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
    found = label_issues_vote(distances, neighbors, given, planted=planted, seed=seed)
    ranked, _ = rank_suspects(x, given, found)
    return replace(found, suspects=ranked[found.scores[ranked] >= found.threshold])


def label_issues_vote(
    distances: NDArray[np.float32],
    neighbors: NDArray[np.int64],
    labels: ArrayLike,
    *,
    distance: str = "cosine",
    weighting: str = "softmax",
    planted: float = 0.05,
    seed: int = 0,
) -> LabelIssuesResult:
    """The second half of ``label_issues``, for neighbours that ``nearest`` has already found, each sample itself left out.

    Args:
        distances, neighbors: (N, k) as ``nearest`` returns them.
        labels: (N,) int, at least two classes.
        distance, weighting: how neighbours vote, as in ``knn``.
        planted, seed: as in ``label_issues``.

    Raises:
        EvaluationError: one class only, or labels that do not fit.
    """
    given = as_labels(labels, "labels", len(neighbors))
    names = np.unique(given)
    classes = len(names)
    if classes < 2:
        raise EvaluationError(
            f"{len(given)} samples of {classes} classes.",
            expected="Expected at least two classes.",
            advice="Labels of one class cannot contradict each other.",
        )
    vote = partial(_scores, distances, neighbors, distance=distance, weighting=weighting)
    random = np.random.default_rng(seed)
    wrong = np.zeros(len(given), dtype=bool)
    wrong[random.permutation(len(given))[: max(1, round(planted * len(given)))]] = True
    from sklearn.metrics import roc_auc_score

    place = np.searchsorted(names, given[wrong])
    changed = given.copy()
    changed[wrong] = names[(place + random.integers(1, classes, len(place))) % classes]
    _, planted_scores = vote(changed)
    order = np.argsort(-planted_scores, kind="stable")
    order = order[planted_scores[order] > 0] if (planted_scores > 0).any() else order[:1]
    hits = np.cumsum(wrong[order])
    best = int((2 * hits / (np.arange(1, len(order) + 1) + wrong.sum())).argmax())
    threshold = max(float(planted_scores[order[best]]), float(np.finfo(np.float64).tiny))
    suggested, scores = vote(given)
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


def rank_suspects(
    embeddings: ArrayLike, labels: ArrayLike, found: LabelIssuesResult, *, distance: str = "cosine"
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Every label that more neighbours contradict than support, in the order in which a person best looks at them.

    The threshold of ``label_issues`` is made for 5 % of wrong labels; where they are fewer, the surest need not reach it.

    Args:
        embeddings, labels: those that ``found`` is about.
        found: the result of ``label_issues`` or ``label_issues_vote``.
        distance: ``"cosine"`` or ``"euclidean"``.

    Returns:
        Positions, and the ``label_gaps`` by which they are ranked, falling.

    Example:
        >>> angles = np.array([0.0, 0.1, 0.2, 1.2, 1.3, 1.4, 1.5])
        >>> x, labels = np.stack([np.cos(angles), np.sin(angles)], axis=1), np.array([0, 0, 0, 1, 1, 1, 0])
        >>> ranked, gaps = rank_suspects(x, labels, label_issues(x, labels, k=2))
        >>> int(ranked[0])
        6
    """
    contradicted = np.flatnonzero(found.scores > 0)
    gaps = label_gaps(embeddings, labels, found.suggested, contradicted, distance=distance)
    order = np.argsort(-gaps, kind="stable")
    return contradicted[order], gaps[order]


def label_gaps(
    embeddings: ArrayLike,
    labels: ArrayLike,
    suggested: ArrayLike,
    rows: ArrayLike,
    *,
    k: int = 5,
    distance: str = "cosine",
) -> NDArray[np.float64]:
    """How much farther samples are from their own class than from another one: what puts the surest wrong labels first.

    The mean distance to the k nearest others of the label's class over that to the k nearest of the suggested class. Where two
    classes overlap it is near 1, however the neighbours vote; an image that got into a class by mistake is far from it. Of five
    labels changed at random among 10,000 (Fashion-MNIST's test images by a model of 25 s, mean of 20 draws), 4.6 were among
    the first 50 by this order and 2.4 by the votes alone.

    Args:
        embeddings: (N, D) real, finite.
        labels: (N,) int.
        suggested: (N,) int, a class that has samples; see ``LabelIssuesResult``.
        rows: positions to score.
        k: samples of each class.
        distance: ``"cosine"`` or ``"euclidean"``.

    Returns:
        One for each of ``rows``; infinite where a sample is the only one of its class.

    Raises:
        EvaluationError: shapes do not fit, or a suggested class has no sample.

    Example:
        >>> x = np.array([[0.0], [1.0], [8.0], [9.0], [10.0]])
        >>> label_gaps(x, np.array([0, 0, 0, 1, 1]), np.array([1, 1, 1, 0, 0]), [2], k=1, distance="euclidean").tolist()
        [7.0]
    """
    x = as_embeddings(embeddings, "embeddings")
    given, other = as_labels(labels, "labels", len(x)), as_labels(suggested, "suggested", len(x))
    check_k(k)
    chosen = np.asarray(rows, dtype=np.int64)
    missing = np.setdiff1d(other[chosen], given)
    if len(missing):
        raise EvaluationError(
            f"The suggested class {missing[0]} has no sample.",
            expected="Expected classes of the labels.",
            advice="Take the suggestions of label_issues on the same labels.",
        )
    to_own, to_other = np.full(len(chosen), np.inf), np.empty(len(chosen))
    for name in np.unique(given):
        members = x[given == name]
        asked = given[chosen] == name
        if asked.any() and len(members) > 1:
            # the first is the sample itself, or one with the same embedding
            found = nearest(x[chosen[asked]], members, min(k + 1, len(members)), distance=distance)[0]
            to_own[asked] = found[:, 1:].mean(axis=1)
        asked = other[chosen] == name
        if asked.any():
            to_other[asked] = nearest(x[chosen[asked]], members, min(k, len(members)), distance=distance)[0].mean(
                axis=1
            )
    return to_own / np.maximum(to_other, np.finfo(np.float64).tiny)


def _scores(
    distances: NDArray[np.float32],
    neighbors: NDArray[np.int64],
    labels: NDArray[np.int64],
    *,
    distance: str,
    weighting: str,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    classes = int(labels.max()) + 1
    suggested, scores = np.empty(len(labels), np.int64), np.empty(len(labels))
    for start in range(0, len(labels), step := max(1, _CELLS // classes)):
        part = slice(start, start + step)
        shares = knn_vote(
            distances[part],
            neighbors[part],
            train_labels=labels,
            test_labels=labels[part],
            distance=distance,
            weighting=weighting,
            num_classes=classes,
        ).probabilities.astype(np.float64)
        rows = np.arange(len(shares))
        own = shares[rows, labels[part]]
        shares[rows, labels[part]] = -1.0
        suggested[part] = shares.argmax(axis=1)
        scores[part] = shares[rows, suggested[part]] - own
    return suggested, scores
