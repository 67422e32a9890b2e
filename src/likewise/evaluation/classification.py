"""How often a prediction is right, over all samples and averaged over classes.

Accuracy alone hides a class that is never predicted; the macro averages give each class the same weight. They are the
means over classes of scikit-learn's ``average="macro", zero_division=0``: a class counts where it occurs among the
labels or the predictions, and a ratio without a denominator is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from likewise.evaluation._inputs import ArrayLike, as_labels


@dataclass(frozen=True)
class ClassificationScores:
    """Accuracy and macro averages, all in [0, 1]."""

    accuracy: float
    precision_macro: float
    recall_macro: float
    f1_macro: float


def classification_scores(predictions: ArrayLike, labels: ArrayLike) -> ClassificationScores:
    """Accuracy, and precision, recall and F1 averaged over the classes that occur.

    Args:
        predictions: (M,) int, 0 … K-1.
        labels: (M,) int, 0 … K-1.

    Raises:
        EvaluationError: not integers, negative, or of different lengths.

    Example:
        >>> classification_scores(np.array([0, 0, 1]), np.array([0, 1, 1])).recall_macro
        0.75
    """
    truth = as_labels(labels, "labels", len(labels))
    guess = as_labels(predictions, "predictions", len(truth))
    size = int(max(truth.max(initial=0), guess.max(initial=0))) + 1
    hits = np.bincount(truth[truth == guess], minlength=size)
    actual, predicted = np.bincount(truth, minlength=size), np.bincount(guess, minlength=size)
    occurs = (actual + predicted) > 0
    return ClassificationScores(
        accuracy=float(hits.sum() / max(len(truth), 1)),
        precision_macro=float(_ratio(hits, predicted)[occurs].mean()),
        recall_macro=float(_ratio(hits, actual)[occurs].mean()),
        f1_macro=float(_ratio(2 * hits, actual + predicted)[occurs].mean()),
    )


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(whole > 0, part / np.maximum(whole, 1), 0.0)
