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
from likewise.models.device import to_device
from likewise.recipe import Recipe, TrainingOptions

__all__ = ["FrozenFeatures", "augmented", "frozen_view", "unmirrored"]

logger = logging.getLogger("likewise")


@dataclasses.dataclass(frozen=True, eq=False)
class FrozenFeatures(ImageDataset):
    """A data set of which the loop sees float32 features in place of the images; computed when first asked for.

    Args:
        mirrored: whether the features of each image's mirror image are there too.
        compute: gives the features: (N, F), or (N, 2, F) with those of the mirror images.
    """

    mirrored: bool = False

    compute: Callable[[], Tensor] = lambda: torch.empty(0, 0)

    @cached_property
    def features(self) -> Tensor:
        """(N, F) float32; (N, 2, F) where the mirror images are there too."""
        return self.compute()

    def compute_now(self) -> None:
        """Have the features at hand from now on."""
        _ = self.features

    def take(self, indices: Tensor) -> Tensor:
        """Features of these rows, on the device where they are."""
        return self.features[to_device(indices, self.features.device)]

    def batches(self, index_batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Indices and features, batch by batch."""
        for indices in index_batches:
            yield indices, self.take(indices)

    def subset(self, indices: Tensor, split: str | None = None) -> FrozenFeatures:
        """The images at ``indices`` with their features."""
        chosen = ImageDataset(**_fields(self)).subset(indices, split)
        return FrozenFeatures(**_fields(chosen), mirrored=self.mirrored, compute=lambda: self.take(indices))


def unmirrored(data: ImageDataset) -> ImageDataset:
    """The same data set; features of mirror images are left out."""
    if not isinstance(data, FrozenFeatures) or not data.mirrored:
        return data
    return FrozenFeatures(**_fields(data), compute=lambda: data.features[:, 0])


def _fills(features: Tensor, device: torch.device) -> bool:
    """Whether these would take more than half of what a GPU has free."""
    return device.type == "cuda" and features.nbytes > torch.cuda.mem_get_info(device)[0] // 2


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
    mirrored = to_device(draws.rand(len(images)) < 0.5, images.device)
    return torch.where(mirrored[:, None], images[:, 1], images[:, 0])


def frozen_view(recipe: Recipe, model: EmbeddingModel) -> Callable[..., ImageDataset]:
    """How the loop, the monitor and the measurement see a data set under this model: as features where they can.

    The function returned takes a data set, and ``augmented=True`` for the one that is trained on. It gives the images as they
    are where the encoder is trained, where training moves them, where the objective looks at them, and where their features,
    with those of the sets before, would take more than half of the memory. Where training or the measurement mirrors them, the
    features of both images are kept.
    """
    options = recipe.training
    width = math.prod(model.frozen_shape) if model.trained_blocks else model.encoder.out_features
    left = recipe.data.memory_limit or default_memory_limit()
    store = FrozenImages(model) if model.encoder_frozen and not recipe.objective.sees_images else None
    known: dict[tuple[int, bool], FrozenFeatures] = {}  # a view holds the features of its set, whose id stays its own

    def view(data: ImageDataset, *, augmented: bool = False) -> ImageDataset:
        nonlocal left
        if store is None or (augmented and options.shift):
            return data
        mirrored = options.flip if augmented else recipe.evaluation.mirrored
        if (id(data), mirrored) in known:
            return known[id(data), mirrored]
        needed = len(data) * width * 4 * (2 if mirrored else 1)
        if needed > left:
            logger.info("the features of %s images do not fit into memory; they are computed anew", f"{len(data):,}")
            return data
        left -= needed

        def compute() -> Tensor:
            if not mirrored and (id(data), True) in known:
                return known[id(data), True].features[:, 0]
            with torch.compiler.set_stance("force_eager"):
                if mirrored:
                    features = torch.empty(len(data), 2, width)
                    features[:, 0], features[:, 1] = store.of(data), store.of(data, mirrored=True)
                else:
                    features = store.of(data)
            logger.info("features of the frozen encoder: %s", " × ".join(f"{size:,}" for size in features.shape))
            return features if _fills(features, model.mean.device) else features.to(model.mean.device)

        known[id(data), mirrored] = FrozenFeatures(**_fields(data), mirrored=mirrored, compute=compute)
        return known[id(data), mirrored]

    return view
