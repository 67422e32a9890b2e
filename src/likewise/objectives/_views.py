"""What all objectives share that learn from views: no labels, two views of every image, and what is said about them."""

from __future__ import annotations

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from likewise.data.views import ViewOptions, draw_views
from likewise.losses import alignment, uniformity
from likewise.objectives._from_images import FromImagesOptions
from likewise.objectives._objective import Batch

__all__ = ["MultiCropOptions", "ViewObjectiveOptions", "closeness"]


class ViewObjectiveOptions(FromImagesOptions):
    """Options of an objective that learns from views of images, without labels.

    Attributes:
        views: what the first view of an image may look like.
        second_views: what the second may look like; ``None``: the same.
    """

    views: ViewOptions = ViewOptions()
    second_views: ViewOptions | None = None

    @property
    def any_size(self) -> bool:
        """Views are as large as the images that they are drawn from."""
        return True

    def two_views(self, images: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Two views (N, C, h, w) of each image, drawn from the batch's generator."""
        first, second = draw_views(images, [self.views, self.second_views or self.views], batch.generator)
        return first, second


class MultiCropOptions(ViewObjectiveOptions):
    """Options of an objective that learns from two large views of an image and, where wanted, from some small ones.

    Attributes:
        local_views: what the small views may look like; set their ``size`` for less work.
        local_count: number of small views of each image.
    """

    local_views: ViewOptions = ViewOptions(crop=(0.05, 0.4))
    local_count: int = Field(default=0, ge=0)

    def all_views(self, images: Tensor, batch: Batch) -> list[Tensor]:
        """The two large views and then the small ones, each (N, C, h, w)."""
        large = [self.views, self.second_views or self.views]
        return draw_views(images, large + [self.local_views] * self.local_count, batch.generator)


def closeness(first: Tensor, second: Tensor) -> dict[str, Tensor]:
    """Alignment of two views' projections (N, D) and uniformity of the first ones, on the unit sphere (Wang & Isola 2020).

    They are called ``pair_distance`` and ``uniformity``, as NT-Xent's own part is called ``alignment``.
    """
    one, two = F.normalize(first.float()), F.normalize(second.float())
    found = {"pair_distance": alignment(one, two)}
    if len(one) > 1:
        found["uniformity"] = uniformity(one)
    return found
