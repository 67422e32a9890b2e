"""The linear probe: how well a linear classifier on the frozen embedding separates the classes.

Features are standardised with the training split's mean and deviation; L2-regularised multinomial logistic regression
is fitted to convergence for each strength, from strong to weak, each starting where the last one ended; the strength
of best validation accuracy (the stronger one on a tie) is reported on the test split. Nothing is refitted on
validation data. Seven strengths on 55,000 × 64 take one to two seconds on two cores.

Where there are fewer samples than dimensions the fit happens in the samples' span, N numbers for each instead of D: the
penalty keeps the weights in it, so the solution is the same (the representer theorem).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from likewise.errors import EvaluationError
from likewise.evaluation import _softmax_regression as softmax_regression
from likewise.evaluation._inputs import ArrayLike, as_embeddings, as_labels, check_same_dimension
from likewise.evaluation._tiles import full_precision
from likewise.evaluation.intervals import wilson

STRENGTHS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""Default strengths of the penalty, per sample: scikit-learn's C is 1 / (strength · N)."""

Split = tuple[ArrayLike, ArrayLike]


@dataclass(frozen=True)
class LinearProbeResult:
    """Test accuracy of the probe chosen on validation; M test samples."""

    accuracy: float
    interval: tuple[float, float]
    """95 % Wilson interval of the test accuracy."""
    strength: float
    validation_accuracy: float
    predictions: NDArray[np.int64]
    """(M,) on test."""
    path: dict[float, float]
    """strength → validation accuracy."""
    converged: bool
    """Whether the fit of the chosen strength met the tolerance."""


class _Fit(NamedTuple):
    strength: float
    accuracy: float
    """On validation."""
    weights: torch.Tensor
    converged: bool


def linear_probe(
    train: Split, validation: Split, test: Split, *, strengths: Sequence[float] = STRENGTHS
) -> LinearProbeResult:
    """Accuracy on test of a regularised linear classifier fitted on train and chosen on validation.

    mean_i( -log softmax(x_i W + b)[y_i] ) + strength/2 · |W|²,  x standardised, b without penalty.

    Args:
        train: (N, D) real and (N,) int labels 0 … K-1, at least two classes.
        validation: (V, D) and (V,).
        test: (M, D) and (M,).
        strengths: each > 0.

    Raises:
        EvaluationError: shapes do not fit, values not finite, labels missing, one class only, a strength not positive.

    Example:
        >>> x, y = np.array([[-1.0], [-2.0], [1.0], [2.0]], dtype=np.float32), np.array([0, 0, 1, 1])
        >>> linear_probe((x, y), (x, y), (x, y)).accuracy
        1.0
    """
    if not strengths or not all(s > 0 and np.isfinite(s) for s in strengths):
        raise EvaluationError(
            f"strengths={tuple(strengths)}.", expected="Expected positive numbers.", advice="The default is 1 … 1e-6."
        )
    features, labels = [], []
    for (values, classes), name in ((train, "train"), (validation, "validation"), (test, "test")):
        features.append(as_embeddings(values, name))
        labels.append(as_labels(classes, f"{name} labels", len(features[-1])))
        check_same_dimension(features[0], "train", features[-1], name)
    if len(np.unique(labels[0])) < 2:
        raise EvaluationError(
            f"train has the class {labels[0][0]} only.",
            expected="Expected at least two classes.",
            advice="Draw a stratified training subset.",
        )
    mean = features[0].mean(axis=0, dtype=np.float64)
    deviation = _deviation(features[0], mean)
    x = [torch.from_numpy(((rows - mean.astype(np.float32)) / deviation).astype(np.float32)) for rows in features]
    num_classes = int(max(part.max() for part in labels)) + 1
    with full_precision(), torch.no_grad():
        if x[0].shape[1] > len(x[0]):
            x = _in_span(x)
        data = softmax_regression.Features.of(x[0], torch.from_numpy(labels[0]), num_classes)
        fits: list[_Fit] = []
        for strength in sorted(strengths, reverse=True):
            weights, converged = softmax_regression.fit(data, strength, fits[-1].weights if fits else None)
            right = float((_predict(weights, x[1]) == labels[1]).mean())
            fits.append(_Fit(strength, right, weights, converged))
        best = max(fits, key=lambda fit: fit.accuracy)  # of equal ones the first, which is the stronger
        predictions = _predict(best.weights, x[2])
    hits = int((predictions == labels[2]).sum())
    return LinearProbeResult(
        accuracy=hits / len(predictions),
        interval=wilson(hits, len(predictions)),
        strength=best.strength,
        validation_accuracy=best.accuracy,
        predictions=predictions,
        path={fit.strength: fit.accuracy for fit in fits},
        converged=best.converged,
    )


def _deviation(rows: NDArray[Any], mean: NDArray[np.float64]) -> NDArray[np.float32]:
    total = np.zeros(rows.shape[1])
    for start in range(0, len(rows), 65_536):
        total += np.square(rows[start : start + 65_536] - mean).sum(axis=0)
    deviation = np.sqrt(total / len(rows))
    # a constant column carries nothing; dividing by its rounding noise, which goes with its own size, would make it look
    # like a feature
    noise = np.maximum(1e-6 * np.abs(mean), np.finfo(np.float32).tiny)
    return np.where(deviation > noise, deviation, np.inf).astype(np.float32)


def _in_span(x: list[torch.Tensor]) -> list[torch.Tensor]:
    """All splits in an orthonormal basis of the span of the first one's N rows, (·, r) with r at most N."""
    gram = x[0].double() @ x[0].double().T
    values, vectors = torch.linalg.eigh(gram)
    kept = values > values[-1] * 1e-10
    basis = (x[0].double().T @ vectors[:, kept]) / values[kept].sqrt()
    return [(part.double() @ basis).float() for part in x] if bool(kept.any()) else x


def _predict(weights: torch.Tensor, x: torch.Tensor) -> NDArray[np.int64]:
    return np.asarray(softmax_regression.logits(weights, x).argmax(dim=1).numpy())
