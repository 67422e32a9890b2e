import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from likewise.errors import EvaluationError
from likewise.evaluation import linear_probe


def split(n, seed, classes=4, dimension=8):
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(size=(classes, dimension))
    mix = np.random.default_rng(8).normal(size=(dimension, dimension)) * np.geomspace(1, 1e-3, dimension)
    labels = random.integers(0, classes, n)
    return ((centres[labels] + 1.5 * random.normal(size=(n, dimension))) @ mix + 5).astype(np.float32), labels


@pytest.mark.parametrize("strength", [1e-1, 1e-3, 1e-5])
def test_equals_scikit_learn(strength):
    train, validation, test = split(600, 0), split(200, 1), split(300, 2)
    result = linear_probe(train, validation, test, strengths=(strength,))
    scaler = StandardScaler().fit(train[0].astype(np.float64))
    reference = LogisticRegression(C=1 / (strength * 600), tol=1e-8, max_iter=10_000)
    reference.fit(scaler.transform(train[0].astype(np.float64)), train[1])
    expected = reference.predict(scaler.transform(test[0].astype(np.float64)))
    assert result.converged
    assert (result.predictions == expected).mean() >= 0.995
    assert result.accuracy == (result.predictions == test[1]).mean()
    assert result.interval[0] < result.accuracy < result.interval[1]


def test_the_strength_is_chosen_on_validation():
    train, validation, test = split(40, 0, dimension=30), split(300, 1, dimension=30), split(300, 2, dimension=30)
    result = linear_probe(train, validation, test)
    assert result.path[result.strength] == max(result.path.values()) == result.validation_accuracy
    stronger = [value for strength, value in result.path.items() if strength > result.strength]
    assert all(value < result.validation_accuracy for value in stronger)
    assert len(set(result.path.values())) > 1


def test_two_runs_are_the_same():
    splits = split(500, 0), split(100, 1), split(100, 2)
    first, second = linear_probe(*splits), linear_probe(*splits)
    assert first.path == second.path
    np.testing.assert_array_equal(first.predictions, second.predictions)


def test_constant_columns_and_offsets_do_not_matter():
    train, validation, test = split(300, 0), split(100, 1), split(100, 2)

    def widen(pair):
        x = pair[0].astype(np.float64) * 100 + 1e5
        return np.hstack([x, np.full((len(x), 2), 7.7)]), pair[1]

    plain = linear_probe(train, validation, test, strengths=(1e-3,))
    wide = linear_probe(widen(train), widen(validation), widen(test), strengths=(1e-3,))
    np.testing.assert_array_equal(plain.predictions, wide.predictions)


def test_a_column_is_held_against_its_own_size_and_not_that_of_others():
    random, labels = np.random.default_rng(0), np.arange(200) % 2
    noise = random.normal(size=200)
    small = ((2 * labels - 1) + 0.1 * random.normal(size=200)) * 1e-4
    x = np.stack([1e6 * noise, small, np.zeros(200)], axis=1).astype(np.float32)
    assert linear_probe((x, labels), (x, labels), (x, labels)).accuracy == 1


def test_collapsed_embeddings_predict_the_largest_class():
    x, y = np.ones((10, 3), dtype=np.float32), np.array([0] * 3 + [1] * 7)
    assert linear_probe((x, y), (x, y), (x, y)).accuracy == 0.7


def test_bad_input_is_named():
    x, y = np.zeros((4, 2)), np.array([0, 0, 1, 1])
    with pytest.raises(EvaluationError, match="two classes"):
        linear_probe((x, y * 0), (x, y), (x, y))
    with pytest.raises(EvaluationError, match="positive"):
        linear_probe((x, y), (x, y), (x, y), strengths=(0.0,))
    with pytest.raises(EvaluationError, match="validation labels is None"):
        linear_probe((x, y), (x, None), (x, y))
    with pytest.raises(EvaluationError, match="test has 3"):
        linear_probe((x, y), (x, y), (np.zeros((4, 3)), y))


def test_more_dimensions_than_samples_have_the_same_solution():
    train, validation, test = (split(n, seed, dimension=60) for n, seed in ((40, 0), (80, 1), (200, 2)))
    strength = 1e-2
    result = linear_probe(train, validation, test, strengths=(strength,))
    scaler = StandardScaler().fit(train[0].astype(np.float64))
    reference = LogisticRegression(C=1 / (strength * 40), tol=1e-8, max_iter=10_000)
    reference.fit(scaler.transform(train[0].astype(np.float64)), train[1])
    expected = reference.predict(scaler.transform(test[0].astype(np.float64)))
    assert result.converged
    assert (result.predictions == expected).mean() >= 0.99
