"""Linear maps between the features of images and of their texts: ridge regression and canonical correlation analysis.

An image with several texts counts once for each. Features are centred and divided by their deviation over the training
pairs, so that strengths and shrinkages mean the same for any encoder. Only second moments are kept, in float64: the number of
pairs costs time and no memory. 6,000 images of 1,280 features with 30,000 texts of 384 take about two seconds on one core.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from likewise.errors import EvaluationError
from likewise.evaluation._inputs import ArrayLike, as_embeddings, as_labels
from likewise.evaluation._tiles import Rows, row_slices

__all__ = ["LinearMap", "Moments", "Paired", "cca_map", "cca_maps", "moments_of", "ridge_map", "ridge_maps"]

Floats = NDArray[np.float64]


class Paired(NamedTuple):
    """Features of images (N, F) and of texts (T, H), and the row of the images that each text belongs to (T,).

    ``wording`` is equal for texts of the same words, as for ``image_text_retrieval``.
    """

    images: ArrayLike
    texts: ArrayLike
    image_of_text: ArrayLike
    wording: ArrayLike | None = None


class _Side(NamedTuple):
    """Mean and deviation of the columns over all pairs, and the second moment of what they standardise."""

    mean: Floats
    deviation: Floats
    moment: Floats

    def standardized(self, rows: Rows) -> Floats:
        scaled: Floats = (rows - self.mean) / self.deviation
        return scaled


class Moments(NamedTuple):
    """Of the training pairs: both sides, and (F, H) the mean product of an image's and a text's standardised features."""

    images: _Side
    texts: _Side
    across: Floats


@dataclass(frozen=True)
class LinearMap:
    """Two linear maps into one space, in which images and texts are compared by their cosine."""

    _images: _Side
    image_matrix: Floats
    """(F, D), of standardised features."""
    _texts: _Side
    text_matrix: Floats
    """(H, D), of standardised features."""

    def images(self, features: ArrayLike) -> NDArray[np.float32]:
        """(N, D) of image features (N, F) as they are."""
        return _mapped(as_embeddings(features, "images"), self._images, self.image_matrix)

    def texts(self, features: ArrayLike) -> NDArray[np.float32]:
        """(T, D) of text features (T, H) as they are."""
        return _mapped(as_embeddings(features, "texts"), self._texts, self.text_matrix)


def ridge_map(train: Paired, strength: float) -> LinearMap:
    """Ridge regression from image features to text features.

    min_W  mean_p |W' x_i(p) - y_p|² + strength · |W|²  over pairs p, x and y standardised. scikit-learn's ``Ridge`` with
    ``alpha = strength × pairs`` on the same rows finds the same W.

    Args:
        train: finite; every row that ``image_of_text`` names is there.
        strength: > 0.

    Raises:
        EvaluationError: shapes do not fit, a value is not finite, or the strength is not positive.

    Example:
        >>> x = np.array([[1.0], [-1.0]])
        >>> ridge_map(Paired(x, 3 * x, np.array([0, 1])), strength=1.0).images(x).tolist()
        [[0.5], [-0.5]]
    """
    return next(ridge_maps(moments_of(train), (strength,)))


def cca_map(train: Paired, shrinkage: float, dimension: int) -> LinearMap:
    """Canonical correlation analysis (Hotelling 1936), regularised as a ridge on both sides (Vinod 1976).

    C_xx = (1 - s) S_xx + s I, C_yy likewise, U ρ V' = svd( C_xx^-½ S_xy C_yy^-½ ). Images go to C_xx^-½ U ρ and texts to
    C_yy^-½ V ρ, the first ``dimension`` columns: directions count by their correlation ρ (Gong et al. 2014).

    Args:
        train: finite; every row that ``image_of_text`` names is there.
        shrinkage: s, in (0, 1].
        dimension: at least 1; more than both sides have is all of them.

    Raises:
        EvaluationError: shapes do not fit, a value is not finite, or an option is out of range.
    """
    return next(cca_maps(moments_of(train), shrinkage, (dimension,)))


def ridge_maps(moments: Moments, strengths: Sequence[float]) -> Iterator[LinearMap]:
    """``ridge_map`` for several strengths."""
    values, vectors = _spectrum(moments.images.moment)
    turned = vectors.T @ moments.across
    for strength in strengths:
        if not 0 < strength < np.inf:
            raise EvaluationError(f"strength={strength}.", expected="Expected a positive number.")
        matrix = vectors @ (turned / (values + strength)[:, None])
        yield LinearMap(moments.images, matrix, moments.texts, np.eye(moments.across.shape[1]))


def cca_maps(moments: Moments, shrinkage: float, dimensions: Sequence[int]) -> Iterator[LinearMap]:
    """``cca_map`` for several dimensions."""
    if not 0 < shrinkage <= 1:
        raise EvaluationError(f"shrinkage={shrinkage}.", expected="Expected more than 0 and at most 1.")
    left, right = (_root(side.moment, shrinkage) for side in (moments.images, moments.texts))
    u, correlations, v = np.linalg.svd(left @ moments.across @ right, full_matrices=False)
    for dimension in dimensions:
        if dimension < 1:
            raise EvaluationError(f"dimension={dimension}.", expected="Expected at least 1.")
        rho = correlations[:dimension]
        yield LinearMap(moments.images, left @ u[:, :dimension] * rho, moments.texts, right @ v[:dimension].T * rho)


def moments_of(train: Paired) -> Moments:
    """First and second moments of standardised features over the pairs of ``train``."""
    x, y = as_embeddings(train.images, "images", min_rows=2), as_embeddings(train.texts, "texts", min_rows=2)
    owner = as_labels(train.image_of_text, "image_of_text", len(y))
    if owner.max() >= len(x):
        raise EvaluationError(
            f"image_of_text has the value {owner.max()} with {len(x)} images.",
            expected=f"Expected 0 … {len(x) - 1}: rows of the images.",
        )
    images = _side(x, np.bincount(owner, minlength=len(x)).astype(np.float64))
    texts = _side(y, np.ones(len(y)))
    across = np.zeros((x.shape[1], y.shape[1]))
    for part in np.array_split(np.arange(len(y)), -(-len(y) // len(next(row_slices(x))))):
        across += images.standardized(x[owner[part]]).T @ texts.standardized(y[part])
    return Moments(images, texts, across / len(y))


def _side(rows: Rows, weight: Floats) -> _Side:
    """Moments of rows that count ``weight`` times each."""
    parts = np.split(weight, np.cumsum([len(part) for part in row_slices(rows)])[:-1])
    total = weight.sum()
    mean = sum(by @ part.astype(np.float64) for by, part in zip(parts, row_slices(rows), strict=True)) / total
    square = np.zeros((rows.shape[1],) * 2)
    for by, part in zip(parts, row_slices(rows), strict=True):
        centred = part - mean
        square += (centred * by[:, None]).T @ centred
    deviation = np.sqrt(np.diag(square) / total)
    # a constant column carries nothing: it becomes 0
    deviation = np.where(deviation > 1e-9 * max(float(deviation.max()), 1e-300), deviation, np.inf)
    return _Side(mean, deviation, square / total / deviation / deviation[:, None])


def _spectrum(moment: Floats) -> tuple[Floats, Floats]:
    """Eigenvalues, none below 0, and eigenvectors."""
    values, vectors = eigh(moment)
    return np.clip(values, 0, None), vectors


def _root(moment: Floats, shrinkage: float) -> Floats:
    """((1 - s) S + s I)^-½."""
    values, vectors = _spectrum(moment)
    root: Floats = vectors / np.sqrt((1 - shrinkage) * values + shrinkage) @ vectors.T
    return root


def _mapped(rows: Rows, side: _Side, matrix: Floats) -> NDArray[np.float32]:
    if rows.shape[1] != len(side.mean):
        raise EvaluationError(
            f"The features have {rows.shape[1]} columns.",
            expected=f"Expected {len(side.mean)}, as in training.",
            advice="Take them from the same encoder.",
        )
    return np.concatenate([(side.standardized(part) @ matrix).astype(np.float32) for part in row_slices(rows)])
