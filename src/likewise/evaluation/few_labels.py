"""The linear probe with few labels: how far does an embedding carry 1 %, 10 %, or five labels a class?

One draw of five images a class says more about the draw than about the embedding, so every amount is drawn several times
and its mean reported with Student's interval over the draws. Embeddings are computed once; each draw only fits a probe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from likewise.errors import EvaluationError
from likewise.evaluation._inputs import as_embeddings, as_labels
from likewise.evaluation.intervals import mean_interval
from likewise.evaluation.linear_probe import STRENGTHS, Split, linear_probe


@dataclass(frozen=True)
class FewLabelsResult:
    """Test accuracy of the probe with one amount of labels."""

    amount: int | float
    """As asked for: a share of train, or a number per class."""
    images: int
    """Labels in each draw."""
    accuracies: tuple[float, ...]
    """On test, one a draw."""
    mean: float
    interval: tuple[float, float] | None
    """95 %, Student's t over the draws; None for a single one."""


def few_labels(
    train: Split,
    validation: Split,
    test: Split,
    *,
    amounts: Sequence[int | float] = (0.01, 0.1),
    draws: int = 5,
    seed: int = 0,
    strengths: Sequence[float] = STRENGTHS,
) -> list[FewLabelsResult]:
    """Linear probes on few labels of train; see ``linear_probe`` for the probe.

    The strength is chosen on the whole validation split, which a person with so few labels would not have: the numbers
    compare embeddings, they do not promise a deployment.

    Args:
        train: (N, D) real and (N,) int labels, at least two classes.
        validation: (V, D) and (V,).
        test: (M, D) and (M,).
        amounts: a float in (0, 1] is a share of each class (at least one image of each), an int a number per class.
        draws: how often each amount is drawn, at least 1.
        seed: of the draws.
        strengths: as in ``linear_probe``.

    Raises:
        EvaluationError: an amount or ``draws`` is out of range, a class has too few images, or as ``linear_probe``.

    Example:
        >>> x, y = np.array([[-1.0], [-2.0], [1.0], [2.0]], dtype=np.float32), np.array([0, 0, 1, 1])
        >>> [(found.images, found.mean) for found in few_labels((x, y), (x, y), (x, y), amounts=(1, 0.5))]
        [(2, 1.0), (2, 1.0)]
    """
    if draws < 1:
        raise EvaluationError(f"draws={draws}.", expected="Expected at least 1.", advice="The default is 5.")
    features = as_embeddings(train[0], "train")
    labels = as_labels(train[1], "train labels", len(features))
    results = []
    for place, amount in enumerate(amounts):
        takes = _takes(labels, amount)
        accuracies = []
        for draw in range(draws):
            rows = _draw(labels, takes, np.random.default_rng([seed, place, draw]))
            found = linear_probe((features[rows], labels[rows]), validation, test, strengths=strengths)
            accuracies.append(found.accuracy)
        mean, low, high = mean_interval(accuracies) if draws > 1 else (accuracies[0], None, None)
        interval = None if low is None or high is None else (low, high)
        results.append(FewLabelsResult(amount, sum(takes.values()), tuple(accuracies), mean, interval))
    return results


def _takes(labels: NDArray[np.int64], amount: int | float) -> dict[int, int]:
    """Class → how many of its images a draw takes."""
    classes, sizes = np.unique(labels, return_counts=True)
    share = isinstance(amount, float)
    if isinstance(amount, bool) or not amount > 0 or (share and amount > 1):
        raise EvaluationError(
            f"The amount {amount!r} of labels was asked for.",
            expected="Expected a share (a float in (0, 1]) or a number per class (a whole number from 1).",
            advice="For example 0.01 or 5.",
        )
    if not share and amount > sizes.min():
        raise EvaluationError(
            f"{amount} labels per class were asked for, and class {classes[sizes.argmin()]} has {sizes.min()}.",
            expected=f"Expected at most {sizes.min()}.",
            advice="Lower the number, or give a share.",
        )
    return {
        int(name): max(1, round(amount * int(size))) if share else int(amount)
        for name, size in zip(classes, sizes, strict=True)
    }


def _draw(labels: NDArray[np.int64], takes: dict[int, int], random: np.random.Generator) -> NDArray[np.int64]:
    chosen = [random.choice(np.flatnonzero(labels == name), size=take, replace=False) for name, take in takes.items()]
    return np.sort(np.concatenate(chosen))
