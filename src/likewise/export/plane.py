"""Places in the plane for any number of embeddings: a few thousand are laid out, the others put between their nearest of these.

A layout of a million points by t-SNE or UMAP takes hours; one of 5,000 a minute. What is lost is the fine order inside a
neighbourhood of the picture; which neighbourhood a point belongs to is kept.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from likewise.evaluation import nearest, project

__all__ = ["LAID_OUT", "places_in_plane"]

LAID_OUT = 5_000
_BETWEEN = 5


def places_in_plane(
    embeddings: NDArray[np.float32], method: str, *, distance: str, seed: int = 0, laid_out: int = LAID_OUT
) -> NDArray[np.float32]:
    """Coordinates (N, 2) float32.

    Args:
        embeddings: (N, D) float32; of two dimensions they are the places.
        method: ``tsne``, ``umap`` or ``pca``, which takes all rows at once.
        distance: ``cosine`` or ``euclidean``, in which the nearest are sought.
        seed: of the draw and of the layout.
        laid_out: rows that the method itself places; each other row lies at the mean of the places of its five nearest among
            them, weighted by 1 / distance.

    Example:
        >>> places_in_plane(np.eye(6, dtype=np.float32), "pca", distance="cosine").shape
        (6, 2)
    """
    if len(embeddings) <= laid_out or method == "pca" or embeddings.shape[1] <= 2:
        return project(_at_least_two(embeddings), method, seed=seed)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(embeddings))[:laid_out])
    anchors = project(embeddings[chosen], method, seed=seed)
    distances, near = nearest(embeddings, embeddings[chosen], min(_BETWEEN, laid_out), distance=distance)
    weights = 1 / np.maximum(distances, 1e-6 * max(float(distances.max()), 1e-12))
    weights /= weights.sum(axis=1, keepdims=True)
    places: NDArray[np.float32] = np.einsum("nk,nkd->nd", weights, anchors[near]).astype(np.float32)
    places[chosen] = anchors
    return places


def _at_least_two(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    missing = max(0, 2 - embeddings.shape[1])
    return np.pad(embeddings, ((0, 0), (0, missing))) if missing else embeddings
