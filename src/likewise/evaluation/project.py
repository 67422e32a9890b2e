"""Embeddings as a flat picture: t-SNE, UMAP or principal components.

Two-dimensional embeddings are the picture already and are returned as they are. t-SNE runs in openTSNE on our own
exact neighbours, from a PCA start, with the iterations that a picture of a few thousand points needs and no more:
3,000 points take less than half of scikit-learn's time at the same trustworthiness (benchmarks/evaluation.py).
Distances between far clusters mean little in t-SNE and UMAP; PCA keeps them and shows less.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from likewise.errors import EvaluationError
from likewise.evaluation._inputs import ArrayLike, as_embeddings, check_choice
from likewise.evaluation.nearest import nearest
from likewise.evaluation.pca import PrincipalComponents

# Measured on 3,000 points of 10-D, against scikit-learn's 1,000 iterations at perplexity 30 (trustworthiness@10 of 0.9963
# on principal components of Fashion-MNIST, 0.9940 on the benchmark's clusters): perplexity 15 has 0.9964 and 0.9941 after
# 150 + 250 iterations, and no more after 250 + 500; perplexity 20 and 30 have 0.0002 less on the clusters
_PERPLEXITY = 15.0
_EXAGGERATED_ITERATIONS = 150
_ITERATIONS = 250
_ANGLE = 0.5
_START_DEVIATION = 1e-4  # openTSNE's and scikit-learn's scale of the first coordinate at the start
_INTERPOLATED_FROM = 10_000  # samples from which a grid (FIt-SNE) is faster than Barnes-Hut's tree
_UMAP_NEIGHBORS = 15
_FEWEST = 4  # below this there are no neighbourhoods to keep and the principal components are drawn


def project(embeddings: ArrayLike, method: str = "tsne", *, seed: int = 0) -> NDArray[np.float32]:
    """Coordinates of every sample in the plane.

    Args:
        embeddings: (N, D) real, finite. With D = 2 they are returned unchanged, whatever the method. Fewer than
            four samples, and samples that are all the same, are drawn by their principal components.
        method: ``"tsne"`` (van der Maaten & Hinton 2008), ``"umap"`` (McInnes et al. 2018, needs the extra ``umap``) or
            ``"pca"``.
        seed: the same seed gives the same picture on the same machine.

    Returns:
        (N, 2) float32.

    Raises:
        EvaluationError: not (N, D), a value is not finite, an unknown method, or umap-learn is not installed.

    Example:
        >>> project(np.eye(3, dtype=np.float32), "pca").shape
        (3, 2)
    """
    x = as_embeddings(embeddings, "embeddings")
    check_choice(method, "method", ("tsne", "umap", "pca"))
    if x.shape[1] == 2:
        return x.astype(np.float32)
    flat = _plane(x)
    if method == "pca" or len(x) < _FEWEST or not flat.any():
        return flat
    return _tsne(x, flat, seed) if method == "tsne" else _umap(x, seed)


def _plane(x: NDArray[Any]) -> NDArray[np.float32]:
    """The first two principal components; the second is 0 where there is only one dimension."""
    found = PrincipalComponents.fit(x, 2).transform(x)
    flat = np.zeros((len(x), 2), dtype=np.float32)
    flat[:, : found.shape[1]] = found
    # what is left of identical rows after centring is rounding, not a picture
    return flat if np.abs(flat).max() > 1e-6 * np.abs(x).max() else np.zeros_like(flat)


def _tsne(x: NDArray[Any], flat: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    from openTSNE import TSNE
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    perplexity = min(_PERPLEXITY, (len(x) - 1) / 3)
    distances, neighbors = nearest(x, x, min(int(3 * perplexity), len(x) - 1), exclude_self=True)
    threads = torch.get_num_threads()
    affinities = PerplexityBasedNN(
        perplexity=perplexity,
        knn_index=PrecomputedNeighbors(neighbors, distances.astype(np.float64)),
        n_jobs=threads,
        random_state=seed,
    )
    start = flat.astype(np.float64) * (_START_DEVIATION / flat[:, 0].std())
    # identical samples would otherwise share one place, which the quadtree of the gradient cannot split
    start += np.random.default_rng(seed).normal(scale=_START_DEVIATION / 100, size=start.shape)
    layout = TSNE(
        early_exaggeration_iter=_EXAGGERATED_ITERATIONS,
        n_iter=_ITERATIONS,
        negative_gradient_method="bh" if len(x) < _INTERPOLATED_FROM else "fft",
        theta=_ANGLE,
        learning_rate="auto",
        n_jobs=threads,
        random_state=seed,
    ).fit(affinities=affinities, initialization=start)
    return np.asarray(layout, dtype=np.float32)


def _umap(x: NDArray[Any], seed: int) -> NDArray[np.float32]:
    try:
        umap = importlib.import_module("umap")
    except ImportError as error:
        raise EvaluationError(
            "umap-learn is not installed.",
            expected='Expected it for method="umap".',
            advice='Install it with: pip install "likewise[umap]", or use method="tsne".',
        ) from error
    reducer = umap.UMAP(
        n_neighbors=min(_UMAP_NEIGHBORS, len(x) - 1), init="pca", random_state=seed, n_jobs=1, low_memory=True
    )
    return np.asarray(reducer.fit_transform(x.astype(np.float32)), dtype=np.float32)
