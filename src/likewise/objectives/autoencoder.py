"""The autoencoder: the embedding must be enough to draw the image again.

The decoder mirrors the course sheet's encoder and knows nothing of the image but its embedding. Two options change what
the embedding learns: with ``noise`` the input is disturbed and the clean image asked for (denoising autoencoder, Vincent et
al. 2008); ``variational`` makes the embedding the mean of a Gaussian that is pulled towards the standard normal (Kingma &
Welling 2014).

Errors are of standardised pixels: a loss of 1 is what the mean image's colour gives, and 1 − loss is the share of the
pixels' variance that is explained, to be compared with PCA's.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from likewise.models import ConvDecoder, EmbeddingModel
from likewise.models.device import to_device
from likewise.objectives._from_images import FromImagesOptions
from likewise.objectives._objective import Batch, Objective
from likewise.objectives.denoising import with_noise

__all__ = ["Autoencoder", "AutoencoderOptions"]


class AutoencoderOptions(FromImagesOptions):
    """Mean squared error of the image that a decoder draws from the embedding.

    Attributes:
        widths: channels of the decoder in the order of the encoder that it mirrors, the last at the smallest grid.
        noise: standard deviation of Gaussian noise on the input, as a share of the range 0 … 255; 0 adds none.
        variational: draw the code from N(embedding, σ²(image)) in training and add the divergence to the loss.
        beta: weight of the divergence (Higgins et al. 2017); 1 is the variational bound for pixels of variance ½.
    """

    name: Literal["autoencoder"] = "autoencoder"
    widths: tuple[int, ...] = Field(default=(12, 24, 48), min_length=1)
    noise: float = Field(default=0.0, ge=0, le=1)
    variational: bool = False
    beta: float = Field(default=1.0, gt=0)

    @property
    def task(self) -> str:
        """What the columns of the examples are."""
        source = "the image with noise" if self.noise else "the image"
        return f"input: {source}; target: the image; prediction: what the decoder draws from its embedding alone."

    def build(self, model: EmbeddingModel) -> Autoencoder:
        """The objective with these options."""
        return Autoencoder(model, self)


class Autoencoder(Objective):
    """mean( (x̂ − x)² ) over all standardised pixels; variational: + β · KL( N(μ, σ²) ‖ N(0, 1) ) / number of pixels."""

    across_ranks = "mean"

    def __init__(self, model: EmbeddingModel, options: AutoencoderOptions) -> None:
        super().__init__(model)
        self.options = options
        spec = model.input
        self.decoder = ConvDecoder(model.embedding_dim, spec.channels, (spec.height, spec.width), widths=options.widths)
        self.log_variance: nn.Module | None = None
        if options.variational:
            self.log_variance = nn.Linear(model.encoder.out_features, model.embedding_dim)

    def forward(self, images: Tensor, batch: Batch) -> Tensor:
        """Loss of the batch; in evaluation mode the code is the mean."""
        return self.explain(images, batch)["loss"]

    def explain(self, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The loss; with ``variational`` also its two parts, the divergence in nats an image."""
        target = self.model.normalized(images)
        seen = with_noise(images, self.options.noise, batch.generator) if self.options.noise else images
        if self.log_variance is None:
            return {"loss": F.mse_loss(self.decoder(self.model(seen)).float(), target)}
        features = self.model.encoder(self.model.normalized(seen))
        mean, log_variance = self.model.embedding(features).float(), self.log_variance(features).float().clamp(-10, 10)
        code = mean
        if self.training:
            drawn = to_device(batch.generator.randn(*mean.shape), mean.device)
            code = mean + drawn * (0.5 * log_variance).exp()
        error = F.mse_loss(self.decoder(code).float(), target)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1).mean()
        loss = error + self.options.beta * divergence / target[0].numel()
        return {"loss": loss, "reconstruction": error, "divergence": divergence}

    def examples(self, images: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        """Input, target and reconstruction of some images."""
        seen = with_noise(images, self.options.noise, draws) if self.options.noise else images
        drawn = self.decoder(self.model(seen))
        return {
            "input": seen.round().clamp(0, 255).to(torch.uint8),
            "target": images,
            "prediction": self.model.to_pixels(drawn),
        }
