"""Trustworthiness: are the neighbours in a picture neighbours in the space it was drawn from?

Venna & Kaski 2001: each of the k nearest in the picture that is not among the k nearest in the space costs its rank
there minus k. 1 means that no neighbour is invented, about 0.5 is a random picture. Rows of ranks are counted in
tiles, no (N, N) table.
"""

from __future__ import annotations

import numpy as np

from likewise.errors import EvaluationError
from likewise.evaluation._inputs import ArrayLike, as_embeddings, check_k
from likewise.evaluation.nearest import nearest

_TILE_CELLS = 2**21


def trustworthiness(embeddings: ArrayLike, projection: ArrayLike, *, k: int = 10) -> float:
    """Trustworthiness at k of a projection, Euclidean in both spaces.

    T(k) = 1 - 2 / (N k (2N - 3k - 1)) · sum_i sum_{j in U_k(i)} (r(i, j) - k),  U_k(i) the k nearest of i in the
    projection that are not so in the space, r(i, j) the rank of j from i in the space.

    Args:
        embeddings: (N, D) real, finite.
        projection: (N, 2) real, finite, row by row the same samples.
        k: 1 … below N / 2.

    Raises:
        EvaluationError: different numbers of rows, or k out of range.

    Example:
        >>> x = np.arange(12.0).reshape(6, 2)
        >>> trustworthiness(x, x, k=2)
        1.0
    """
    x, y = as_embeddings(embeddings, "embeddings"), as_embeddings(projection, "projection")
    check_k(k)
    if len(x) != len(y) or 2 * k >= len(x):
        raise EvaluationError(
            f"{len(x)} embeddings, {len(y)} projected points and k={k}.",
            expected="Expected as many points as embeddings, and k below half of them.",
            advice="Project the same samples, or lower k.",
        )
    n = len(x)
    shown = nearest(y, y, k, exclude_self=True)[1]
    space = (x - x.mean(axis=0, dtype=np.float64)).astype(np.float32)
    squares = np.einsum("nd,nd->n", space, space)
    penalty = 0
    step = max(1, _TILE_CELLS // n)
    for start in range(0, n, step):
        rows = np.arange(start, min(start + step, n))
        distance = squares - 2 * space[rows] @ space.T
        distance[np.arange(len(rows)), rows] = np.inf
        for column in range(k):
            own = np.take_along_axis(distance, shown[rows, column, None], axis=1)
            rank = 1 + (distance < own).sum(axis=1)
            penalty += int(np.maximum(rank - k, 0).sum())
    return 1 - penalty * 2 / (n * k * (2 * n - 3 * k - 1))
