"""Colorization: which colours belong to a grey image (Zhang, Isola & Efros 2016, "Colorful Image Colorization")?

The encoder sees the lightness alone, as three equal channels. Colours (a, b of CIE Lab) are classes: the cells of a grid of
10 units that a screen can show. Each pixel's target is spread over its five nearest classes by a Gaussian; rare colours weigh
more, since most pixels are nearly grey. The decoder sees the lightness beside the embedding.

How often each colour occurs is counted as the training batches pass, so no pass over the data comes before the first step.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from likewise.data.lab import from_lab, to_lab
from likewise.errors import ModelError
from likewise.losses import sum_over_ranks
from likewise.models import ConvDecoder, EmbeddingModel
from likewise.objectives._from_images import FromImagesOptions
from likewise.objectives._objective import Batch, Objective

__all__ = ["Colorization", "ColorizationOptions", "rebalancing_weights", "screen_colors"]

NEAREST = 5
LOWEST, STEP, NODES = -110, 2, 111
"""The table of soft targets: colours are rounded to a grid of 2 units, −110 … 110."""
HIDDEN = 32


def screen_colors(grid: int) -> Tensor:
    """Centres (Q, 2) float32 of the cells of the a-b plane, ``grid`` units wide, that hold an sRGB colour."""
    levels = torch.arange(0, 256, 5)
    cube = torch.cartesian_prod(levels, levels, levels).T.reshape(1, 3, 1, -1)
    cells = (to_lab(cube)[0, 1:, 0].T / grid).round()
    centers: Tensor = torch.unique(cells, dim=0) * grid
    return centers


def rebalancing_weights(share: Tensor, kernel: Tensor, mix: float) -> Tensor:
    """Weight of each colour class (Zhang et al. 2016, eq. 4):  w ∝ ( (1 − λ) p̃ + λ / Q )⁻¹,  Σ p̃ w = 1.

    Args:
        share: (Q,) how often each class occurs; sums to 1.
        kernel: (Q, Q) columns that sum to 1, p̃ = kernel · p.
        mix: λ in [0, 1]; 1 weighs all alike.
    """
    smooth = kernel @ share
    weights = 1 / ((1 - mix) * smooth + mix / len(share))
    return weights / (smooth * weights).sum()


class ColorizationOptions(FromImagesOptions):
    """Rebalanced cross-entropy over quantised colours.

    Attributes:
        grid: width of a colour class in units of a and b; 10 is the paper's, 20 costs a third.
        stride: the colours of squares of so many pixels are predicted together.
        rebalance: 1 − λ: 0 weighs all colours alike, 1 by the inverse of their frequency; the paper's is ½.
        temperature: of the annealed mean that turns classes into one colour for the examples.
        widths: channels of the decoder in the order of the encoder that it mirrors.
    """

    name: Literal["colorization"] = "colorization"
    grid: Literal[10, 20] = 10
    stride: Literal[1, 2, 4] = 2
    rebalance: float = Field(default=0.5, ge=0, lt=1)
    temperature: float = Field(default=0.38, gt=0)
    widths: tuple[int, ...] = Field(default=(12, 24, 48), min_length=1)

    @property
    def task(self) -> str:
        """What the columns of the examples are."""
        return (
            "input: the lightness of the image; target: the image; prediction: its lightness in the predicted colours."
        )

    def build(self, model: EmbeddingModel) -> Colorization:
        """The objective with these options."""
        return Colorization(model, self)


class Colorization(Objective):
    """mean over positions of  −w(nearest class) · Σ_q z_q log softmax(scores)_q,  z the soft target."""

    across_ranks = "mean"

    centers: Tensor
    kernel: Tensor
    near: Tensor
    near_weights: Tensor
    counts: Tensor

    def __init__(self, model: EmbeddingModel, options: ColorizationOptions) -> None:
        super().__init__(model)
        spec = model.input
        if spec.channels != 3:
            raise ModelError(
                "Colorization was asked for of grey images.",
                expected="It needs images with three channels.",
                advice="Use a source in colour, or another objective such as rotation.",
            )
        self.options = options
        centers = screen_colors(options.grid)
        sigma = options.grid / 2
        close = torch.exp(-torch.cdist(centers, centers).square() / (2 * sigma**2))
        axis = torch.arange(NODES) * STEP + LOWEST
        distance, near = torch.cdist(torch.cartesian_prod(axis, axis).float(), centers).topk(NEAREST, largest=False)
        soft = torch.exp(-(distance.square() - distance[:, :1].square()) / (2 * sigma**2))
        for name, tensor in {
            "centers": centers,
            "kernel": close / close.sum(dim=0),
            "near": near,
            "near_weights": soft / soft.sum(dim=1, keepdim=True),
        }.items():
            self.register_buffer(name, tensor, persistent=False)
        self.register_buffer("counts", torch.ones(len(centers), dtype=torch.int64))
        self.size = (max(1, spec.height // options.stride), max(1, spec.width // options.stride))
        self.decoder = ConvDecoder(model.embedding_dim, HIDDEN, self.size, widths=options.widths, guide_channels=1)
        self.classes = nn.Sequential(nn.ReLU(), nn.Conv2d(HIDDEN, len(centers), 1))

    def forward(self, images: Tensor, batch: Batch) -> Tensor:
        """Loss of the batch; nothing in it is random."""
        lab = to_lab(images)
        colors = F.adaptive_avg_pool2d(lab[:, 1:], self.size).permute(0, 2, 3, 1).reshape(-1, 2)
        node = ((colors - LOWEST) / STEP).round().long().clamp(0, NODES - 1)
        row = node[:, 0] * NODES + node[:, 1]
        near, soft = self.near[row], self.near_weights[row]  # M 5
        if self.training:
            met = torch.zeros_like(self.counts).index_add_(0, near[:, 0], torch.ones_like(near[:, 0]))
            self.counts += sum_over_ranks(met, self.group)
        share = (self.counts / self.counts.sum()).to(self.kernel.dtype)
        weights = rebalancing_weights(share, self.kernel, 1 - self.options.rebalance)
        scores = self._scores(lab[:, :1]).permute(0, 2, 3, 1).flatten(0, 2)  # M Q
        loss = scores.logsumexp(dim=1) - (scores.gather(1, near) * soft).sum(dim=1)
        return (weights[near[:, 0]] * loss).mean()

    def _scores(self, lightness: Tensor) -> Tensor:
        """Class scores (N, Q, h, w) float32 from lightness (N, 1, H, W) in 0 … 100."""
        seen = (lightness * 2.55).expand(-1, 3, -1, -1)
        guide = F.adaptive_avg_pool2d(lightness, self.size) / 50 - 1
        scores: Tensor = self.classes(self.decoder(self.model(seen), guide)).float()
        return scores

    def examples(self, images: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        """Lightness, true colours, and the annealed mean of the predicted ones."""
        lab = to_lab(images)
        shares = (self._scores(lab[:, :1]) / self.options.temperature).softmax(dim=1)
        colors = torch.einsum("nqhw,qc->nchw", shares, self.centers)
        colors = F.interpolate(colors, size=images.shape[2:], mode="bilinear", align_corners=False)
        grey = (lab[:, :1] * 2.55).expand(-1, 3, -1, -1)
        colored = from_lab(torch.cat([lab[:, :1], colors], dim=1))
        pictures = {"input": grey, "target": images, "prediction": colored}
        return {name: picture.float().round().clamp(0, 255).to(torch.uint8) for name, picture in pictures.items()}
