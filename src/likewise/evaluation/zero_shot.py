"""Zero-shot classification: an image takes the class whose description is nearest.

c = argmax_i cos(f(x), g(t_i)), with t_i the text of class i. Several texts of one class (a prompt ensemble) become one
vector as in CLIP's own code: the mean of the normalised text embeddings, normalised again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from likewise.errors import EvaluationError
from likewise.evaluation._inputs import ArrayLike, as_embeddings, as_labels, check_same_dimension
from likewise.evaluation._tiles import lengths

BINS = 15


@dataclass(frozen=True)
class ZeroShotResult:
    """What the nearest class text says of each image."""

    accuracy: float
    per_class: NDArray[np.float64]
    """(K,) accuracy of each class; NaN for a class without an image."""
    predictions: NDArray[np.int64]
    """(N,) class of the nearest text."""
    similarities: NDArray[np.float32]
    """(N, K) cosines."""


def prompt_ensemble(prompts: ArrayLike) -> NDArray[np.float32]:
    """One vector a class: the mean of its normalised prompt embeddings, normalised again.

    Args:
        prompts: (K, P, D) real, finite: P prompts of each of K classes.

    Raises:
        EvaluationError: another shape, or a value that is not finite.

    Example:
        >>> prompt_ensemble(np.array([[[2.0, 0.0], [0.0, 1.0]]])).round(3).tolist()
        [[0.7070000171661377, 0.7070000171661377]]
    """
    array = np.asarray(prompts)
    if array.ndim != 3:
        raise EvaluationError(f"prompts has shape {array.shape}.", expected="Expected (classes, prompts, dimensions).")
    classes, count, dimension = array.shape
    flat = as_embeddings(array.reshape(-1, dimension), "prompts")
    mean = _unit(flat).reshape(classes, count, dimension).mean(axis=1)
    return _unit(mean).astype(np.float32)


def zero_shot(images: ArrayLike, classes: ArrayLike, labels: ArrayLike) -> ZeroShotResult:
    """Classify images by the nearest class text (cosine).

    Args:
        images: (N, D) real, finite.
        classes: (K, D), one vector a class, as ``prompt_ensemble`` makes them.
        labels: (N,) int, 0 … K-1.

    Raises:
        EvaluationError: shapes do not fit, a value is not finite, or a label is beyond K-1.

    Example:
        >>> result = zero_shot(np.array([[1.0, 0.1], [0.2, 1.0]]), np.eye(2), np.array([0, 0]))
        >>> result.accuracy, result.predictions.tolist()
        (0.5, [0, 1])
    """
    x, texts = as_embeddings(images, "images"), as_embeddings(classes, "classes")
    check_same_dimension(x, "images", texts, "classes")
    truth = as_labels(labels, "labels", len(x))
    if truth.max() >= len(texts):
        raise EvaluationError(
            f"labels has the value {truth.max()} with {len(texts)} classes.",
            expected=f"Expected 0 … {len(texts) - 1}.",
            advice="Give one text vector for each class.",
        )
    similarities = (_unit(x) @ _unit(texts).T).astype(np.float32)
    predictions = similarities.argmax(axis=1).astype(np.int64)
    right = predictions == truth
    counts = np.bincount(truth, minlength=len(texts))
    with np.errstate(invalid="ignore"):
        per_class = np.bincount(truth, weights=right, minlength=len(texts)) / counts
    return ZeroShotResult(float(right.mean()), per_class, predictions, similarities)


def fit_temperature(similarities: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """The temperature t in 0.001 … 10 under which softmax(similarity / t) has the least cross-entropy (Guo et al. 2017)."""

    from scipy.optimize import minimize_scalar

    def cross_entropy(log_temperature: float) -> float:
        scores = log_softmax(similarities.astype(np.float64) / np.exp(log_temperature), axis=1)
        return -float(scores[np.arange(len(labels)), labels].mean())

    return float(np.exp(minimize_scalar(cross_entropy, bounds=(np.log(1e-3), np.log(10)), method="bounded").x))


def calibration_error(similarities: NDArray[np.floating], labels: NDArray[np.int64], temperature: float) -> float:
    """Expected calibration error (Naeini et al. 2015) of softmax(similarity / temperature).

    Σ_b n_b/N |accuracy_b - confidence_b| over 15 bins of equal width of the largest probability; 0 is calibrated.

    Example:
        >>> round(calibration_error(np.array([[9.0, 0.0], [9.0, 0.0]]), np.array([0, 1]), 1.0), 3)
        0.5
    """
    probabilities = softmax(similarities.astype(np.float64) / temperature, axis=1)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(labels))


def _unit(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    norms = lengths(rows)
    unit: NDArray[np.float64] = rows.astype(np.float64) / np.where(norms > 0, norms, 1)[:, None]
    return unit
