"""``Embedder``: scikit-learn's own checks, and what they do not ask."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import likewise as lw
from likewise.errors import EstimatorError, RecipeError
from likewise.estimator_settings import recipe_of
from likewise.objectives import ContrastiveOptions

SMALL = {
    "encoder": {"name": "mlp", "widths": [32]},
    "embedding_dim": 8,
    "epochs": 2,
    "min_steps": 40,
    "random_state": 0,
}
Digits = tuple[NDArray[Any], NDArray[Any]]


@pytest.fixture(scope="module")
def digits() -> Digits:
    """Shuffled: as they are, the last ones were drawn by other hands than the first."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    return X[order], y[order]


@parametrize_with_checks([lw.Embedder(**SMALL)])
def test_scikit_learns_own_checks(estimator: lw.Embedder, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize(
    ("objective", "of_norm_1"),
    [
        ("cross_entropy", True),
        ("contrastive", False),
        ("siamese", False),
        ("supcon", True),
        ("triplet", False),
        ({"name": "triplet", "margin": 0.1, "distance": "cosine"}, True),
        ({"name": "metric", "loss": "proxy_anchor", "loss_learning_rate": 30.0}, True),
    ],
)
def test_neighbours_of_unseen_digits_are_of_their_class(digits: Digits, objective: Any, of_norm_1: bool) -> None:
    X, y = digits
    embedder = lw.Embedder(objective=objective, embedding_dim=16, epochs=5, random_state=0).fit(X[:1200], y[:1200])
    assert embedder.score(X[1200:], y[1200:]) > 0.93
    shares = embedder.predict_proba(X[1200:])
    assert (embedder.classes_[shares.argmax(1)] == embedder.predict(X[1200:])).all()
    norms = np.linalg.norm(embedder.transform(X[1200:]), axis=1)
    assert np.allclose(norms, 1, atol=1e-5) == of_norm_1


@pytest.mark.parametrize(
    ("objective", "normalize"),
    [
        ({"name": "triplet", "margin": 0.1}, "never"),
        ({"name": "triplet", "margin": 0.1, "distance": "cosine"}, "output"),
        ("multi_similarity", "output"),
        ("margin", "never"),
    ],
)
def test_embeddings_keep_their_norm_where_the_loss_reads_it(objective: Any, normalize: str) -> None:
    parameters = lw.Embedder(objective=objective).get_params()
    assert recipe_of(parameters, vectors=True, seed=0).normalize == normalize


def test_the_seed_decides_everything_and_the_global_one_nothing(digits: Digits) -> None:
    X, y = digits[0][:300], digits[1][:300]
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = lw.Embedder(**SMALL).fit_transform(X, y)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert (lw.Embedder(**SMALL).fit(X, y).transform(X) == first).all()
    assert not np.allclose(lw.Embedder(**SMALL | {"random_state": 1}).fit_transform(X, y), first)


def test_nothing_is_written(
    digits: Digits, tmp_path: Path, private_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lw.Embedder(**SMALL).fit(digits[0][:100], digits[1][:100])
    assert not [*tmp_path.iterdir(), *private_home.iterdir()]


def test_in_a_pipeline_under_a_grid_search(digits: Digits) -> None:
    X, names = digits[0][:400], np.array(["even", "odd"])[digits[1][:400] % 2]
    pipeline = make_pipeline(MinMaxScaler(), lw.Embedder(**SMALL), LogisticRegression())
    grid = {
        "embedder__objective": [
            "cross_entropy",
            {"name": "contrastive", "margin": 4.0},
            ContrastiveOptions(margin=8.0),
        ],
        "embedder__embedding_dim": [4, 8],
    }
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, names)
    assert search.best_score_ > 0.85
    assert set(search.predict(X)) == {"even", "odd"}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_an_embedding_is_the_same_bits_whatever_stands_beside_it(digits: Digits) -> None:
    X, y = digits
    embedder = lw.Embedder(**SMALL).fit(X[:300], y[:300])
    together = embedder.transform(X[:600])
    assert (np.concatenate([embedder.transform(X[i : i + 1]) for i in range(0, 600, 37)]) == together[::37]).all()


def test_a_pickle_and_a_clone(digits: Digits) -> None:
    X, y = digits[0][:300], digits[1][:300]
    embedder = lw.Embedder(**SMALL).fit(X, y)
    again = pickle.loads(pickle.dumps(embedder))
    assert (again.transform(X) == embedder.transform(X)).all()
    assert (again.predict(X) == embedder.predict(X)).all()
    copied = clone(embedder)
    assert copied.get_params() == embedder.get_params()
    assert not hasattr(copied, "model_")


def test_features_far_from_zero_keep_their_differences(digits: Digits) -> None:
    X, y = digits[0][:600], digits[1][:600]
    scores = [lw.Embedder(**SMALL).fit(Z[:400], y[:400]).score(Z[400:], y[400:]) for Z in (X, 1e9 + X)]
    assert scores[0] > 0.85
    assert scores[1] == pytest.approx(scores[0], abs=0.01)


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_images(digits: Digits, dtype: type, tmp_path: Path) -> None:
    images, y = (digits[0].reshape(-1, 8, 8) * 15).astype(dtype), digits[1]
    embedder = lw.Embedder(embedding_dim=8, epochs=5, random_state=0).fit(images[:1000], y[:1000])
    assert embedder.input_shape_ == (8, 8)
    assert embedder.score(images[1000:], y[1000:]) > 0.85
    # The model that is saved takes the images as they are.
    lw.save_model(embedder.model_, tmp_path / "model")
    embedded = lw.load_model(tmp_path / "model").embed(images[1000:1100].astype(np.float32))
    np.testing.assert_allclose(embedded, embedder.transform(images[1000:1100]), atol=1e-5)
    coloured = np.repeat(images[:, None], 3, axis=1)
    assert lw.Embedder(**SMALL).fit_transform(coloured[:100], y[:100]).shape == (100, 8)


def test_names_of_the_columns_and_frames(digits: Digits) -> None:
    X, y = digits[0][:100], digits[1][:100]
    embedder = lw.Embedder(**SMALL | {"embedding_dim": 3}).set_output(transform="pandas").fit(X, y)
    assert list(embedder.transform(X).columns) == ["embedder0", "embedder1", "embedder2"]
    assert list(embedder.get_feature_names_out()) == ["embedder0", "embedder1", "embedder2"]
    assert embedder.score(X, y) > 0.5


def test_collapse_is_said(digits: Digits) -> None:
    with pytest.warns(ConvergenceWarning, match=r"collapsed: all embeddings are nearly one point"):
        lw.Embedder(**SMALL).fit(np.ones((50, 4)), digits[1][:50])


@pytest.mark.parametrize(
    ("settings", "shape", "error", "message"),
    [
        ({"objective": "contrastiv"}, (40, 4), RecipeError, "'contrastiv' is not known"),
        ({"objective": {"name": "contrastive", "margin": -1.0}}, (40, 4), RecipeError, "margin"),
        ({"embedding_dim": 0}, (40, 4), RecipeError, "embedding_dim"),
        ({"objective": {"name": "triplet", "margn": 1.0}}, (40, 4), RecipeError, "margn"),
        ({"objective": "nt_xent"}, (40, 4), RecipeError, r"'nt_xent' is not known.*contrastive.*supcon"),
        ({"training": {"momentun": 0.9}}, (40, 4), RecipeError, "momentun"),
        ({"training": {"flip": True}}, (40, 4), EstimatorError, "Only images can be mirrored"),
        ({"training": {"freeze": "encoder"}}, (40, 4), EstimatorError, "training has freeze"),
        ({}, (40, 2, 3, 4, 4), EstimatorError, "4 axes each"),
    ],
)
def test_settings_that_do_not_fit(
    settings: dict[str, Any], shape: tuple[int, ...], error: type[Exception], message: str
) -> None:
    X = np.random.default_rng(0).normal(size=shape)
    with pytest.raises(error, match=message):
        lw.Embedder(**SMALL | settings).fit(X, np.arange(40) % 2)


def test_samples_that_do_not_fit(digits: Digits) -> None:
    images, y = digits[0].reshape(-1, 8, 8)[:100], digits[1][:100]
    with pytest.raises(EstimatorError, match="1 class"):
        lw.Embedder(**SMALL).fit(images, np.zeros(100))
    embedder = lw.Embedder(**SMALL).fit(images, y)
    with pytest.raises(EstimatorError, match=r"samples of shape \(7, 8\).*fitted on samples of shape \(8, 8\)"):
        embedder.transform(images[:, 1:])
