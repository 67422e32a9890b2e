from __future__ import annotations

import itertools

import numpy as np
import pytest

from likewise.errors import EvaluationError
from likewise.evaluation import clustering


def groups(n=240, clusters=4, spread=0.2, seed=0):
    random = np.random.default_rng(seed)
    labels = np.arange(n) % clusters
    centres = random.normal(size=(clusters, 6)) * 3
    return (centres[labels] + spread * random.normal(size=(n, 6))).astype(np.float32), labels


def entropy(*columns):
    _, counts = np.unique(np.stack(columns), axis=1, return_counts=True)
    p = counts / counts.sum()
    return float(-(p * np.log(p)).sum())


@pytest.mark.parametrize("spherical", [False, True])
def test_clear_groups_are_found(spherical):
    x, labels = groups()
    found = clustering(x, labels, spherical=spherical)
    assert found.accuracy == 1.0
    assert found.nmi == pytest.approx(1.0)
    assert found.ari == pytest.approx(1.0)
    assert found.silhouette is not None
    assert found.silhouette > 0.7
    assert {int(found.matching[c]) for c in range(4)} == {0, 1, 2, 3}


def test_scores_equal_their_definitions():
    x, labels = groups(90, 3, spread=4.0, seed=1)
    found = clustering(x, labels, clusters=3, starts=2)
    both, a, b = entropy(labels, found.assignments), entropy(labels), entropy(found.assignments)
    assert found.nmi == pytest.approx(2 * (a + b - both) / (a + b))
    best = max(
        np.mean([dict(enumerate(order))[c] == y for c, y in zip(found.assignments, labels, strict=True)])
        for order in itertools.permutations(range(3))
    )
    assert found.accuracy == pytest.approx(best)
    same, together = labels[:, None] == labels, found.assignments[:, None] == found.assignments
    pairs = np.triu_indices(90, 1)
    n, s, t, st = len(pairs[0]), same[pairs].sum(), together[pairs].sum(), (same & together)[pairs].sum()
    assert found.ari == pytest.approx((st - s * t / n) / ((s + t) / 2 - s * t / n))


def test_spherical_clusters_are_by_direction():
    random = np.random.default_rng(0)
    angle = np.repeat([0.1, 1.2, 2.9], 40) + 0.05 * random.normal(size=120)
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1) * random.uniform(0.1, 50, size=(120, 1))
    labels = np.repeat([0, 1, 2], 40)
    found = clustering(x, labels, spherical=True)
    assert found.accuracy == 1.0
    np.testing.assert_allclose(np.linalg.norm(found.centers, axis=1), 1, atol=1e-6)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    np.testing.assert_array_equal((unit @ found.centers.T).argmax(axis=1), found.assignments)
    assert clustering(x, labels).accuracy < 0.9


def test_more_clusters_than_points_of_a_kind_and_one_cluster():
    x = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    assert clustering(x, np.repeat([0, 1, 2], 4), clusters=5, spherical=True).accuracy <= 1.0
    alone = clustering(x, np.zeros(12, dtype=np.int64))
    assert alone.silhouette is None
    assert alone.accuracy == 1.0
    assert clustering(x, clusters=3).nmi is None


def test_a_seed_gives_the_same_clusters():
    x, _ = groups(spread=3.0)
    for spherical in (False, True):
        first, again = (clustering(x, clusters=5, spherical=spherical, seed=3, starts=2) for _ in range(2))
        np.testing.assert_array_equal(first.assignments, again.assignments)


def test_bad_input_is_named():
    x, labels = groups()
    with pytest.raises(EvaluationError, match="Neither labels nor clusters"):
        clustering(x)
    with pytest.raises(EvaluationError, match="clusters=500"):
        clustering(x, labels, clusters=500)
    with pytest.raises(EvaluationError, match="NaN or infinity in row 3"):
        clustering(np.where(np.arange(240)[:, None] == 3, np.nan, x), labels)
