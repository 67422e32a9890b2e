"""Independent components of an embedding: directions along which the samples are as far from Gaussian as can be.

A network has no reason to put a concept on an axis of its embedding; a rotation of the space costs it nothing. Independent
component analysis (FastICA, Hyvärinen 1999) looks for axes whose values are independent, and the samples that activate one
most often share something that a person can name.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from likewise.errors import EvaluationError
from likewise.evaluation._inputs import ArrayLike, as_embeddings

_LEAST_SHARE = 1e-6


@dataclass(frozen=True)
class ComponentsResult:
    """C components of N samples, the least Gaussian first; the sign is such that the long tail is positive."""

    activations: NDArray[np.float32]
    """(N, C), each with mean 0 and variance 1."""
    directions: NDArray[np.float32]
    """(C, D), what one unit of each component adds to the embedding."""
    kurtosis: NDArray[np.float64]
    """(C,) excess kurtosis of the activations; 0 is Gaussian."""
    converged: bool

    def strongest(self, count: int) -> NDArray[np.int64]:
        """(C, count) samples that activate each component most, the strongest first."""
        return np.argsort(-self.activations, axis=0, kind="stable")[:count].T


def independent_components(
    embeddings: ArrayLike, *, components: int = 10, seed: int = 0, max_iterations: int = 400
) -> ComponentsResult:
    """FastICA on embeddings, whitened by their principal components first.

    Args:
        embeddings: (N, D) real, finite.
        components: C; at most the number of directions in which the samples vary at all, which is taken where it is lower.
        seed: of the start.
        max_iterations: of FastICA (parallel, log cosh).

    Raises:
        EvaluationError: ``components`` is below 1, or all samples are equal.

    Example:
        >>> sources = np.random.default_rng(0).laplace(size=(2000, 2))
        >>> mixed = sources @ np.array([[1.0, 0.5], [0.3, 1.0]])
        >>> found = independent_components(mixed, components=2)
        >>> matches = np.abs(np.corrcoef(found.activations.T, sources.T)[:2, 2:]).max(axis=1)
        >>> bool((matches > 0.99).all())
        True
    """
    from sklearn.decomposition import FastICA
    from sklearn.exceptions import ConvergenceWarning

    x = as_embeddings(embeddings, "embeddings", min_rows=2)
    if components < 1:
        raise EvaluationError(f"components={components}.", expected="Expected at least 1.", advice="The default is 10.")
    variances = np.linalg.svd(x - x.mean(axis=0, dtype=np.float64), compute_uv=False) ** 2
    available = int((variances > _LEAST_SHARE * variances.sum()).sum()) if variances.sum() > 0 else 0
    if not available:
        raise EvaluationError(
            "All embeddings are equal.",
            expected="Expected embeddings that vary.",
            advice="The model has collapsed: look at the training curves.",
        )
    model = FastICA(
        min(components, available), whiten="unit-variance", random_state=seed, max_iter=max_iterations, tol=1e-3
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        activations = model.fit_transform(x.astype(np.float64))
    standard = (activations - activations.mean(axis=0)) / activations.std(axis=0)
    tail = np.where((standard**3).mean(axis=0) < 0, -1.0, 1.0)
    kurtosis = (standard**4).mean(axis=0) - 3
    order = np.argsort(-np.abs(kurtosis), kind="stable")
    return ComponentsResult(
        activations=(standard * tail)[:, order].astype(np.float32),
        directions=(model.mixing_.T * tail[:, None])[order].astype(np.float32),
        kurtosis=kurtosis[order],
        converged=not any(issubclass(warning.category, ConvergenceWarning) for warning in caught),
    )
