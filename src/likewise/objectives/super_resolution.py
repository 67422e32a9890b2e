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

from likewise.models import ConvDecoder, EmbeddingModel
from likewise.objectives._objective import Batch, Objective, ObjectiveOptions

__all__ = ["SuperResolution", "SuperResolutionOptions", "blurred"]


def blurred(images: Tensor, factor: int) -> Tensor:
    """Images reduced by ``factor`` (bilinear, antialiased) and enlarged again (bicubic); (N, C, H, W) float in 0 … 255."""
    height, width = images.shape[2:]
    size = (max(1, height // factor), max(1, width // factor))
    small = F.interpolate(images.float(), size=size, mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(small, size=(height, width), mode="bicubic", align_corners=False).clamp(0, 255)


class SuperResolutionOptions(ObjectiveOptions):
    """Mean squared error of the image that is drawn from a reduced one.

    Attributes:
        factor: how many times smaller the reduced image is on a side.
        widths: channels of the decoder in the order of the encoder that it mirrors.
    """

    name: Literal["super_resolution"] = "super_resolution"
    factor: Literal[2, 3, 4] = 4
    widths: tuple[int, ...] = Field(default=(12, 24, 48), min_length=1)

    @property
    def needs_labels(self) -> bool:
        """It learns without labels."""
        return False

    @property
    def sees_images(self) -> bool:
        """It makes its task from the images."""
        return True

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


class SuperResolution(Objective):
    """mean( (b + residual(f(b), b) − x)² ) over all standardised pixels, b the blurred image."""

    across_ranks = "mean"

    def __init__(self, model: EmbeddingModel, options: SuperResolutionOptions) -> None:
        super().__init__(model)
        self.options = options
        spec = model.input
        self.decoder = ConvDecoder(
            model.embedding_dim,
            spec.channels,
            (spec.height, spec.width),
            widths=options.widths,
            guide_channels=spec.channels,
        )

    def forward(self, images: Tensor, batch: Batch) -> Tensor:
        """Loss of the batch; nothing in it is random."""
        return self.explain(images, batch)["loss"]

    def explain(self, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The loss, and under ``bicubic`` the error of the blurred image as it is."""
        small = blurred(images, self.options.factor)
        target, guide = self.model.normalized(images), self.model.normalized(small)
        return {"loss": F.mse_loss(self._sharp(small, guide), target), "bicubic": F.mse_loss(guide, target)}

    def _sharp(self, small: Tensor, guide: Tensor) -> Tensor:
        detail: Tensor = self.decoder(self.model(small), guide).float()
        return guide + detail

    def examples(self, images: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        """Blurred, true and sharpened versions of some images."""
        small = blurred(images, self.options.factor)
        sharp = self._sharp(small, self.model.normalized(small))
        return {
            "input": small.round().to(torch.uint8),
            "target": images,
            "prediction": self.model.to_pixels(sharp),
        }
