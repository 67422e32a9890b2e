"""Class recall at k: is the true class among the k that the classifier holds most probable?

One of two numbers that the field calls recall@k. This one is top-k accuracy and asks about classes; the other, in
``retrieval``, asks whether one of the k nearest *samples* has the right class. They are different mathematics: with
ten classes this one is 1 at k = 10 by construction.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from likewise.errors import EvaluationError
from likewise.evaluation._inputs import ArrayLike, as_embeddings, as_labels, check_k


def class_recall_at_k(probabilities: ArrayLike, labels: ArrayLike, ks: Sequence[int]) -> dict[int, float]:
    """Share of the samples whose class is among the k classes of largest probability (top-k accuracy).

    Args:
        probabilities: (M, K) real; any scores that rank the classes.
        labels: (M,) int, 0 … K-1.
        ks: numbers of classes, each at least 1; from K on the value is 1.

    Raises:
        EvaluationError: shapes do not fit, values not finite, a label beyond K-1, a k below 1.

    Example:
        >>> class_recall_at_k(np.array([[0.5, 0.3, 0.2]]), np.array([1]), (1, 2))
        {1: 0.0, 2: 1.0}
    """
    for k in ks:
        check_k(k)
    ranks = class_ranks(probabilities, labels)
    return {int(k): float((ranks <= k).mean()) for k in ks}


def class_ranks(probabilities: ArrayLike, labels: ArrayLike) -> NDArray[np.int64]:
    """(M,) rank of the true class, 1 = most probable; equal probabilities rank by class number.

    Args:
        probabilities: (M, K) real.
        labels: (M,) int, 0 … K-1.

    Raises:
        EvaluationError: as in ``class_recall_at_k``.

    Example:
        >>> class_ranks(np.array([[0.5, 0.5, 0.0]]), np.array([1])).tolist()
        [2]
    """
    scores = as_embeddings(probabilities, "probabilities")
    truth = as_labels(labels, "labels", len(scores))
    if truth.max() >= scores.shape[1]:
        raise EvaluationError(
            f"labels has the value {truth.max()} with {scores.shape[1]} columns of probabilities.",
            expected=f"Expected labels 0 … {scores.shape[1] - 1}.",
            advice="Pass one column per class, in the order of the class numbers.",
        )
    own = np.take_along_axis(scores, truth[:, None], axis=1)
    before = (scores == own) & (np.arange(scores.shape[1]) < truth[:, None])
    return np.asarray(1 + ((scores > own) | before).sum(axis=1), dtype=np.int64)
