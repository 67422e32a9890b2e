"""The shape of a space that images and texts share.

The gap is that of Liang et al. 2022 ("Mind the gap"): the distance between the centres of the two modalities on the unit
sphere; contrastive training leaves one. Alignment and uniformity (Wang & Isola 2020) are taken across the modalities:
matching pairs, and all pairs of an image and a text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from likewise.evaluation._inputs import ArrayLike, as_embeddings, as_labels, check_same_dimension
from likewise.evaluation._tiles import Rows, full_precision, lengths

_TILE = 1024


@dataclass(frozen=True)
class ModalityGeometry:
    """Three numbers about images and texts in one space, on the unit sphere."""

    gap: float
    """Distance between the mean image and the mean text, 0 … 2."""
    alignment: float
    """Mean squared distance between a text and its image, 0 … 4; lower is closer."""
    uniformity: float
    """log mean over all pairs of an image and a text of exp(-2 d²), -8 … 0; lower is more even."""


def modality_geometry(images: ArrayLike, texts: ArrayLike, image_of_text: ArrayLike) -> ModalityGeometry:
    """Gap, alignment and uniformity between images and texts.

    Args:
        images: (N, D) real, finite.
        texts: (T, D) real, finite.
        image_of_text: (T,) int, the row of ``images`` that each text belongs to.

    Raises:
        EvaluationError: shapes do not fit or a value is not finite.

    Example:
        >>> found = modality_geometry(np.eye(2), -np.eye(2), np.array([0, 1]))
        >>> round(found.gap, 4), found.alignment
        (1.4142, 4.0)
    """
    x, y = as_embeddings(images, "images"), as_embeddings(texts, "texts")
    check_same_dimension(x, "images", y, "texts")
    owner = as_labels(image_of_text, "image_of_text", len(y))
    first, second = _unit(x), _unit(y)
    gap = float((first.mean(dim=0, dtype=torch.float64) - second.mean(dim=0, dtype=torch.float64)).norm())
    aligned = 0.0
    for part in torch.arange(len(second)).split(_TILE):
        pairs = first[torch.from_numpy(owner)[part]].double() - second[part].double()
        aligned += float(pairs.square().sum())
    potential = 0.0
    with full_precision():
        for rows in first.split(_TILE):
            for columns in second.split(_TILE):
                squared = (2 - 2 * (rows @ columns.T)).clamp_(min=0)
                potential += float(squared.mul_(-2).exp_().sum(dtype=torch.float64))
    return ModalityGeometry(gap, aligned / len(second), math.log(potential / (len(first) * len(second))))


def _unit(rows: Rows) -> torch.Tensor:
    norms = lengths(rows)
    return torch.from_numpy((rows / np.where(norms > 0, norms, 1)[:, None]).astype(np.float32))
