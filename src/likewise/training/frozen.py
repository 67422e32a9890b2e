"""Features of a frozen encoder, computed once: an epoch then costs only what is trained."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from likewise.data import ImageDataset
from likewise.data.draws import Draws
from likewise.data.feature_store import FrozenImages
from likewise.data.load import default_memory_limit
from likewise.data.views import flip_and_shift
from likewise.models import EmbeddingModel
from likewise.recipe import Recipe, TrainingOptions

__all__ = ["FrozenFeatures", "augmented", "frozen_view"]

logger = logging.getLogger("likewise")


@dataclasses.dataclass(frozen=True, eq=False)
class FrozenFeatures(ImageDataset):
    """A data set of which the loop sees float32 features in place of the images; computed when first asked for."""

    compute: Callable[[], Tensor] = lambda: torch.empty(0, 0)

    @cached_property
    def features(self) -> Tensor:
        """(N, F) float32; (N, 2, F) where the mirror images are there too."""
        return self.compute()

    def take(self, indices: Tensor) -> Tensor:
        """Features of these rows, on the device where they are."""
        return self.features[indices.to(self.features.device)]

    def batches(self, index_batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Indices and features, batch by batch."""
        for indices in index_batches:
            yield indices, self.take(indices)

    def subset(self, indices: Tensor, split: str | None = None) -> FrozenFeatures:
        """The images at ``indices`` with their features."""
        chosen = ImageDataset(**_fields(self)).subset(indices, split)
        return FrozenFeatures(**_fields(chosen), compute=lambda: self.take(indices))


def _fields(data: ImageDataset) -> dict[str, Any]:
    return {field.name: getattr(data, field.name) for field in dataclasses.fields(ImageDataset)}


def augmented(images: Tensor, draws: Draws, options: TrainingOptions) -> Tensor:
    """A training batch mirrored and moved as the recipe has it.

    Args:
        images: (B, C, H, W); or features, (B, F), or (B, 2, F) of each image and of its mirror image, of which one is taken.
        draws: of this step; images and features are mirrored by the same.
        options: of the recipe.
    """
    if images.ndim == 2:
        return images
    if images.ndim == 4:
        return flip_and_shift(images, draws, flip=options.flip, shift=options.shift)
    mirrored = (draws.rand(len(images)) < 0.5).to(images.device, non_blocking=True)
    return torch.where(mirrored[:, None], images[:, 1], images[:, 0])


def frozen_view(recipe: Recipe, model: EmbeddingModel) -> Callable[..., ImageDataset]:
    """How the loop, the monitor and the measurement see a data set under this model: as features where they can.

    The function returned takes a data set, and ``augmented=True`` for the one that is trained on. It gives the images as they
    are where the encoder is trained, where they are changed (training moves them, the measurement mirrors them), where the
    objective looks at them, and where their features, with those of the sets before, would take more than half of the memory.
    Where training only mirrors them, the features of both are kept.
    """
    options = recipe.training
    width = math.prod(model.frozen_shape) if model.trained_blocks else model.encoder.out_features
    left = recipe.data.memory_limit or default_memory_limit()
    store = FrozenImages(model) if model.encoder_frozen and not recipe.objective.sees_images else None

    def view(data: ImageDataset, *, augmented: bool = False) -> ImageDataset:
        nonlocal left
        changed = options.shift if augmented else recipe.evaluation.mirrored
        if store is None or changed:
            return data
        mirrored = augmented and options.flip
        needed = len(data) * width * 4 * (2 if mirrored else 1)
        if needed > left:
            logger.info("the features of %s images do not fit into memory; they are computed anew", f"{len(data):,}")
            return data
        left -= needed

        def compute() -> Tensor:
            with torch.compiler.set_stance("force_eager"):
                features = store.of(data)
                if mirrored:
                    features = torch.stack([features, store.of(data, mirrored=True)], dim=1)
            logger.info("features of the frozen encoder: %s", " × ".join(f"{size:,}" for size in features.shape))
            return features.to(model.mean.device)

        return FrozenFeatures(**_fields(data), compute=compute)

    return view
