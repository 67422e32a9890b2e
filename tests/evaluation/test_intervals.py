import math

import numpy as np
import pytest
from scipy import stats

from likewise.errors import EvaluationError
from likewise.evaluation import clustered_wilson, mean_interval, paired_bootstrap, wilson


@pytest.mark.parametrize(("hits", "n"), [(0, 20), (20, 20), (7, 20), (8_973, 10_000), (1, 1)])
def test_wilson_equals_scipy(hits, n):
    reference = stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert wilson(hits, n) == pytest.approx((reference.low, reference.high), abs=1e-12)


def test_groups_of_one_mind_count_as_one_sample_and_groups_of_one_as_they_are():
    random = np.random.default_rng(0)
    hits = random.random(200) < 0.3
    assert clustered_wilson(hits, np.arange(200)) == pytest.approx(wilson(int(hits.sum()), 200))
    five = np.repeat(hits, 5), np.repeat(np.arange(200), 5)
    assert clustered_wilson(*five) == pytest.approx(wilson(int(hits.sum()), 200))
    assert clustered_wilson(np.ones(20, bool), np.arange(20) // 5) == wilson(4, 4)
    mixed = np.tile([True, False], 50)  # groups more alike to each other than chance make it no narrower than wilson
    assert clustered_wilson(mixed, np.arange(100) // 2) == pytest.approx(wilson(50, 100))


def test_the_interval_of_groups_covers_where_wilsons_does_not():
    random = np.random.default_rng(1)
    inside = {"groups": 0, "plain": 0}
    for _ in range(300):
        p = random.beta(0.6, 1.4, size=150)  # each image has captions as hard as itself; the mean is 0.3
        hits = random.random((150, 5)) < p[:, None]
        low, high = clustered_wilson(hits.ravel(), np.repeat(np.arange(150), 5))
        inside["groups"] += low <= 0.3 <= high
        low, high = wilson(int(hits.sum()), 750)
        inside["plain"] += low <= 0.3 <= high
    assert inside["groups"] / 300 > 0.92
    assert inside["plain"] / 300 < 0.85


def test_mean_interval_equals_scipy():
    values = [0.81, 0.84, 0.79, 0.86]
    expected = stats.t.interval(0.9, 3, loc=np.mean(values), scale=stats.sem(values))
    assert mean_interval(values, 0.9) == pytest.approx((np.mean(values), *expected))
    mean, low, high = mean_interval([0.5])
    assert mean == 0.5
    assert math.isnan(low)
    assert math.isnan(high)


def test_paired_bootstrap_sees_the_pairing():
    random = np.random.default_rng(0)
    hard = random.random(4000) < 0.2
    a = ~hard
    b = ~hard & (random.random(4000) > 0.02)
    result = paired_bootstrap(a, b)
    gap = a.astype(float) - b
    half = 1.96 * gap.std() / math.sqrt(4000)
    assert result.difference == pytest.approx(gap.mean())
    assert (result.low, result.high) == pytest.approx((gap.mean() - half, gap.mean() + half), abs=half * 0.1)
    assert result.supported
    assert paired_bootstrap(a, b) == result
    assert not paired_bootstrap(a, random.permutation(a)).supported


def test_paired_bootstrap_of_real_values():
    random = np.random.default_rng(0)
    a, b = random.normal(1, 1, 500), random.normal(0, 1, 500)
    result = paired_bootstrap(a, b, resamples=2000)
    half = 1.96 * (a - b).std() / math.sqrt(500)
    assert result.high - result.low == pytest.approx(2 * half, rel=0.1)


def test_bad_input_is_named():
    with pytest.raises(EvaluationError, match="3 successes of 2"):
        wilson(3, 2)
    with pytest.raises(EvaluationError, match=r"confidence=95"):
        wilson(1, 2, 95)
    with pytest.raises(EvaluationError, match="at least one"):
        mean_interval([])
    with pytest.raises(EvaluationError, match=r"no hits.*at least one"):
        clustered_wilson([], np.array([], dtype=np.int64))
    with pytest.raises(EvaluationError, match="2 values against 1"):
        paired_bootstrap([1, 0], [1])
    with pytest.raises(EvaluationError, match="NaN"):
        paired_bootstrap([math.nan], [1])
