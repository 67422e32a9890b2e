"""``whitened_cnn``: small colour photographs in few wide layers, after the CIFAR-10 speed records.

As in K. Jordan's airbench (2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv:2404.00498): the first layer is a
2×2 convolution that whitens the patches of the training images and is never trained, so that the layers behind it begin with
uncorrelated inputs; each block pools before it normalises; 3×3 convolutions begin as the identity on as many channels as they
take in. The widths are ours: an image costs a tenth of the record's arithmetic.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from likewise.errors import ModelError
from likewise.models._options import Encoder, EncoderOptions
from likewise.models.patch_convolution import Conv2d

__all__ = ["WhitenedCNN", "WhitenedCNNOptions"]

_PATCH = 2
_RIDGE = 5e-4  # added to the eigenvalues, as there: directions that carry no more than noise are not blown up


class _Block(nn.Module):
    """A 3×3 convolution pooled by 2, and a second one, each normalised."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        for conv in (self.conv1, self.conv2):
            nn.init.dirac_(conv.weight[: conv.in_channels])

    def forward(self, grid: Tensor) -> Tensor:
        grid = F.gelu(self.norm1(F.max_pool2d(self.conv1(grid), 2, ceil_mode=min(grid.shape[2:]) < 2)))
        out: Tensor = F.gelu(self.norm2(self.conv2(grid)))
        return out


class WhitenedCNN(Encoder):
    """Whitened 2×2 patches, then blocks of two 3×3 convolutions, and the largest value of each channel at the end.

    Args:
        in_channels: channels of the images.
        widths: channels of each block; every block halves the resolution.
    """

    def __init__(self, in_channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        directions = in_channels * _PATCH**2
        self.whiten = nn.Conv2d(in_channels, 2 * directions, _PATCH)
        self.whiten.weight.requires_grad = False
        nn.init.zeros_(self.whiten.bias)  # type: ignore[arg-type]
        self.blocks = nn.Sequential(*(_Block(a, b) for a, b in zip((2 * directions, *widths), widths, strict=False)))
        self.out_features = widths[-1]

    @torch.no_grad()
    def fit_to(self, pixels: Tensor) -> None:
        """Set the whitening layer: the eigenvectors of the patches' covariance, scaled to variance 1, and their negatives."""
        patches = F.unfold(pixels[:5000], _PATCH).transpose(1, 2).reshape(-1, pixels.shape[1] * _PATCH**2).double()
        patches = patches[torch.linspace(0, len(patches) - 1, min(len(patches), 500_000)).long()]
        values, vectors = torch.linalg.eigh((patches - patches.mean(dim=0)).T.cov())
        scaled = (vectors / (values + _RIDGE).sqrt()).T.to(self.whiten.weight.dtype)
        self.whiten.weight.copy_(torch.cat([scaled, -scaled]).view_as(self.whiten.weight))

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) float to (N, ``widths[-1]``) float."""
        grid: Tensor = self.blocks(F.gelu(self.whiten(images)))
        return grid.amax(dim=(2, 3))


class WhitenedCNNOptions(EncoderOptions):
    """Few wide layers behind a whitening one.

    Attributes:
        widths: channels of each block; every block halves the resolution.
    """

    any_size: ClassVar[bool] = True
    name: Literal["whitened_cnn"] = "whitened_cnn"
    widths: tuple[int, ...] = Field(default=(64, 128, 128), min_length=1)

    def build(self, in_channels: int, image_size: tuple[int, int]) -> WhitenedCNN:
        """Build the network; see ``WhitenedCNN``.

        Raises:
            ModelError: the images are smaller than a patch.
        """
        if min(image_size) < _PATCH:
            raise ModelError(
                f"Images of {image_size[0]}×{image_size[1]} pixels.",
                expected=f"whitened_cnn takes at least {_PATCH}×{_PATCH}.",
                advice="Set data.image_size, or use small_cnn.",
            )
        return WhitenedCNN(in_channels, self.widths)
