"""Denoising: the image without its noise, from the noisy image and its embedding.

Three kinds of noise (Vincent et al. 2010, section 4.3): Gaussian, masking (pixels go black) and salt and pepper. The decoder
sees the noisy image beside the embedding and predicts what has to be added to it (a residual, as in DnCNN, Zhang et al.
2017): what neighbouring pixels tell is read there, what the picture as a whole tells comes from the embedding. The
autoencoder with ``noise`` is the stricter relative: there the embedding is all that the decoder sees.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from likewise.data.draws import Draws
from likewise.models import ConvDecoder, EmbeddingModel
from likewise.objectives._objective import Batch, Objective, ObjectiveOptions

__all__ = ["Denoising", "DenoisingOptions", "with_noise"]

Noise = Literal["gaussian", "masking", "salt_and_pepper"]


def with_noise(images: Tensor, level: float, draws: torch.Generator | Draws, kind: Noise = "gaussian") -> Tensor:
    """Images with noise, each pixel its own draw; masked and salted pixels lose all channels at once.

    Args:
        images: (N, C, H, W), values in 0 … 255.
        level: in 0 … 1: ``gaussian``, the standard deviation over 255 (values may leave 0 … 255, so that the noise has mean
            zero); else the share of pixels that are lost.
        draws: CPU generator, or ``Draws`` of a batch that several processes share.
        kind: ``gaussian``, ``masking`` (to 0) or ``salt_and_pepper`` (to 0 or 255 with equal probability).

    Returns:
        (N, C, H, W) float32.

    Example:
        >>> grey = torch.full((1, 1, 2, 2), 7)
        >>> with_noise(grey, 1.0, torch.Generator(), "masking").tolist()
        [[[[0.0, 0.0], [0.0, 0.0]]]]
    """
    clean = images.float()
    if kind == "gaussian":
        return clean + Draws.of(draws).randn(*images.shape).to(images.device) * (255 * level)
    count, _, height, width = images.shape
    drawn = Draws.of(draws).rand(count, 1, height, width).to(images.device)
    if kind == "salt_and_pepper":
        clean = clean.where(drawn >= level / 2, 255.0)
        return clean.where((drawn < level / 2) | (drawn >= level), 0.0)
    return clean.where(drawn >= level, 0.0)


class DenoisingOptions(ObjectiveOptions):
    """Mean squared error of the denoised image.

    Attributes:
        noise: ``gaussian``, ``masking`` or ``salt_and_pepper``.
        level: of Gaussian noise the standard deviation as a share of 0 … 255, else the share of pixels that are lost.
        widths: channels of the decoder in the order of the encoder that it mirrors.
    """

    name: Literal["denoising"] = "denoising"
    noise: Noise = "gaussian"
    level: float = Field(default=0.2, gt=0, le=1)
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
        noise = self.noise.replace("_", " ")
        return f"input: the image with {noise} noise; target: the clean image; prediction: the input, denoised."

    def build(self, model: EmbeddingModel) -> Denoising:
        """The objective with these options."""
        return Denoising(model, self)


class Denoising(Objective):
    """mean( (x̃ + residual(f(x̃), x̃) − x)² ) over all standardised pixels, x̃ the noisy image."""

    across_ranks = "mean"

    def __init__(self, model: EmbeddingModel, options: DenoisingOptions) -> None:
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
        """Loss of the batch."""
        return self.explain(images, batch)["loss"]

    def explain(self, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The loss, and under ``unchanged`` the error of the noisy image as it is."""
        noisy = self._noisy(images, batch.generator)
        target, guide = self.model.normalized(images), self.model.normalized(noisy)
        return {"loss": F.mse_loss(self._clean(noisy, guide), target), "unchanged": F.mse_loss(guide, target)}

    def _noisy(self, images: Tensor, draws: torch.Generator | Draws) -> Tensor:
        return with_noise(images, self.options.level, draws, self.options.noise)

    def _clean(self, noisy: Tensor, guide: Tensor) -> Tensor:
        residual: Tensor = self.decoder(self.model(noisy), guide).float()
        return guide + residual

    def examples(self, images: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        """Noisy, clean and denoised versions of some images."""
        noisy = self._noisy(images, draws)
        cleaned = self._clean(noisy, self.model.normalized(noisy))
        return {
            "input": noisy.round().clamp(0, 255).to(torch.uint8),
            "target": images,
            "prediction": self.model.to_pixels(cleaned),
        }
