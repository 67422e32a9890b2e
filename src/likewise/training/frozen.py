"""Features of a frozen encoder, computed once: an epoch then costs only what is trained."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator

import psutil
import torch
from torch import Tensor

from likewise.data import ImageDataset
from likewise.models import EmbeddingModel
from likewise.recipe import Recipe

__all__ = ["frozen_features"]

logger = logging.getLogger("likewise")
BATCH = 512


@dataclasses.dataclass(frozen=True, eq=False)
class FrozenFeatures(ImageDataset):
    """A data set of which the loop sees (N, F) float32 features in place of the images."""

    features: Tensor = dataclasses.field(default_factory=lambda: torch.empty(0, 0))

    def take(self, indices: Tensor) -> Tensor:
        """Features of these rows (B, F), on the device where they are."""
        return self.features[indices.to(self.features.device)]

    def batches(self, index_batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Indices and features, batch by batch."""
        for indices in index_batches:
            yield indices, self.take(indices)


def frozen_features(recipe: Recipe, model: EmbeddingModel, train: ImageDataset) -> ImageDataset:
    """``train`` with what the frozen encoder makes of each image, or as it is where the images themselves are asked for.

    They are where the images are augmented, where the objective looks at them, and where the features of all of them would
    take more than half of the memory.
    """
    options = recipe.training
    if options.flip or options.shift or recipe.objective.sees_images:
        return train
    limit = recipe.data.memory_limit or psutil.virtual_memory().total // 2
    if len(train) * model.encoder.out_features * 4 > limit:
        logger.info("the features of %s images do not fit into memory; they are computed anew each epoch", len(train))
        return train
    device = next(model.parameters()).device
    parts = torch.arange(len(train)).split(BATCH)
    model.eval()
    with torch.inference_mode(), torch.compiler.set_stance("force_eager"):
        features = torch.cat([model.features(images.to(device)).float() for _, images in train.batches(parts)])
    logger.info("features of the frozen encoder: %s × %d", f"{len(features):,}", features.shape[1])
    known = {field.name: getattr(train, field.name) for field in dataclasses.fields(train)}
    return FrozenFeatures(**known, features=features.clone())
