"""The k-nearest-neighbour classifier: what a frozen embedding knows about classes, without training anything.

Two settings carry a name in ``metrics.json``. ``knn1``: one neighbour, Euclidean, as a person reads a picture of the
space. ``knn200``: 200 neighbours by cosine, each voting with exp(similarity / 0.1) (Wu et al. 2018, section 3.4), the
usual number of the self-supervised literature. Cost: one pass of ``nearest``; 10,000 against 60,000 × 64 takes one to
three seconds on two cores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from likewise.errors import EvaluationError
from likewise.evaluation._inputs import ArrayLike, as_embeddings, as_labels, check_choice, check_k
from likewise.evaluation.classification import classification_scores
from likewise.evaluation.nearest import nearest

_VOTE_CELLS = 2**22  # cells of the (queries, classes) vote table in float64 at once: 32 MB


@dataclass(frozen=True)
class KnnResult:
    """Scores of a kNN classifier and the neighbours behind them; M test samples, K classes."""

    accuracy: float
    precision_macro: float
    recall_macro: float
    f1_macro: float
    predictions: NDArray[np.int64]
    """(M,) class of most votes; a tie goes to the lower class."""
    probabilities: NDArray[np.float32]
    """(M, K) share of the votes, rows sum to 1."""
    neighbors: NDArray[np.int64]
    """(M, k) positions in train, nearest first."""
    distances: NDArray[np.float32]
    """(M, k) ascending."""


def knn(
    train: ArrayLike,
    train_labels: ArrayLike,
    test: ArrayLike,
    test_labels: ArrayLike,
    k: int = 1,
    *,
    distance: str = "euclidean",
    weighting: str = "uniform",
    temperature: float = 0.1,
    num_classes: int | None = None,
) -> KnnResult:
    """Classify each test sample by a vote of its k nearest train samples.

    A neighbour at distance d votes with 1 (``"uniform"``) or exp(s / temperature) (``"softmax"``), s = 1 - d for cosine
    (the similarity) and s = -d for Euclidean.

    Args:
        train: (N, D) real, finite.
        train_labels: (N,) int, 0 … K-1.
        test: (M, D) real, finite.
        test_labels: (M,) int, 0 … K-1.
        k: at least 1; more than N counts as N.
        distance: ``"euclidean"`` or ``"cosine"``.
        weighting: ``"uniform"`` or ``"softmax"``.
        temperature: > 0, used by ``"softmax"``.
        num_classes: K; by default the largest label of both splits plus 1.

    Raises:
        EvaluationError: shapes do not fit, values not finite, labels missing or out of range, an option out of range.

    Example:
        >>> train = np.array([[0.0], [1.0], [5.0]], dtype=np.float32)
        >>> knn(train, np.array([0, 0, 1]), np.array([[4.0]], dtype=np.float32), np.array([1])).predictions.tolist()
        [1]
    """
    x = as_embeddings(train, "train")
    check_k(k)
    distances, neighbors = nearest(test, x, min(k, len(x)), distance=distance)
    return knn_vote(
        distances,
        neighbors,
        train_labels=as_labels(train_labels, "train_labels", len(x)),
        test_labels=test_labels,
        distance=distance,
        weighting=weighting,
        temperature=temperature,
        num_classes=num_classes,
    )


def knn_vote(
    distances: NDArray[np.float32],
    neighbors: NDArray[np.int64],
    *,
    train_labels: ArrayLike,
    test_labels: ArrayLike,
    distance: str = "euclidean",
    weighting: str = "uniform",
    temperature: float = 0.1,
    num_classes: int | None = None,
) -> KnnResult:
    """The second half of ``knn``, for neighbours that ``nearest`` has already found.

    Args:
        distances: (M, k) as ``nearest`` returns them.
        neighbors: (M, k) positions in train.
        train_labels: (N,) int.
        test_labels: (M,) int.
        distance: the one that ``nearest`` was asked for.
        weighting: as in ``knn``.
        temperature: as in ``knn``.
        num_classes: as in ``knn``.

    Raises:
        EvaluationError: as in ``knn``.
    """
    check_choice(weighting, "weighting", ("uniform", "softmax"))
    check_choice(distance, "distance", ("euclidean", "cosine"))
    if not temperature > 0:
        raise EvaluationError(
            f"temperature={temperature}.", expected="Expected more than 0.", advice="The usual value is 0.1."
        )
    known = as_labels(train_labels, "train_labels", len(train_labels))
    truth = as_labels(test_labels, "test_labels", len(neighbors))
    classes = _number_of_classes(known, truth, num_classes)
    predictions = np.empty(len(truth), dtype=np.int64)
    probabilities = np.empty((len(truth), classes), dtype=np.float32)
    step = max(1, _VOTE_CELLS // max(classes, neighbors.shape[1]))
    for start in range(0, len(truth), step):
        rows = slice(start, start + step)
        votes = np.ones(neighbors[rows].shape)
        if weighting == "softmax":
            # relative to the nearest, whose vote becomes 1: the shares are the same and nothing overflows
            gap = distances[rows].astype(np.float64) - distances[rows, :1]
            votes = np.exp(-gap / temperature)
        cells = known[neighbors[rows]] + np.arange(len(votes))[:, None] * classes
        table = np.bincount(cells.ravel(), votes.ravel(), minlength=len(votes) * classes).reshape(-1, classes)
        predictions[rows] = table.argmax(axis=1)
        probabilities[rows] = table / table.sum(axis=1, keepdims=True)
    scores = classification_scores(predictions, truth)
    return KnnResult(
        scores.accuracy,
        scores.precision_macro,
        scores.recall_macro,
        scores.f1_macro,
        predictions,
        probabilities,
        neighbors,
        distances,
    )


def _number_of_classes(known: NDArray[np.int64], truth: NDArray[np.int64], num_classes: int | None) -> int:
    largest = int(max(known.max(initial=0), truth.max(initial=0)))
    if num_classes is not None and num_classes <= largest:
        raise EvaluationError(
            f"a label is {largest} with num_classes={num_classes}.",
            expected=f"Expected labels 0 … {num_classes - 1}.",
            advice="Check that both splits use the same class numbers.",
        )
    return num_classes or largest + 1
