"""Ridge and CCA against scikit-learn, chance against counting, and choices that only validation makes."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from sklearn.cross_decomposition import CCA
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

import likewise.evaluation._tiles as tiles
from likewise.errors import EvaluationError
from likewise.evaluation import Paired, cca_map, cca_retrieval, chance_recall, ridge_map, ridge_retrieval


def pairs(seed: int, images: int = 90, noise: float = 1.0) -> Paired:
    """Images of 7 features and one to three texts of 5 each, both of three hidden causes; the seed draws rows, not causes."""
    causes = np.random.default_rng(99)
    to_images, to_texts = causes.normal(size=(3, 7)), causes.normal(size=(3, 5))
    draws = np.random.default_rng(seed)
    hidden = draws.normal(size=(images, 3))
    owner = draws.permutation(np.repeat(np.arange(images), 1 + np.arange(images) % 3))
    x = 4 + hidden @ to_images + noise * draws.normal(size=(images, 7))
    y = hidden[owner] @ to_texts + noise * draws.normal(size=(len(owner), 5))
    return Paired(x.astype(np.float32), y, owner)


@pytest.mark.parametrize("tile_bytes", [64 * 2**20, 800])
def test_ridge_is_scikit_learns_on_every_pair(tile_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "TILE_BYTES", tile_bytes)
    train = pairs(0)
    x, y = np.asarray(train.images)[train.image_of_text].astype(np.float64), np.asarray(train.texts)
    scale_x, scale_y = StandardScaler().fit(x), StandardScaler().fit(y)
    theirs = Ridge(alpha=0.2 * len(y)).fit(scale_x.transform(x), scale_y.transform(y))
    ours = ridge_map(train, 0.2)
    np.testing.assert_allclose(ours.image_matrix.T, theirs.coef_, atol=1e-10)
    np.testing.assert_allclose(ours.images(x), theirs.predict(scale_x.transform(x)), atol=1e-5)
    np.testing.assert_allclose(ours.texts(y), scale_y.transform(y), atol=1e-5)


def test_canonical_directions_are_scikit_learns() -> None:
    train = pairs(0)
    x, y = np.asarray(train.images)[train.image_of_text].astype(np.float64), np.asarray(train.texts)
    theirs = CCA(n_components=3, max_iter=5000, tol=1e-12).fit(x, y)
    ours = cca_map(train, 1e-9, 3)
    for found, expected in zip((ours.images(x), ours.texts(y)), theirs.transform(x, y), strict=True):
        for own, other in zip(found.T, expected.T, strict=True):
            assert abs(np.corrcoef(own, other)[0, 1]) == pytest.approx(1, abs=1e-5)
    lengths = np.linalg.norm(ours.images(x), axis=0) / np.sqrt(len(x))
    canonical = [abs(np.corrcoef(a, b)[0, 1]) for a, b in zip(ours.images(x).T, ours.texts(y).T, strict=True)]
    np.testing.assert_allclose(lengths, canonical, rtol=1e-5)  # each direction counts by its correlation


def test_full_shrinkage_leaves_the_plain_covariance() -> None:
    train = pairs(0)
    x, y = np.asarray(train.images)[train.image_of_text].astype(np.float64), np.asarray(train.texts)
    across = StandardScaler().fit_transform(x).T @ StandardScaler().fit_transform(y) / len(y)
    found = cca_map(train, 1.0, 99)
    u, values, v = np.linalg.svd(across, full_matrices=False)
    assert found.image_matrix.shape == (7, 5)
    np.testing.assert_allclose(np.abs(found.image_matrix), np.abs(u * values), atol=1e-8)
    np.testing.assert_allclose(np.abs(found.text_matrix), np.abs(v.T * values), atol=1e-8)


def test_validation_chooses_and_the_choice_is_tested() -> None:
    train, validation, test = pairs(0, noise=0.3), pairs(1, noise=0.3), pairs(2, noise=0.3)
    ridge = ridge_retrieval(train, validation, test, strengths=(1e-3, 1e4))
    cca = cca_retrieval(train, validation, test, shrinkages=(0.01, 1.0), dimensions=(1, 3, 64))
    for found in (ridge, cca):
        assert found.test.text_to_image.recall[10] > 0.6  # by chance 10 of 90
        assert len(found.test.text_to_image.ranks) == 180
        assert len(found.test.image_to_text.ranks) == 90
    assert set(ridge.chosen) == {"strength"}
    assert cca.chosen["dimension"] in (3, 5)
    alone = [
        cca_retrieval(train, validation, test, shrinkages=(shrinkage,), dimensions=(dimension,))
        for shrinkage in (0.01, 1.0)
        for dimension in (1, 3, 64)
    ]
    best = max(alone, key=lambda found: sum(found.validation.text_to_image.recall.values()))
    assert best.chosen == cca.chosen
    assert best.test.text_to_image.recall == cca.test.text_to_image.recall


def test_a_choice_at_the_end_of_its_grid_is_said() -> None:
    train, validation, test = pairs(0, noise=0.3), pairs(1, noise=0.3), pairs(2, noise=0.3)
    assert ridge_retrieval(train, validation, test, strengths=(1e-2, 1e6, 1e7)).at_edge == ("strength",)
    assert ridge_retrieval(train, validation, test, strengths=(1e-2,)).at_edge == ()  # nothing was chosen
    low = cca_retrieval(train, validation, test, shrinkages=(0.01, 0.999), dimensions=(1, 64))
    assert (low.chosen["shrinkage"], low.chosen["dimension"]) == (0.01, 5)
    assert low.at_edge == ("shrinkage",)  # the features have no sixth dimension to try
    ends = cca_retrieval(train, validation, test, shrinkages=(1.0,), dimensions=(64,))
    assert ends.at_edge == ()


def test_a_constant_feature_and_an_image_without_a_text_change_nothing() -> None:
    train = pairs(0)
    x = np.asarray(train.images)
    more = Paired(np.c_[x, np.full(len(x), 3.0)], train.texts, train.image_of_text)
    with_orphan = Paired(np.r_[more.images, 50 * np.ones((1, 8))], train.texts, train.image_of_text)
    found, expected = ridge_map(with_orphan, 0.1), ridge_map(train, 0.1)
    np.testing.assert_allclose(found.image_matrix[:7], expected.image_matrix, atol=1e-6)
    assert np.abs(found.images(more.images) - expected.images(x)).max() < 1e-4


def test_chance_is_what_counting_all_orders_gives() -> None:
    owner = np.array([0, 0, 0, 1, 2, 2])
    found = chance_recall(owner, 3, ks=(1, 2, 10))
    assert found["text_to_image"] == {1: 1 / 3, 2: 2 / 3, 10: 1.0}
    for k in (1, 2):
        drawn = list(combinations(range(6), k))
        hits = [np.mean([image in owner[list(some)] for some in drawn]) for image in range(3)]
        assert found["image_to_text"][k] == pytest.approx(np.mean(hits))
    assert found["image_to_text"][10] == 1


def test_bad_input_is_named() -> None:
    train = pairs(0)
    with pytest.raises(EvaluationError, match="value 9 with 3 images"):
        ridge_map(Paired(np.eye(3), np.eye(3), np.array([0, 1, 9])), 1.0)
    with pytest.raises(EvaluationError, match="strength=0"):
        ridge_map(train, 0)
    with pytest.raises(EvaluationError, match=r"shrinkage=1\.5"):
        cca_map(train, 1.5, 3)
    with pytest.raises(EvaluationError, match="dimension=0"):
        cca_map(train, 0.5, 0)
    with pytest.raises(EvaluationError, match="7 columns and images has 6"):
        ridge_retrieval(train, train._replace(images=np.asarray(train.images)[:, :6]), train)
    with pytest.raises(EvaluationError, match=r"6 columns.*Expected 7"):
        ridge_map(train, 1.0).images(np.ones((2, 6)))
    with pytest.raises(EvaluationError, match="nothing to choose from"):
        ridge_retrieval(train, train, train, strengths=())
