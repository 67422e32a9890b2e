import importlib

import numpy as np
import pytest
from sklearn.manifold import trustworthiness as reference_trustworthiness

from likewise.errors import EvaluationError
from likewise.evaluation import project, trustworthiness
from likewise.evaluation.pca import PrincipalComponents


def clusters(n=300, dimension=8):
    random = np.random.default_rng(0)
    labels = random.integers(0, 5, n)
    centres = 4 * random.normal(size=(5, dimension))
    return (centres[labels] + random.normal(size=(n, dimension))).astype(np.float32), labels


def test_tsne_keeps_neighbours_and_is_the_same_again():
    x, labels = clusters()
    flat = project(x, seed=3)
    assert flat.dtype == np.float32
    np.testing.assert_array_equal(flat, project(x, seed=3))
    assert not np.array_equal(flat, project(x, seed=4))
    assert trustworthiness(x, flat) > 0.95
    nearest_class = [labels[np.argsort(np.square(flat - p).sum(axis=1))[1]] for p in flat]
    assert (nearest_class == labels).mean() > 0.95


def test_pca_equals_the_singular_vectors():
    x, _ = clusters()
    flat = project(x, "pca")
    centred = x.astype(np.float64) - x.astype(np.float64).mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(flat), np.abs(u[:, :2] * s[:2]), rtol=1e-3, atol=1e-4)


def test_wide_rows_find_the_same_components():
    random = np.random.default_rng(0)
    x = (random.normal(size=(80, 6)) * [9, 7, 5, 3, 2, 1]) @ random.normal(size=(6, 1100)) + 50
    found = PrincipalComponents.fit(x, 3)
    centred = x - x.mean(axis=0)
    expected = np.linalg.svd(centred, full_matrices=False)[2][:3]
    np.testing.assert_allclose(np.abs(found.directions.T @ expected.T), np.eye(3), atol=1e-4)


@pytest.mark.filterwarnings("ignore::ImportWarning")
def test_umap_keeps_neighbours_and_is_the_same_again():
    pytest.importorskip("umap", reason="umap-learn, the extra 'umap', is not installed")
    x, _ = clusters(150)
    flat = project(x, "umap")
    assert trustworthiness(x, flat) > 0.9
    np.testing.assert_array_equal(flat, project(x, "umap"))


def test_missing_umap_says_what_to_install(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(EvaluationError, match=r"pip install \"likewise\[umap\]\""):
        project(clusters(20)[0], "umap")


def test_two_dimensions_are_returned_as_they_are():
    x = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    for method in ("tsne", "umap", "pca"):
        np.testing.assert_array_equal(project(x, method), x)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 12])
def test_few_samples(rows):
    flat = project(clusters()[0][:rows])
    assert flat.shape == (rows, 2)
    assert np.isfinite(flat).all()


def test_constant_duplicate_and_one_dimensional_samples():
    assert (project(np.full((20, 5), 0.3, dtype=np.float32)) == 0).all()
    duplicates = project(np.repeat(clusters(10)[0], 8, axis=0))
    assert np.isfinite(duplicates).all()
    line = project(np.linspace(0, 9, 40)[:, None])
    assert line.shape == (40, 2)
    assert np.isfinite(line).all()
    assert (project(np.linspace(0, 9, 40)[:, None], "pca")[:, 1] == 0).all()


def test_unknown_method():
    with pytest.raises(EvaluationError, match="'tsne', 'umap', 'pca'"):
        project(np.zeros((5, 3)), "isomap")


@pytest.mark.parametrize("k", [1, 10])
def test_trustworthiness_equals_scikit_learn(k):
    x, _ = clusters()
    for flat in (project(x, "pca"), np.random.default_rng(1).normal(size=(300, 2))):
        assert trustworthiness(x, flat, k=k) == pytest.approx(
            reference_trustworthiness(x, flat, n_neighbors=k), abs=1e-6
        )


def test_trustworthiness_does_not_change_where_all_is_shifted():
    x = np.random.default_rng(0).normal(size=(100, 3))
    assert trustworthiness(x + 1e9, x[:, :2]) == pytest.approx(trustworthiness(x, x[:, :2]), abs=1e-5)


def test_trustworthiness_needs_enough_points():
    with pytest.raises(EvaluationError, match="below half"):
        trustworthiness(np.zeros((20, 3)), np.zeros((20, 2)))
