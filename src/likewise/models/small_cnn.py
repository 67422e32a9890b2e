"""``small_cnn``: made for two cores.

The first convolution already halves the resolution, and each of the two that follow is pooled before it is normalised, so
that most of the arithmetic happens on few, wide positions, where a processor is good at it, and the layers that are bound by
memory (normalisation, activation) see a quarter of the numbers. ``benchmarks/fashion_encoders.py`` measures what it reaches.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from likewise.models._options import Encoder, EncoderOptions

__all__ = ["SmallCNN", "SmallCNNOptions"]


class _Halve(nn.Module):
    """Max-pooling by 2 that leaves a side of one pixel as it is."""

    def forward(self, grid: Tensor) -> Tensor:
        return F.max_pool2d(grid, 2, ceil_mode=min(grid.shape[2:]) < 2)


class SmallCNN(Encoder):
    """A 4×4 convolution of stride 2, then 3×3 convolutions, each pooled by 2, and a 3×3 grid of features at the end.

    Args:
        in_channels: channels of the images.
        widths: channels after each convolution.
    """

    def __init__(self, in_channels: int = 1, widths: tuple[int, ...] = (16, 32, 64)) -> None:
        super().__init__()
        first, *rest = widths
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, first, 4, 2, padding=1, bias=False), nn.BatchNorm2d(first), nn.ReLU()
        )
        self.body = nn.Sequential()
        for inputs, outputs in zip(widths, rest, strict=False):
            self.body.extend(
                (
                    nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
                    _Halve(),
                    nn.BatchNorm2d(outputs),
                    nn.ReLU(),
                )
            )
        self.out_features = widths[-1] * 9

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) float to (N, 9 · widths[-1]) float."""
        grid: Tensor = self.body(self.stem(images))
        if grid.shape[2:] != (3, 3):
            grid = _largest_of_nine(grid) if grid.device.type == "mps" else F.adaptive_max_pool2d(grid, 3)
        return grid.flatten(1)


def _largest_of_nine(grid: Tensor) -> Tensor:
    """``adaptive_max_pool2d(grid, 3)``: torch's for Metal takes other windows where a side is no multiple of three."""

    def windows(side: int) -> list[slice]:
        return [slice(k * side // 3, -(-(k + 1) * side // 3)) for k in range(3)]

    rows, columns = (windows(side) for side in grid.shape[2:])
    return torch.stack([torch.stack([grid[:, :, r, c].amax((2, 3)) for c in columns], 2) for r in rows], 2)


class SmallCNNOptions(EncoderOptions):
    """Our small CNN.

    Attributes:
        widths: channels after each convolution; the first works at half the resolution of the image, every further one
            at half of the one before.
    """

    any_size: ClassVar[bool] = True
    name: Literal["small_cnn"] = "small_cnn"
    widths: tuple[int, ...] = Field(default=(16, 32, 64), min_length=1)

    def build(self, in_channels: int, image_size: tuple[int, int]) -> SmallCNN:
        """Build the network; see ``SmallCNN``."""
        return SmallCNN(in_channels, self.widths)
