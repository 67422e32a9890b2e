"""Super-resolution: the full image from one that is 2 to 4 times smaller.

The image is reduced with an antialiased filter and enlarged again by bicubic interpolation; that blurred image is what the
encoder sees. The decoder sees it beside the embedding and predicts the detail that is missing (a residual, as in VDSR, Kim
et al. 2016). What bicubic interpolation alone gives is logged beside the loss: below it the network has added something.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from likewise.data.draws import Draws
from likewise.models import EmbeddingModel
from likewise.objectives._from_images import FromImagesOptions
from likewise.objectives._residual import ResidualReconstruction

__all__ = ["SuperResolution", "SuperResolutionOptions", "blurred"]


def blurred(images: Tensor, factor: int) -> Tensor:
    """Images reduced by ``factor`` (bilinear, antialiased) and enlarged again (bicubic); (N, C, H, W) float in 0 … 255."""
    height, width = images.shape[2:]
    size = (max(1, height // factor), max(1, width // factor))
    small = F.interpolate(images.float(), size=size, mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(small, size=(height, width), mode="bicubic", align_corners=False).clamp(0, 255)


class SuperResolutionOptions(FromImagesOptions):
    """Mean squared error of the image that is drawn from a reduced one.

    Attributes:
        factor: how many times smaller the reduced image is on a side.
        widths: channels of the decoder in the order of the encoder that it mirrors.
    """

    name: Literal["super_resolution"] = "super_resolution"
    factor: Literal[2, 3, 4] = 4
    widths: tuple[int, ...] = Field(default=(12, 24, 48), min_length=1)

    @property
    def task(self) -> str:
        """What the columns of the examples are."""
        return (
            f"input: the image reduced {self.factor} times and enlarged again (bicubic); target: the image; "
            "prediction: the input with the detail that the network adds."
        )

    def build(self, model: EmbeddingModel) -> SuperResolution:
        """The objective with these options."""
        return SuperResolution(model, self)


class SuperResolution(ResidualReconstruction):
    """mean( (b + residual(f(b), b) − x)² ) over all standardised pixels, b the blurred image."""

    unaided = "bicubic"

    def __init__(self, model: EmbeddingModel, options: SuperResolutionOptions) -> None:
        super().__init__(model, options.widths)
        self.options = options

    def degraded(self, images: Tensor, draws: torch.Generator | Draws) -> Tensor:
        """The blurred images; nothing in it is random."""
        return blurred(images, self.options.factor)
