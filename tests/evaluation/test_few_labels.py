from __future__ import annotations

import numpy as np
import pytest

from likewise.errors import EvaluationError
from likewise.evaluation import few_labels, linear_probe, mean_interval


def split(n, seed):
    random = np.random.default_rng(seed)
    labels = np.where(random.random(n) < 0.8, 0, 1 + random.integers(0, 2, n))
    return (np.eye(3, 6)[labels] * 2 + random.normal(size=(n, 6))).astype(np.float32), labels


TRAIN, VALIDATION, TEST = split(400, 0), split(150, 1), split(200, 2)


def test_all_labels_are_the_linear_probe():
    [found] = few_labels(TRAIN, VALIDATION, TEST, amounts=(1.0,), draws=1)
    assert found.mean == linear_probe(TRAIN, VALIDATION, TEST).accuracy
    assert (found.images, found.interval) == (400, None)


def test_more_labels_help_and_the_interval_is_students():
    few, many = few_labels(TRAIN, VALIDATION, TEST, amounts=(2, 0.5), draws=4)
    assert few.images == 6
    assert many.images == sum(round(0.5 * size) for size in np.bincount(TRAIN[1]).tolist())
    assert len(set(few.accuracies)) > 1
    assert few.mean < many.mean
    mean, low, high = mean_interval(few.accuracies)
    assert (few.mean, few.interval) == (mean, (low, high))


def test_a_small_share_keeps_one_of_each_class_and_a_seed_repeats_it():
    first, again = (few_labels(TRAIN, VALIDATION, TEST, amounts=(0.001,), draws=2, seed=5)[0] for _ in range(2))
    assert first.images == 3
    assert first == again


def test_bad_input_is_named():
    for amount in (0, -1, 1.5, 0.0, True):
        with pytest.raises(EvaluationError, match="amount"):
            few_labels(TRAIN, VALIDATION, TEST, amounts=(amount,))
    with pytest.raises(EvaluationError, match=r"300 labels per class.*has \d+"):
        few_labels(TRAIN, VALIDATION, TEST, amounts=(300,))
    with pytest.raises(EvaluationError, match="draws=0"):
        few_labels(TRAIN, VALIDATION, TEST, draws=0)
