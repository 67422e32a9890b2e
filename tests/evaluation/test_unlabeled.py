import numpy as np
import pytest

from likewise.errors import EvaluationError
from likewise.evaluation import EmbeddedSplit, evaluate_unlabeled, geometry


def unlabeled(n: int, seed: int, name: str) -> EmbeddedSplit:
    rows = np.random.default_rng(seed).normal(size=(n, 5)).astype(np.float32)
    return EmbeddedSplit(rows, np.full(n, -1), tuple(f"{name}/{i}" for i in range(n)))


def test_without_labels_the_shape_of_the_space_and_the_neighbours_are_measured():
    train, test = unlabeled(40, 0, "train"), unlabeled(12, 1, "test")
    found = evaluate_unlabeled(train, test)
    shape = geometry(test.embeddings)
    assert found.metrics == {
        "effective_rank": shape.effective_rank,
        "uniformity": shape.uniformity,
        "spread": shape.spread,
    }
    distances = np.linalg.norm(test.embeddings[:, None] - train.embeddings[None], axis=2)
    order = distances.argsort(axis=1)[:, :5]
    assert found.records["neighbors"].to_pylist() == [[f"train/{i}" for i in row] for row in order]
    np.testing.assert_allclose(found.records["knn1_distance"].to_numpy(), distances.min(axis=1), rtol=1e-6)
    assert found.intervals == {}


def test_a_split_knows_whether_it_has_labels_and_takes_no_mixture():
    assert not unlabeled(3, 0, "a").labeled
    rows = np.zeros((3, 2), np.float32)
    assert EmbeddedSplit(rows, np.array([0, 1, 0]), ("a", "b", "c")).labeled
    with pytest.raises(EvaluationError, match="has the value -1 at position 1"):
        EmbeddedSplit(rows, np.array([0, -1, 0]), ("a", "b", "c"))
