"""Means, differences and their 95 % intervals when both the training seed and the test images are a sample.

A difference d[s, i] of two recipes on seed s and test image i has two kinds of noise. Seeds: the mean over images moves
from seed to seed, and there are two to five of them, so its uncertainty is Student's t. Images: all seeds are tested on
the same images, so their luck does not average out over seeds; there are thousands, so it is resampled (paired
bootstrap). The interval here is of the sum of both, drawn together: with no image noise it is exactly Student's
interval over seeds, with one seed exactly the paired bootstrap. Resampling the seeds as well would not do: where seeds
are the main noise such a "95 %" interval covers 47 % with two seeds, 74 % with three and 85 % with five
(``tests/comparison/test_statistics.py`` measures the coverage of this one).

Cost: 2,000 resamples of 10,000 images take 0.2 s once, for all pairs and metrics of a training size together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from likewise.evaluation.intervals import mean_interval

__all__ = ["Interval", "independent_difference", "intervals_of_means", "paired_differences", "student", "within"]

CONFIDENCE = 0.95
RESAMPLES = 2000
_CHUNK, _CHUNK_BYTES = 100, 32 * 2**20  # resamples whose weights lie in memory at a time: 8 MB for 10,000 images


@dataclass(frozen=True)
class Interval:
    """A mean with its interval; ``low`` and ``high`` are ``None`` where nothing can be said."""

    mean: float
    low: float | None
    high: float | None
    method: str

    @property
    def excludes_zero(self) -> bool:
        """Whether the sign of the mean is supported."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def within(interval: Interval, least: float, most: float) -> Interval:
    """The interval cut to what is possible: Student's t over two or three seeds does not know that a share ends at 1.

    Example:
        >>> within(student([0.9, 0.99]), 0, 1).high
        1.0
    """
    if interval.low is None or interval.high is None:
        return interval
    return dataclasses.replace(interval, low=float(max(interval.low, least)), high=float(min(interval.high, most)))


def student(values: Sequence[float]) -> Interval:
    """Mean over seeds with Student's interval: mean ± t(n-1, 0.975) · s / √n.

    Args:
        values: one number a seed, n ≥ 1; one has no interval.

    Example:
        >>> row = student([1.0, 2.0, 3.0])
        >>> round(row.low, 3), row.mean, round(row.high, 3)     # 2 ± 4.303 / √3
        (-0.484, 2.0, 4.484)
    """
    mean, low, high = mean_interval(values, CONFIDENCE)
    return Interval(mean, low, high, "paired-t") if len(values) > 1 else Interval(mean, None, None, "none")


def paired_differences(differences: NDArray[np.float64], *, seed: int = 0) -> list[Interval]:
    """Mean difference over seeds and test images with its interval, for several pairs at once.

    Args:
        differences: (P, S, N), for each of P pairs the value of a minus that of b on seed s and test image i. The
            images are the same in all P and S.
        seed: of the resampling; the same for all pairs, so the intervals of one table belong together.

    Returns:
        P intervals.

    Example:
        >>> better = np.ones((1, 1, 400))
        >>> better[0, 0, :100] = 0                       # a is right and b wrong on 300 of 400 images
        >>> row = paired_differences(better)[0]
        >>> row.mean, round(row.low, 2), round(row.high, 2)      # 0.75 ± 1.96 · √(0.75 · 0.25 / 400)
        (0.75, 0.71, 0.79)
    """
    return intervals_of_means(differences.mean(axis=1), differences.mean(axis=2), seed=seed)


def intervals_of_means(
    per_image: NDArray[np.float64], per_seed: NDArray[np.float64], *, seed: int = 0
) -> list[Interval]:
    """``paired_differences`` of what it reads of them, which is all that needs to be kept.

    Args:
        per_image: (P, N) means over the seeds.
        per_seed: (P, S) means over the images.
        seed: of the resampling.
    """
    images, seeds = per_image.shape[1], per_seed.shape[1]
    means = per_image.mean(axis=1)
    draws = _resampled_means(per_image, images, seed) - means[:, None]
    method = "paired-bootstrap-one-seed"
    if seeds > 1:
        method = "paired-bootstrap"
        shocks = _student_draws(seeds, seed)
        draws = draws + np.array([_standard_error(row) for row in per_seed])[:, None] * shocks[None]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=1)
    return [
        Interval(float(mean), float(mean + below), float(mean + above), method)
        for mean, below, above in zip(means, low, high, strict=True)
    ]


def independent_difference(a: Sequence[float], b: Sequence[float], *, images: int, seed: int = 0) -> Interval:
    """Difference of two accuracies of which only the values per seed are known, not the single test images.

    The images' part is that of two independent samples, √(p(1-p)/N + q(1-q)/N): right on the same images, two
    classifiers differ less than that, so the interval is on the wide side.

    Args:
        a, b: accuracies per seed, in pairs.
        images: N, test images behind each.
        seed: of the draws.
    """
    differences = np.asarray(a) - np.asarray(b)
    p, q = float(np.mean(a)), float(np.mean(b))
    spread = np.sqrt((p * (1 - p) + q * (1 - q)) / images)
    levels = ndtri((np.arange(RESAMPLES) + 0.5) / RESAMPLES)
    draws = np.random.default_rng(seed + 1).permutation(levels) * spread
    method = "independent-one-seed"
    if len(differences) > 1:
        method = "independent"
        draws = draws + _standard_error(differences) * _student_draws(len(differences), seed)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(p - q, float(p - q + low), float(p - q + high), method)


def _standard_error(values: NDArray[np.float64]) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def _student_draws(seeds: int, seed: int) -> NDArray[np.float64]:
    # Quantiles in shuffled order, not random draws: with two seeds t has one degree of freedom, and its drawn tails
    # would make the interval itself a matter of luck.
    levels = stdtrit(seeds - 1, (np.arange(RESAMPLES) + 0.5) / RESAMPLES)
    shuffled: NDArray[np.float64] = np.random.default_rng(seed + 2).permutation(levels)
    return shuffled


def _resampled_means(per_image: NDArray[np.float64], images: int, seed: int) -> NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    blocks = []
    chunk = max(1, min(_CHUNK, _CHUNK_BYTES // (8 * images)))
    for start in range(0, RESAMPLES, chunk):
        drawn = generator.integers(0, images, size=(min(chunk, RESAMPLES - start), images))
        weights = np.stack([np.bincount(row, minlength=images) for row in drawn]).astype(np.float64)
        blocks.append(per_image @ weights.T / images)
    return np.concatenate(blocks, axis=1)
