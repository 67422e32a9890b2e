"""``mlp``: for data that has no neighbourhood, vectors of measurements above all; images are taken as rows of pixels."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from likewise.models._options import Encoder, EncoderOptions

__all__ = ["MLP", "MLPOptions"]


class MLP(Encoder):
    """Linear layers, each followed by batch normalisation and ReLU.

    Args:
        in_features: numbers of one sample, C · H · W.
        widths: outputs of each layer.
    """

    def __init__(self, in_features: int, widths: tuple[int, ...] = (256, 256)) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        for inputs, outputs in zip((in_features, *widths), widths, strict=False):
            self.layers.extend((nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU()))
        self.out_features = widths[-1]

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) float to (N, widths[-1]) float."""
        features: Tensor = self.layers(images.flatten(1))
        return features


class MLPOptions(EncoderOptions):
    """A multilayer perceptron.

    Attributes:
        widths: outputs of each layer.
    """

    name: Literal["mlp"] = "mlp"
    widths: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(256, 256), min_length=1)

    def build(self, in_channels: int, image_size: tuple[int, int]) -> MLP:
        """Build the network; see ``MLP``."""
        return MLP(in_channels * math.prod(image_size), self.widths)
