"""The encoder of the course sheet's convolutional autoencoder: every convolution is 4×4 with stride 2 and padding 1.

Each halves the resolution (an odd side is rounded down), so three of them leave 12×12 positions of a 96×96 image. There is
no pooling and no normalisation: what the decoder of ``models/decoder.py`` mirrors is all there is. An image of 96×96 costs
6.6 million multiplications forward.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from likewise.errors import ModelError
from likewise.models._options import Encoder, EncoderOptions

__all__ = ["StridedCNN", "StridedCNNOptions"]


class StridedCNN(Encoder):
    """4×4 convolutions of stride 2, a ReLU after each, flattened at the end.

    Args:
        in_channels: channels of the images.
        image_size: (height, width); both at least 2 to the power of the number of convolutions.
        widths: channels after each convolution.
    """

    def __init__(self, in_channels: int, image_size: tuple[int, int], widths: tuple[int, ...] = (12, 24, 48)) -> None:
        super().__init__()
        height, width = image_size
        steps = len(widths)
        if min(height, width) < 2**steps:
            raise ModelError(
                f"strided_cnn with {steps} convolutions was asked for images of {height}×{width}.",
                expected=f"Each convolution halves the image: expected at least {2**steps}×{2**steps} pixels.",
                advice=f"Set data.image_size to {2**steps} or more, or give fewer encoder.widths.",
            )
        self.convolutions = nn.Sequential()
        for inputs, outputs in zip((in_channels, *widths), widths, strict=False):
            self.convolutions.extend((nn.Conv2d(inputs, outputs, 4, 2, padding=1), nn.ReLU()))
        self.out_features = widths[-1] * (height >> steps) * (width >> steps)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) float to (N, widths[-1] · (H >> n) · (W >> n)) float, n the number of convolutions."""
        grid: Tensor = self.convolutions(images)
        return grid.flatten(1)


class StridedCNNOptions(EncoderOptions):
    """The encoder of the course sheet's autoencoder.

    Attributes:
        widths: channels after each convolution; every one halves the resolution.
    """

    name: Literal["strided_cnn"] = "strided_cnn"
    widths: tuple[int, ...] = Field(default=(12, 24, 48), min_length=1)

    def build(self, in_channels: int, image_size: tuple[int, int]) -> StridedCNN:
        """Build the network; see ``StridedCNN``."""
        return StridedCNN(in_channels, image_size, self.widths)
