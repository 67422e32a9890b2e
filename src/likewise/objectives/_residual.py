"""What denoising and super-resolution share: a degraded image, and what has to be added to it.

The encoder sees the degraded image. A decoder sees it beside the embedding and predicts the residual, so what neighbouring
pixels tell is read there, and what the picture as a whole tells comes from the embedding.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from likewise.data.draws import Draws
from likewise.models import ConvDecoder, EmbeddingModel
from likewise.objectives._objective import Batch, Objective

__all__ = ["ResidualReconstruction"]


class ResidualReconstruction(Objective):
    """mean( (d + residual(f(d), d) − x)² ) over all standardised pixels, d the degraded image.

    Args:
        model: the embedding model that is trained.
        widths: channels of the decoder in the order of the encoder that it mirrors.

    Attributes:
        unaided: what the error of the degraded image as it is is called.
    """

    across_ranks = "mean"
    unaided: ClassVar[str]

    def __init__(self, model: EmbeddingModel, widths: Sequence[int]) -> None:
        super().__init__(model)
        spec = model.input
        self.decoder = ConvDecoder(
            model.embedding_dim,
            spec.channels,
            (spec.height, spec.width),
            widths=tuple(widths),
            guide_channels=spec.channels,
        )

    @abstractmethod
    def degraded(self, images: Tensor, draws: torch.Generator | Draws) -> Tensor:
        """What is to be mended: (N, C, H, W) float32 from images in 0 … 255."""
        raise NotImplementedError

    def forward(self, images: Tensor, batch: Batch) -> Tensor:
        """Loss of the batch."""
        return self.explain(images, batch)["loss"]

    def explain(self, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The loss, and the error of the degraded image as it is: below it the network has added something."""
        worse = self.degraded(images, batch.generator)
        target, guide = self.model.normalized(images), self.model.normalized(worse)
        return {"loss": F.mse_loss(self._mended(worse, guide), target), self.unaided: F.mse_loss(guide, target)}

    def _mended(self, worse: Tensor, guide: Tensor) -> Tensor:
        residual: Tensor = self.decoder(self.model(worse), guide).float()
        return guide + residual

    def examples(self, images: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        """Degraded, true and mended versions of some images."""
        worse = self.degraded(images, draws)
        mended = self._mended(worse, self.model.normalized(worse))
        return {
            "input": worse.round().clamp(0, 255).to(torch.uint8),
            "target": images,
            "prediction": self.model.to_pixels(mended),
        }
