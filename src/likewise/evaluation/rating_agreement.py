"""Whether similarities order pairs of an image and a text as people do: Spearman's rank correlation with their ratings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from likewise.errors import EvaluationError
from likewise.evaluation._inputs import ArrayLike, as_embeddings, as_labels

__all__ = ["RatingAgreement", "rating_agreement"]


@dataclass(frozen=True)
class RatingAgreement:
    """Agreement with people, -1 … 1, and its 95 % interval."""

    spearman: float
    interval: tuple[float, float]
    """Percentile bootstrap over the images: pairs of one image are not independent."""
    pairs: int


def rating_agreement(
    similarities: ArrayLike, ratings: ArrayLike, images: ArrayLike, *, resamples: int = 1000, seed: int = 0
) -> RatingAgreement:
    """Spearman's rank correlation of similarities and ratings; equal values share their mean rank.

    Args:
        similarities: (R,) real, finite: of each pair, by the model.
        ratings: (R,) real, finite: of each pair, by people (the mean where there are several).
        images: (R,) int, the image of each pair; what is resampled for the interval.
        resamples: bootstrap draws.
        seed: the same seed gives the same interval.

    Raises:
        EvaluationError: lengths differ, a value is not finite, or all similarities or all ratings are equal.

    Example:
        >>> found = rating_agreement(np.array([0.1, 0.3, 0.2]), np.array([1, 4, 2]), np.arange(3))
        >>> round(found.spearman, 3)
        1.0
    """
    x, y = (
        as_embeddings(np.asarray(values).reshape(-1, 1), name)[:, 0].astype(np.float64)
        for values, name in ((similarities, "similarities"), (ratings, "ratings"))
    )
    if len(x) != len(y):
        raise EvaluationError(
            f"{len(x)} similarities against {len(y)} ratings.", expected="Expected one of each for every pair."
        )
    owner = as_labels(images, "images", len(x))
    for values, name in ((x, "similarities"), (y, "ratings")):
        if values.min() == values.max():
            raise EvaluationError(
                f"All {len(values)} {name} are {values[0]:g}.",
                expected="Expected values that differ: equal ones have no order.",
            )
    order = np.argsort(owner, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(owner[order])) + 1)
    generator = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples):
        rows = np.concatenate([members[at] for at in generator.integers(len(members), size=len(members))])
        drawn.append(_spearman(x[rows], y[rows]))
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return RatingAgreement(_spearman(x, y), (float(low), float(high)), len(x))


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    """NaN where one side is all equal."""
    from scipy.stats import rankdata

    ranks = [rankdata(values) for values in (x, y)]
    first, second = (each - each.mean() for each in ranks)
    scale = np.sqrt((first @ first) * (second @ second))
    return float(first @ second / scale) if scale > 0 else float("nan")
