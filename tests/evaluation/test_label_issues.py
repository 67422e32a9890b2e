from __future__ import annotations

import numpy as np
import pytest

from likewise.errors import EvaluationError
from likewise.evaluation import label_gaps, label_issues, rank_suspects


def planted(n=600, classes=5, wrong=0.05, spread=0.35):
    random = np.random.default_rng(0)
    truth = np.arange(n) % classes
    x = np.eye(classes, 8)[truth] + spread * random.normal(size=(n, 8)) / 2
    given = truth.copy()
    bad = random.permutation(n)[: round(wrong * n)]
    given[bad] = (given[bad] + random.integers(1, classes, len(bad))) % classes
    return x, truth, given, bad


def test_planted_errors_are_found_and_their_true_class_is_named():
    x, truth, given, bad = planted()
    found = label_issues(x, given)
    hits = np.isin(found.suspects, bad)
    assert np.isin(bad, found.suspects).mean() >= 0.9
    assert hits.mean() >= 0.9
    assert (found.suggested[bad] == truth[bad]).mean() >= 0.95
    assert hits[: len(bad) // 2].all()
    assert (found.scores[found.suspects] >= found.threshold).all()
    gaps = label_gaps(x, given, found.suggested, found.suspects)
    assert list(gaps) == sorted(gaps, reverse=True)


def test_mistakes_come_before_samples_of_classes_that_overlap():
    random = np.random.default_rng(1)
    truth = np.arange(900) % 3
    centres = np.array([[1, 0, 0, 0], [1, 0.2, 0, 0], [0, 0, 0, 1]])  # the first two overlap
    x = centres[truth] + 0.15 * random.normal(size=(900, 4))
    given = truth.copy()
    given[[3, 6, 9]] = 2
    found = label_issues(x, given)
    ranked, gaps = rank_suspects(x, given, found)
    assert len(ranked) > 50
    assert set(ranked[:3].tolist()) == {3, 6, 9}
    assert (np.diff(gaps) <= 0).all()
    by_votes = np.argsort(-found.scores, kind="stable")
    assert set(by_votes[:3].tolist()) != {3, 6, 9}


def test_the_recall_it_promises_is_the_recall_it_has():
    x, _, given, bad = planted(n=1500, spread=1.1)
    found = label_issues(x, given)
    assert 0.3 < np.isin(bad, found.suspects).mean() < 0.98
    assert found.planted_recall == pytest.approx(np.isin(bad, found.suspects).mean(), abs=0.12)
    assert 0.7 < found.planted_auroc < 1


def test_clean_labels_give_few_suspects_and_noise_no_skill():
    x, truth, _, _ = planted(wrong=0.01)
    clean = label_issues(x, truth)
    assert len(clean.suspects) <= 12
    assert clean.planted_precision >= 0.7
    noise = np.random.default_rng(3).normal(size=(600, 8))
    assert 0.4 < label_issues(noise, truth).planted_auroc < 0.65


def test_bad_input_is_named():
    x, truth, _, _ = planted(60)
    with pytest.raises(EvaluationError, match="1 classes"):
        label_issues(x, truth * 0)
    with pytest.raises(EvaluationError, match="k=60"):
        label_issues(x, truth, k=60)
