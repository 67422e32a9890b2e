"""How alike an embedding makes images of one class, and images of different classes: the two distributions of the cosine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from likewise.evaluation._inputs import ArrayLike, as_embeddings, as_labels
from likewise.evaluation._tiles import lengths

__all__ = ["PairSimilarities", "pair_similarities"]


@dataclass(frozen=True)
class PairSimilarities:
    """Two histograms over the same bins of the cosine.

    Attributes:
        edges: (bins + 1,) float64, from -1 to 1.
        same: (bins,) float64, share of the pairs of one class in each bin; sums to 1.
        different: (bins,) float64, of pairs of different classes.
        auroc: probability that a pair of one class, drawn at random, is more alike than a pair of different classes; a tie
            counts one half. 0.5 is chance, 1 is a space in which one threshold decides "same or different" (verification).
        images: how many images the pairs are of.
    """

    edges: NDArray[np.float64]
    same: NDArray[np.float64]
    different: NDArray[np.float64]
    auroc: float
    images: int


def pair_similarities(
    embeddings: ArrayLike, labels: ArrayLike, *, bins: int = 60, most: int = 1000, seed: int = 0
) -> PairSimilarities | None:
    """Cosines of all pairs i < j of up to ``most`` images, by whether their labels agree.

    Args:
        embeddings: (N, D) float; a row of zeros has the cosine 0 with every other.
        labels: (N,) int.
        bins: number of bins between -1 and 1.
        most: images to take, drawn by ``seed`` where there are more: pairs grow with their square.
        seed: of that draw.

    Returns:
        The histograms, or None where no two labels agree or all do.

    Raises:
        EvaluationError: shapes, dtypes or values do not fit.

    Example:
        >>> found = pair_similarities(np.array([[1, 0], [1, 0.1], [0, 1]]), np.array([0, 0, 1]))
        >>> found.auroc, found.images
        (1.0, 3)
    """
    from sklearn.metrics import roc_auc_score

    rows = as_embeddings(embeddings, "embeddings")
    classes = as_labels(labels, "labels", len(rows))
    if len(rows) > most:
        chosen = np.sort(np.random.default_rng(seed).permutation(len(rows))[:most])
        rows, classes = rows[chosen], classes[chosen]
    norms = lengths(rows)[:, None]
    unit = rows / np.where(norms > 0, norms, 1)
    above = np.triu_indices(len(unit), k=1)
    cosines = np.clip((unit @ unit.T)[above], -1, 1)
    alike = (classes[:, None] == classes[None, :])[above]
    if not alike.any() or alike.all():
        return None
    edges = np.linspace(-1, 1, bins + 1)
    same, different = (np.histogram(cosines[chosen], edges)[0] for chosen in (alike, ~alike))
    return PairSimilarities(
        edges=edges,
        same=same / same.sum(),
        different=different / different.sum(),
        auroc=float(roc_auc_score(alike, cosines)),
        images=len(unit),
    )
