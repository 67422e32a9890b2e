"""Agreement with ratings against scipy, and an interval that knows that pairs of one image belong together."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from likewise.errors import EvaluationError
from likewise.evaluation import rating_agreement


def test_it_is_scipys_spearman_ties_included() -> None:
    draws = np.random.default_rng(0)
    ratings = draws.integers(1, 5, 300)
    similarities = (0.1 * ratings + draws.normal(0, 0.2, 300)).round(1)
    found = rating_agreement(similarities, ratings, np.arange(300) // 6, resamples=200)
    assert found.spearman == pytest.approx(spearmanr(similarities, ratings).statistic, abs=1e-12)
    assert found.interval[0] < found.spearman < found.interval[1]
    assert found.pairs == 300
    assert found == rating_agreement(similarities, ratings, np.arange(300) // 6, resamples=200)


def test_ten_copies_of_each_pair_of_an_image_make_the_interval_no_narrower() -> None:
    draws = np.random.default_rng(1)
    x = draws.normal(size=40)
    y = x + draws.normal(size=40)
    once = rating_agreement(x, y, np.arange(40), resamples=400)
    copied = rating_agreement(np.repeat(x, 10), np.repeat(y, 10), np.repeat(np.arange(40), 10), resamples=400)
    assert copied.spearman == pytest.approx(once.spearman)
    width = once.interval[1] - once.interval[0]
    assert copied.interval[1] - copied.interval[0] == pytest.approx(width, rel=0.15)


def test_bad_input_is_named() -> None:
    with pytest.raises(EvaluationError, match="3 similarities against 2 ratings"):
        rating_agreement(np.arange(3), np.arange(2), np.arange(3))
    with pytest.raises(EvaluationError, match="All 3 ratings are 2"):
        rating_agreement(np.arange(3), np.full(3, 2), np.arange(3))
    with pytest.raises(EvaluationError, match="NaN"):
        rating_agreement(np.array([0.1, np.nan]), np.arange(2), np.arange(2))
