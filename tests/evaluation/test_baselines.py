import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from likewise.errors import EvaluationError
from likewise.evaluation import baselines


def test_equals_scikit_learn_on_digits():
    images, labels = load_digits(return_X_y=True)
    pixels = (images * 15).astype(np.uint8)
    train, test = slice(0, 1200), slice(1200, None)
    result = baselines(
        pixels[train].reshape(-1, 1, 8, 8), labels[train], pixels[test].reshape(-1, 1, 8, 8), labels[test], dimension=10
    )
    raw = KNeighborsClassifier(1).fit(pixels[train].astype(float), labels[train])
    assert result["raw_pixels_knn1_accuracy"] == raw.score(pixels[test].astype(float), labels[test])
    pca = PCA(10, svd_solver="full").fit(pixels[train].astype(float))
    reduced = KNeighborsClassifier(1).fit(pca.transform(pixels[train].astype(float)), labels[train])
    expected = reduced.score(pca.transform(pixels[test].astype(float)), labels[test])
    assert result["pca_knn1_accuracy"] == pytest.approx(expected, abs=2 / 597)


def test_a_dimension_beyond_the_pixels_is_all_of_them():
    images, labels = np.random.default_rng(0).integers(0, 255, (30, 1, 2, 2), dtype=np.uint8), np.arange(30) % 3
    result = baselines(images, labels, images, labels, dimension=64)
    assert result == {"raw_pixels_knn1_accuracy": 1.0, "pca_knn1_accuracy": 1.0}


def test_bad_input_is_named():
    images = np.zeros((2, 1, 2, 2), dtype=np.uint8)
    with pytest.raises(EvaluationError, match="dimension=0"):
        baselines(images, np.array([0, 1]), images, np.array([0, 1]), dimension=0)
    with pytest.raises(EvaluationError, match="train_labels is None"):
        baselines(images, None, images, np.array([0, 1]), dimension=1)
