from __future__ import annotations

import numpy as np
import pytest

from likewise.errors import EvaluationError
from likewise.evaluation import duplicates


def test_pairs_equal_a_double_loop():
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 8)).astype(np.float32)
    x[40] = x[3]
    x[50] = x[3] + 1e-3
    x[20] = 2 * x[21]
    found = duplicates(x)
    unit = x.astype(np.float64) / np.linalg.norm(x, axis=1, keepdims=True)
    far = 1 - unit @ unit.T
    naive = [(i, j) for i in range(60) for j in range(i + 1, 60) if far[i, j] <= found.threshold]
    assert sorted(map(tuple, found.pairs.tolist())) == naive == [(3, 40), (3, 50), (20, 21), (40, 50)]
    assert found.groups == ((3, 40, 50), (20, 21))
    assert list(found.distances) == sorted(found.distances)


def test_leaks_are_pairs_of_query_and_gallery():
    random = np.random.default_rng(1)
    train, test = random.normal(size=(40, 6)), random.normal(size=(10, 6))
    test[7] = train[31] * 1.0001
    found = duplicates(test, train)
    assert found.pairs.tolist() == [[7, 31]]
    assert found.groups == ()


def test_many_copies_of_one_image_are_one_group():
    x = np.vstack([np.tile([[1.0, 2.0, 3.0]], (30, 1)), np.random.default_rng(2).normal(size=(40, 3)) * 9])
    found = duplicates(x, distance="euclidean", threshold=0)
    assert len(found.groups) == 1
    assert len(found.groups[0]) == 30
    assert (found.distances == 0).all()


def test_bad_input_is_named():
    with pytest.raises(EvaluationError, match="ratio=-1"):
        duplicates(np.eye(3), ratio=-1)
    with pytest.raises(EvaluationError, match="1 rows"):
        duplicates(np.ones((1, 2)))
