"""How far to trust a number: intervals for a share, for a mean over seeds and for a paired difference.

A share of test samples (an accuracy) gets Wilson's interval, which stays inside [0, 1] and is honest at 0 and 1; where
samples come in groups, as captions come with images, it is that of the groups. A mean over a few seeds gets Student's t.
Two models on the same test samples are compared sample by sample: the paired bootstrap sees that most of their errors are
the same ones, which two separate intervals cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from likewise.errors import EvaluationError
from likewise.evaluation._inputs import ArrayLike, as_labels

_DRAW_CELLS = 2**22  # cells of the resampled counts at once: 32 MB


@dataclass(frozen=True)
class PairedDifference:
    """The difference a - b of two means over the same samples, with its percentile bootstrap interval."""

    difference: float
    low: float
    high: float

    @property
    def supported(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share of successes (Wilson 1927).

    (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n),  p = successes / n, z the normal quantile.

    Args:
        successes: 0 … n.
        n: at least 1.
        confidence: in (0, 1).

    Raises:
        EvaluationError: a count or the confidence is out of range.

    Example:
        >>> low, high = wilson(90, 100)
        >>> round(low, 4), round(high, 4)
        (0.8256, 0.9448)
    """
    _check_confidence(confidence)
    if not 0 <= successes <= n or n < 1:
        raise EvaluationError(
            f"{successes} successes of {n}.",
            expected="Expected 0 … n successes of at least 1.",
            advice="Pass counts, not shares.",
        )
    return _score_interval(successes / n, n, confidence)


def clustered_wilson(
    hits: Sequence[bool] | NDArray[np.generic], groups: ArrayLike, confidence: float = 0.95
) -> tuple[float, float]:
    """Wilson's interval of a share whose samples come in groups, such as the captions of one image.

    Five captions of one image fail together more often than those of five images, so they are worth less than five samples.
    The share has the variance of its groups' sums, V = sum_g ( sum_{i in g} (x_i - p) )² / n², and the interval is Wilson's
    of p with p (1 - p) / V samples, n at most (the effective sample size, Korn & Graubard 1998). With every sample in a
    group of its own it is ``wilson``; where all are right, or none, a group counts as one sample.

    Args:
        hits: (n,) whether each sample is a success.
        groups: (n,) int, the group of each.
        confidence: in (0, 1).

    Raises:
        EvaluationError: lengths differ, no samples, or the confidence is out of range.

    Example:
        >>> alike = np.repeat([True, False, True, True], 5)      # four images of five captions, each of one mind
        >>> clustered_wilson(alike, np.repeat(range(4), 5)) == wilson(3, 4)
        True
    """
    _check_confidence(confidence)
    right = np.asarray(hits, dtype=np.float64).ravel()
    if not len(right):
        raise EvaluationError(
            "There are no hits.", expected="Expected at least one sample.", advice="Check the split: it may be empty."
        )
    of = np.unique(as_labels(groups, "groups", len(right)), return_inverse=True)[1]
    p, n = float(right.mean()), len(right)
    variance = float(np.square(np.bincount(of, weights=right - p)).sum()) / n**2
    effective = float(of.max() + 1) if p in (0.0, 1.0) else min(n, p * (1 - p) / max(variance, 1e-300))
    return _score_interval(p, effective, confidence)


def _score_interval(p: float, n: float, confidence: float) -> tuple[float, float]:
    """Wilson's interval of a share p among n samples, which need not be a whole number."""
    z = float(ndtri(0.5 + confidence / 2))
    centre = p + z * z / (2 * n)
    half = z * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    scale = 1 + z * z / n
    # at p = 0 and p = 1 one end is exact; subtraction would leave a speck of rounding there
    low = 0.0 if p == 0 else (centre - half) / scale
    high = 1.0 if p == 1 else (centre + half) / scale
    return low, high


def mean_interval(
    values: Sequence[float] | NDArray[np.floating], confidence: float = 0.95
) -> tuple[float, float, float]:
    """Mean and Student-t interval of a few independent values, such as one number per seed.

    mean ± t(n-1) · s / sqrt(n). One value alone has no interval: both ends are NaN.

    Args:
        values: at least one finite number.
        confidence: in (0, 1).

    Returns:
        (mean, low, high).

    Raises:
        EvaluationError: no values, one that is not finite, or the confidence out of range.

    Example:
        >>> [round(x, 3) for x in mean_interval([0.90, 0.91, 0.92])]
        [0.91, 0.885, 0.935]
    """
    _check_confidence(confidence)
    x = np.asarray(values, dtype=np.float64).ravel()
    if len(x) == 0 or not np.isfinite(x).all():
        raise EvaluationError(
            f"values = {x.tolist()[:10]}.",
            expected="Expected at least one finite number.",
            advice="Leave out runs that did not measure it.",
        )
    mean = float(x.mean())
    if len(x) == 1:
        return mean, float("nan"), float("nan")
    half = float(stdtrit(len(x) - 1, 0.5 + confidence / 2) * x.std(ddof=1) / np.sqrt(len(x)))
    return mean, mean - half, mean + half


def paired_bootstrap(
    a: Sequence[float] | NDArray[np.generic],
    b: Sequence[float] | NDArray[np.generic],
    *,
    seed: int = 0,
    resamples: int = 10_000,
    confidence: float = 0.95,
) -> PairedDifference:
    """Difference of two means over the same samples, with a percentile interval over resampled samples.

    Args:
        a: (M,) values of one model per sample, for example whether it is right (bool) or its average precision.
        b: (M,) values of the other model for the same samples in the same order.
        seed: the same seed gives the same interval.
        resamples: bootstrap draws.
        confidence: in (0, 1).

    Raises:
        EvaluationError: lengths differ, no samples, values not finite, or the confidence out of range.

    Example:
        >>> paired_bootstrap([1, 1, 1, 1], [1, 1, 1, 1])
        PairedDifference(difference=0.0, low=0.0, high=0.0)
    """
    _check_confidence(confidence)
    first, second = np.asarray(a, dtype=np.float64).ravel(), np.asarray(b, dtype=np.float64).ravel()
    if len(first) != len(second) or len(first) == 0:
        raise EvaluationError(
            f"{len(first)} values against {len(second)}.",
            expected="Expected one value of each model per sample.",
            advice="Evaluate both on the same test split.",
        )
    gap = first - second
    if not np.isfinite(gap).all():
        raise EvaluationError(
            "a value is NaN or infinite.", expected="Expected finite values.", advice="Leave those samples out of both."
        )
    # a resample is a multinomial count per distinct value: three numbers for right-or-wrong, whatever M is
    distinct, counts = np.unique(gap, return_counts=True)
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    step = max(1, _DRAW_CELLS // len(distinct))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        draws = generator.multinomial(len(gap), counts / len(gap), size=size)
        means[start : start + size] = draws @ distinct / len(gap)
    low, high = np.quantile(means, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return PairedDifference(float(gap.mean()), float(low), float(high))


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise EvaluationError(
            f"confidence={confidence}.", expected="Expected a share between 0 and 1.", advice="The usual value is 0.95."
        )
