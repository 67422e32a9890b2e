import numpy as np
import pytest
from sklearn.metrics import accuracy_score, precision_recall_fscore_support
from sklearn.neighbors import KNeighborsClassifier

from likewise.errors import EvaluationError
from likewise.evaluation import classification_scores, knn


def clusters(n, seed, classes=5, dimension=6):
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, dimension))
    labels = random.integers(0, classes, n)
    return (centres[labels] + random.normal(size=(n, dimension))).astype(np.float32), labels


@pytest.mark.parametrize("k", [1, 3, 8])
def test_uniform_vote_equals_scikit_learn(k):
    (train, y), (test, z) = clusters(400, 0), clusters(150, 1)
    reference = KNeighborsClassifier(k, algorithm="brute").fit(train.astype(np.float64), y)
    result = knn(train, y, test, z, k)
    np.testing.assert_array_equal(result.predictions, reference.predict(test.astype(np.float64)))
    np.testing.assert_allclose(result.probabilities, reference.predict_proba(test.astype(np.float64)), atol=1e-7)
    assert result.accuracy == accuracy_score(z, result.predictions)
    expected = precision_recall_fscore_support(z, result.predictions, average="macro", zero_division=0)[:3]
    np.testing.assert_allclose((result.precision_macro, result.recall_macro, result.f1_macro), expected)
    assert result.neighbors.shape == result.distances.shape == (150, k)


def test_weighted_vote_follows_its_equation():
    (train, y), (test, z) = clusters(300, 0), clusters(40, 1)
    result = knn(train, y, test, z, 50, distance="cosine", weighting="softmax", temperature=0.1)
    a = train.astype(np.float64) / np.linalg.norm(train.astype(np.float64), axis=1, keepdims=True)
    b = test.astype(np.float64) / np.linalg.norm(test.astype(np.float64), axis=1, keepdims=True)
    similarity = b @ a.T
    for row in range(40):
        near = np.argsort(-similarity[row])[:50]
        votes = np.zeros(5)
        for j in near:
            votes[y[j]] += np.exp(similarity[row, j] / 0.1)
        np.testing.assert_allclose(result.probabilities[row], votes / votes.sum(), rtol=1e-4)
        assert result.predictions[row] == votes.argmax()


def test_a_small_temperature_does_not_overflow():
    (train, y), (test, z) = clusters(100, 0), clusters(20, 1)
    cold = knn(train, y, test, z, 20, distance="cosine", weighting="softmax", temperature=1e-4)
    np.testing.assert_array_equal(cold.predictions, knn(train, y, test, z, 1, distance="cosine").predictions)
    np.testing.assert_allclose(cold.probabilities.sum(axis=1), 1, rtol=1e-6)


def test_k_beyond_the_gallery_is_the_gallery():
    (train, y), (test, z) = clusters(30, 0), clusters(5, 1)
    assert knn(train, y, test, z, 200).neighbors.shape == (5, 30)


def test_a_tied_vote_goes_to_the_lower_class():
    train = np.array([[0.0], [2.0]], dtype=np.float32)
    assert knn(train, np.array([4, 2]), np.array([[1.0]]), np.array([2]), 2).predictions.tolist() == [2]


def test_number_of_classes():
    train = np.zeros((2, 1), dtype=np.float32)
    assert knn(train, np.array([0, 1]), train, np.array([0, 1]), num_classes=7).probabilities.shape == (2, 7)
    with pytest.raises(EvaluationError, match="num_classes=1"):
        knn(train, np.array([0, 1]), train, np.array([0, 1]), num_classes=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_labels": None}, "None"),
        ({"test_labels": None}, "None"),
        ({"train_labels": np.array([0, 1, 2])}, r"\(2,\)"),
        ({"train_labels": np.array([0, -1])}, "-1 at position 1"),
        ({"train_labels": np.array([0.0, 1.0])}, "integers"),
        ({"k": 0}, "k=0"),
        ({"temperature": 0.0}, "temperature=0.0"),
        ({"weighting": "distance"}, "'uniform', 'softmax'"),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {
        "train": np.zeros((2, 1)),
        "train_labels": np.array([0, 1]),
        "test": np.zeros((1, 1)),
        "test_labels": np.array([0]),
        **change,
    }
    with pytest.raises(EvaluationError, match=message):
        knn(**arguments)


def test_scores_of_a_class_never_predicted_and_a_class_never_present():
    truth, guess = np.array([0, 0, 1, 2, 2]), np.array([0, 0, 0, 2, 4])
    scores = classification_scores(guess, truth)
    expected = precision_recall_fscore_support(truth, guess, average="macro", zero_division=0)[:3]
    np.testing.assert_allclose((scores.precision_macro, scores.recall_macro, scores.f1_macro), expected)
    assert scores.accuracy == 0.6
