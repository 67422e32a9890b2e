"""What image-text retrieval reaches without a network: chance, and linear maps between frozen features.

The honest baselines of a model whose towers start from pretrained encoders: ridge regression and canonical correlation
analysis (``linear_maps``) from the features that the encoders give before any training of ours. What they leave open
(strength; shrinkage and dimension) is chosen on validation, by the mean of text-to-image recall at 1, 5 and 10. With few
images strong values are the best ones, so the grids go far; where the choice is the end of one all the same, the result says
so, since the baseline might be better still beyond it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from likewise.errors import EvaluationError
from likewise.evaluation._inputs import ArrayLike, as_embeddings, as_labels, check_k, check_same_dimension
from likewise.evaluation.image_text import ImageTextResult, image_text_retrieval
from likewise.evaluation.linear_maps import LinearMap, Moments, Paired, cca_maps, moments_of, ridge_maps

__all__ = ["LinearBaseline", "cca_retrieval", "chance_recall", "ridge_retrieval"]

STRENGTHS = (1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0, 10.0, 30.0, 100.0, 1000.0)
SHRINKAGES = (1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 0.6, 0.8, 0.9, 0.97, 1.0)
DIMENSIONS = (32, 64, 128, 256, 512)
KS = (1, 5, 10)


@dataclass(frozen=True)
class LinearBaseline:
    """Retrieval through the map that was chosen on validation."""

    test: ImageTextResult
    validation: ImageTextResult
    chosen: dict[str, float]
    """``strength``, or ``shrinkage`` and ``dimension``."""
    at_edge: tuple[str, ...]
    """What of it is the lowest or the highest value that was tried, and could lie beyond it."""


def ridge_retrieval(
    train: Paired, validation: Paired, test: Paired, *, strengths: Sequence[float] = STRENGTHS
) -> LinearBaseline:
    """Image-text retrieval by ridge regression, its strength chosen on validation.

    Args:
        train, validation, test: with the same features; every image of validation and test has a text.
        strengths: each > 0.

    Raises:
        EvaluationError: as ``ridge_map`` and ``image_text_retrieval``.

    Example:
        >>> draws = np.random.default_rng(0)
        >>> x, owner = draws.normal(size=(60, 8)), np.arange(120) // 2
        >>> pairs = Paired(x, x[owner] @ draws.normal(size=(8, 8)), owner)
        >>> ridge_retrieval(pairs, pairs, pairs, strengths=(1e-3,)).test.text_to_image.recall[1]
        1.0
    """
    moments = _moments(train, validation, test)
    maps = zip(strengths, ridge_maps(moments, strengths), strict=True)
    candidates = (({"strength": float(strength)}, found) for strength, found in maps)
    return _best(candidates, validation, test, ends={"strength": _ends(strengths)})


def cca_retrieval(
    train: Paired,
    validation: Paired,
    test: Paired,
    *,
    shrinkages: Sequence[float] = SHRINKAGES,
    dimensions: Sequence[int] = DIMENSIONS,
) -> LinearBaseline:
    """Image-text retrieval by canonical correlation analysis, its shrinkage and dimension chosen on validation.

    Args:
        train, validation, test: as for ``ridge_retrieval``.
        shrinkages: each in (0, 1].
        dimensions: each at least 1; those beyond what the features have count as all of them.

    Raises:
        EvaluationError: as ``cca_map`` and ``image_text_retrieval``.
    """
    moments = _moments(train, validation, test)
    wanted = sorted({min(dimension, *moments.across.shape) for dimension in dimensions})

    def candidates() -> Iterator[tuple[dict[str, float], LinearMap]]:
        for shrinkage in shrinkages:
            for dimension, found in zip(wanted, cca_maps(moments, shrinkage, wanted), strict=True):
                yield {"shrinkage": float(shrinkage), "dimension": float(dimension)}, found

    # no shrinkage lies beyond 1, and no dimension beyond those that the features have
    ends = {
        "shrinkage": _ends(shrinkages) - {1.0},
        "dimension": _ends(wanted) - {float(min(moments.across.shape))},
    }
    return _best(candidates(), validation, test, ends=ends)


def chance_recall(
    image_of_text: ArrayLike, images: int, ks: Sequence[int] = KS, *, wording: ArrayLike | None = None
) -> dict[str, dict[int, float]]:
    """Recall@k of a random order, both ways: ``text_to_image`` and ``image_to_text``, k → share.

    k / N for a text; for an image with m of the T different texts 1 - C(T - m, k) / C(T, k), the mean over images.

    Args:
        image_of_text: (T,) int, the image of each text.
        images: N, at least 1.
        ks: each at least 1.
        wording: (T,) int, equal for texts of the same words; by default all differ.

    Raises:
        EvaluationError: shapes do not fit, or a number is out of range.

    Example:
        >>> chance_recall(np.arange(10) // 5, 2, ks=(1,))
        {'text_to_image': {1: 0.5}, 'image_to_text': {1: 0.5}}
    """
    for k in (images, *ks):
        check_k(k, "images and ks")
    owner = as_labels(image_of_text, "image_of_text", len(image_of_text))
    words = np.arange(len(owner)) if wording is None else as_labels(wording, "wording", len(owner))
    own, total = np.bincount(np.unique([owner, words], axis=1)[0], minlength=images), len(np.unique(words))

    def missed(k: int) -> NDArray[np.float64]:
        """(N,) probability that no text of the image is among k drawn ones."""
        drawn = np.arange(min(k, total))
        left: NDArray[np.float64] = (np.clip(total - own[:, None] - drawn, 0, None) / (total - drawn)).prod(axis=1)
        return left

    return {
        "text_to_image": {int(k): min(1.0, k / images) for k in ks},
        "image_to_text": {int(k): float(1 - missed(k).mean()) for k in ks},
    }


def _ends(values: Sequence[float]) -> set[float]:
    """The lowest and the highest of several; a single one was not chosen."""
    return {float(min(values)), float(max(values))} if len(set(values)) > 1 else set()


def _best(
    candidates: Iterable[tuple[dict[str, float], LinearMap]],
    validation: Paired,
    test: Paired,
    *,
    ends: dict[str, set[float]],
) -> LinearBaseline:
    """Of equal ones the first."""
    found = [(chosen, each, _retrieve(each, validation)) for chosen, each in candidates]
    if not found:
        raise EvaluationError(
            "There is nothing to choose from.", expected="Expected at least one value of each option."
        )
    chosen, best, seen = max(found, key=lambda each: sum(each[2].text_to_image.recall.values()))
    at_edge = tuple(name for name, value in chosen.items() if value in ends[name])
    return LinearBaseline(_retrieve(best, test), seen, chosen, at_edge)


def _retrieve(found: LinearMap, pairs: Paired) -> ImageTextResult:
    images, texts = found.images(pairs.images), found.texts(pairs.texts)
    return image_text_retrieval(images, texts, pairs.image_of_text, KS, wording=pairs.wording)


def _moments(train: Paired, *others: Paired) -> Moments:
    for name in ("images", "texts"):
        own = as_embeddings(getattr(train, name), f"train {name}")
        for pairs in others:
            check_same_dimension(own, f"train {name}", as_embeddings(getattr(pairs, name), name), name)
    return moments_of(train)
