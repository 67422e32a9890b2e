"""Features of a frozen encoder, computed once: an epoch then costs only what is trained."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any

import psutil
import torch
from torch import Tensor

from likewise.data import ImageDataset
from likewise.data.feature_store import FrozenImages
from likewise.models import EmbeddingModel
from likewise.recipe import Recipe

__all__ = ["FrozenFeatures", "frozen_view"]

logger = logging.getLogger("likewise")


@dataclasses.dataclass(frozen=True, eq=False)
class FrozenFeatures(ImageDataset):
    """A data set of which the loop sees (N, F) float32 features in place of the images; computed when first asked for."""

    compute: Callable[[], Tensor] = lambda: torch.empty(0, 0)

    @cached_property
    def features(self) -> Tensor:
        """(N, F) float32."""
        return self.compute()

    def take(self, indices: Tensor) -> Tensor:
        """Features of these rows (B, F), on the device where they are."""
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


def frozen_view(recipe: Recipe, model: EmbeddingModel) -> Callable[..., ImageDataset]:
    """How the loop, the monitor and the measurement see a data set under this model: as features where they can.

    The function returned takes a data set, and ``augmented=True`` for the one that is trained on. It gives the images as they
    are where the encoder is trained, where training augments them, where the objective looks at them, and where the features
    of all of them would take more than half of the memory.
    """
    options = recipe.training
    limit = recipe.data.memory_limit or psutil.virtual_memory().total // 2
    store = FrozenImages(model) if model.encoder_frozen and not recipe.objective.sees_images else None

    def view(data: ImageDataset, *, augmented: bool = False) -> ImageDataset:
        if store is None or (augmented and (options.flip or options.shift)):
            return data
        if len(data) * model.encoder.out_features * 4 > limit:
            logger.info("the features of %s images do not fit into memory; they are computed anew", f"{len(data):,}")
            return data

        def compute() -> Tensor:
            with torch.compiler.set_stance("force_eager"):
                features = store.of(data)
            logger.info("features of the frozen encoder: %s × %d", f"{len(features):,}", features.shape[1])
            return features.to(model.mean.device)

        return FrozenFeatures(**_fields(data), compute=compute)

    return view
