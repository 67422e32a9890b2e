from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis

from likewise.errors import EvaluationError
from likewise.evaluation import anomaly, anomaly_scores, one_class_anomaly


@pytest.fixture
def data():
    random = np.random.default_rng(0)
    mix = random.normal(size=(5, 5))
    labels = np.arange(200) % 2
    gallery = random.normal(size=(200, 5)) @ mix + 6 * labels[:, None]
    return gallery, labels, random.normal(size=(80, 5)) @ mix, random.normal(size=(60, 5)) @ mix * 2 + 3


def test_knn_scores_are_the_kth_distance(data):
    gallery, _, normal, _ = data
    naive = np.sort(np.linalg.norm(normal[:, None] - gallery, axis=2), axis=1)[:, 2]
    np.testing.assert_allclose(anomaly_scores(gallery, normal, k=3), naive, rtol=1e-5)
    assert anomaly_scores(gallery[:2], normal, k=9).shape == (80,)


@pytest.mark.parametrize("labelled", [False, True])
def test_mahalanobis_equals_scipys(data, labelled):
    gallery, labels, normal, _ = data
    classes = labels if labelled else np.zeros(200, dtype=np.int64)
    means = [gallery[classes == c].mean(axis=0) for c in np.unique(classes)]
    centred = gallery - np.stack(means)[classes]
    inverse = np.linalg.inv(centred.T @ centred / 200)
    naive = [min(mahalanobis(row, mean, inverse) ** 2 for mean in means) for row in normal]
    got = anomaly_scores(gallery, normal, method="mahalanobis", gallery_labels=labels if labelled else None)
    np.testing.assert_allclose(got, naive, rtol=1e-3)


def test_separation_equals_counting_pairs(data):
    gallery, _, normal, strange = data
    found = anomaly(gallery, normal, strange)
    low, high = found.scores[:80], found.scores[80:]
    wins = (high[:, None] > low).mean() + 0.5 * (high[:, None] == low).mean()
    assert found.auroc == pytest.approx(wins)
    threshold = np.sort(low)[int(np.ceil(0.95 * 80)) - 1]
    assert (low <= threshold).mean() >= 0.95
    assert found.fpr_at_95 == pytest.approx((high <= threshold).mean())
    order = np.argsort(-found.scores)
    hits = np.cumsum(order >= 80)
    precision = hits / np.arange(1, 141)
    assert found.aupr == pytest.approx(precision[order >= 80].mean())


def test_each_class_against_the_others():
    random = np.random.default_rng(1)
    labels = np.arange(90) % 3
    x = np.eye(3)[labels] * 5 + 0.1 * random.normal(size=(90, 3))
    found = one_class_anomaly(x, labels, x + 0.01, labels)
    assert sorted(found) == [0, 1, 2]
    assert all(result.auroc == 1.0 and result.fpr_at_95 == 0.0 for result in found.values())
    with pytest.raises(EvaluationError, match=r"\[2\] are not in train"):
        one_class_anomaly(x[labels < 2], labels[labels < 2], x, labels)


def test_a_collapsed_gallery_and_bad_input(data):
    gallery, _, normal, strange = data
    flat = np.ones_like(gallery)
    assert np.isfinite(anomaly_scores(flat, normal, method="mahalanobis")).all()
    assert anomaly(flat, flat, flat).auroc == 0.5
    with pytest.raises(EvaluationError, match="'forest'"):
        anomaly(gallery, normal, strange, method="forest")
    with pytest.raises(EvaluationError, match="columns"):
        anomaly_scores(gallery, normal[:, :3], method="mahalanobis")
