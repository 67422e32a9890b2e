"""Multinomial logistic regression with an L2 penalty, fitted to convergence by preconditioned L-BFGS.

    f(W, b) = mean_i( logsumexp(x_i W + b) - (x_i W + b)[y_i] ) + strength/2 · |W|²        (the bias is free)

which is scikit-learn's LogisticRegression with C = 1 / (strength · N). One evaluation is two products of the data
with a (D, K) matrix, 5 ms for 55,000 × 64 and ten classes, so what counts is their number. Trained embeddings are
badly conditioned (a few directions carry everything), where plain L-BFGS needs hundreds; started from the Hessian at
the mean class uncertainty, which is the features' second moments up to a factor, it needs a few dozen. The data stay
float32, the parameters and sums are float64; no randomness anywhere. Small data are float64 throughout: the mean of few
rounded losses is too rough to see the last steps.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

_ROWS = 65_536  # rows of logits at once
_SMALL = 2**20  # numbers; below it float64 costs nothing to speak of
_MEMORY = 12  # pairs of L-BFGS
_ARMIJO = 1e-4
_NOISE = 1e-9  # rounding of the mean loss in float32 data; a smaller rise is no rise
_SMALLEST_STEP = 2.0**-20


@dataclass(frozen=True)
class Features:
    """Training data as the optimiser reads it, with the eigenvectors of its second moments."""

    x: Tensor  # (N, D + 1) float32, float64 where small; last column 1
    y: Tensor  # (N,) int64
    num_classes: int
    eigenvalues: Tensor  # (D + 1,) float64
    eigenvectors: Tensor  # (D + 1, D + 1) float64, columns

    @classmethod
    def of(cls, x: Tensor, y: Tensor, num_classes: int) -> Features:
        """From standardised features (N, D) float32 and labels (N,)."""
        x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
        x = x.double() if x.numel() <= _SMALL else x
        moments = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64)
        for part in x.split(_ROWS):
            moments += (part.T @ part).double()
        eigenvalues, eigenvectors = torch.linalg.eigh(moments / len(x))
        return cls(x, y, num_classes, eigenvalues.clamp(min=0), eigenvectors)


def logits(weights: Tensor, x: Tensor) -> Tensor:
    """(N, K) float32 class scores of features (N, D) under weights (D + 1, K), the bias in the last row."""
    w = weights.float()
    return torch.addmm(w[-1], x, w[:-1])


def fit(
    data: Features, strength: float, start: Tensor | None = None, *, tolerance: float = 1e-5, max_iterations: int = 300
) -> tuple[Tensor, bool]:
    """Weights (D + 1, K) float64 where the largest slope is below the tolerance, and whether that was reached.

    Args:
        data: the training features.
        strength: > 0.
        start: weights to start from, such as those of a neighbouring strength.
        tolerance: on the largest absolute component of the gradient.
        max_iterations: evaluations are a few more.
    """
    weights = torch.zeros(data.x.shape[1], data.num_classes, dtype=torch.float64) if start is None else start.clone()
    value, gradient, uncertainty = _evaluate(data, weights, strength)
    pairs: deque[tuple[Tensor, Tensor]] = deque(maxlen=_MEMORY)
    curvature = data.eigenvalues * uncertainty + strength
    for _ in range(max_iterations):
        if float(gradient.abs().max()) <= tolerance:
            return weights, True
        direction = -_inverse_hessian(gradient, pairs, data.eigenvectors, curvature)
        slope = float((direction * gradient).sum())
        step = 1.0
        while True:
            candidate = weights + step * direction
            new_value, new_gradient, _ = _evaluate(data, candidate, strength)
            if new_value <= value + _ARMIJO * step * slope + _NOISE:
                break
            step /= 2
            if step < _SMALLEST_STEP:
                return weights, False
        move, change = candidate - weights, new_gradient - gradient
        if float((move * change).sum()) > 0:
            pairs.append((move, change))
        weights, value, gradient = candidate, new_value, new_gradient
    return weights, False


def _evaluate(data: Features, weights: Tensor, strength: float) -> tuple[float, Tensor, float]:
    """Value, gradient, and the mean over samples and classes of p(1 - p)."""
    w = weights.to(data.x.dtype)
    loss, uncertainty = 0.0, 0.0
    gradient = torch.zeros_like(weights)
    for x, y in zip(data.x.split(_ROWS), data.y.split(_ROWS), strict=True):
        scores = x @ w
        own = scores.gather(1, y[:, None])[:, 0]
        normaliser = scores.logsumexp(dim=1)
        loss += float((normaliser - own).sum(dtype=torch.float64))
        p = scores.sub_(normaliser[:, None]).exp_()
        uncertainty += float(len(x) - p.square().sum(dtype=torch.float64))
        p[torch.arange(len(y)), y] -= 1
        gradient += (x.T @ p).double()
    n = len(data.x)
    gradient /= n
    gradient[:-1] += strength * weights[:-1]
    value = loss / n + strength / 2 * float(weights[:-1].square().sum())
    return value, gradient, max(uncertainty / (n * data.num_classes), 1e-6)


def _inverse_hessian(
    gradient: Tensor, pairs: deque[tuple[Tensor, Tensor]], eigenvectors: Tensor, curvature: Tensor
) -> Tensor:
    """The two-loop recursion (Nocedal & Wright, algorithm 7.4) around the preconditioner."""

    def precondition(v: Tensor) -> Tensor:
        return eigenvectors @ ((eigenvectors.T @ v) / curvature[:, None])

    q = gradient.clone()
    steps = []
    for move, change in reversed(pairs):
        rho = 1 / (move * change).sum()
        alpha = rho * (move * q).sum()
        q -= alpha * change
        steps.append((move, change, rho, alpha))
    result = precondition(q)
    if pairs:
        move, change = pairs[-1]
        result *= (move * change).sum() / (change * precondition(change)).sum()
    for move, change, rho, alpha in reversed(steps):
        result += move * (alpha - rho * (change * result).sum())
    return result
