import numpy as np
import pytest
from sklearn.metrics import top_k_accuracy_score

from likewise.errors import EvaluationError
from likewise.evaluation import class_ranks, class_recall_at_k


def test_equals_scikit_learn():
    random = np.random.default_rng(0)
    scores, labels = random.random((300, 7)), random.integers(0, 7, 300)
    for k, value in class_recall_at_k(scores, labels, range(1, 8)).items():
        assert value == pytest.approx(top_k_accuracy_score(labels, scores, k=k, labels=range(7)) if k < 7 else 1.0)


def test_ties_rank_by_class_number():
    assert class_ranks(np.array([[0.0, 0.5, 0.5, 0.0]] * 4), np.arange(4)).tolist() == [3, 1, 2, 4]


def test_bad_input_is_named():
    with pytest.raises(EvaluationError, match="0 … 1"):
        class_recall_at_k(np.zeros((1, 2)), np.array([2]), (1,))
    with pytest.raises(EvaluationError, match="k=0"):
        class_recall_at_k(np.zeros((1, 2)), np.array([1]), (0,))
