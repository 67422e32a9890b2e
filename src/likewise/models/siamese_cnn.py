"""The course sheet's network, to the letter, so that its numbers can be compared.

Five 3×3 convolutions of 8, 8, 16, 16 and 1 channels with two max-pools, then a 49→49 linear layer; with the 49→10
embedding layer that follows it has 7,343 parameters. Its few channels keep it bound by memory, not by arithmetic: on
two cores it reaches about a tenth of the machine's matrix-product peak, which is why ``small_cnn`` exists. On a CPU its
normalisations are folded into the convolutions behind them (``folded_norm``); the numbers are those of the layers.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likewise.errors import ModelError
from likewise.models._options import Encoder, EncoderOptions
from likewise.models.folded_norm import Affine, convolved, folds, rectified

__all__ = ["SiameseCNN", "SiameseCNNOptions"]


class SiameseCNN(Encoder):
    """conv 8, ReLU, BN, conv 8, ReLU, BN, pool, conv 16, ReLU, BN, conv 16, ReLU, BN, pool, conv 1, ReLU, linear.

    Args:
        in_channels: channels of the images.
        image_size: (height, width); both at least 4. 28×28 gives the sheet's 49 features.
    """

    def __init__(self, in_channels: int = 1, image_size: tuple[int, int] = (28, 28)) -> None:
        super().__init__()
        height, width = image_size
        if min(height, width) < 4:
            raise ModelError(
                f"siamese_cnn was asked for images of {height}×{width}.",
                expected="Two poolings by 2 need at least 4×4 pixels.",
                advice="Set data.image_size to 4 or more.",
            )
        self.out_features = (height // 4) * (width // 4)
        self.features = nn.Sequential(
            *self._block(in_channels, 8),
            *self._block(8, 8),
            nn.MaxPool2d(2),
            *self._block(8, 16),
            *self._block(16, 16),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 1, 3, padding=1),
            nn.ReLU(),
        )
        self.linear = nn.Linear(self.out_features, self.out_features)

    @staticmethod
    def _block(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
        return nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(outputs)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) float to (N, H//4 · W//4) float."""
        grid = self._folded(images) if folds(self.features, images) else self.features(images)
        features: Tensor = self.linear(grid.flatten(1))
        return features

    def _folded(self, images: Tensor) -> Tensor:
        """What ``self.features`` gives, in fewer passes over memory."""
        grid, affine = images, cast(Affine | None, None)
        layers = list(self.features)
        *blocks, last = (at for at, layer in enumerate(layers) if isinstance(layer, nn.Conv2d))
        for at in blocks:
            conv, _, norm, after = layers[at : at + 4]
            grid, affine = rectified(*convolved(cast(nn.Conv2d, conv), grid, affine), cast(nn.BatchNorm2d, norm))
            if isinstance(after, nn.MaxPool2d):
                grid = _halved(grid, affine)
        grid, offsets = convolved(cast(nn.Conv2d, layers[last]), grid, affine)
        return F.relu(grid if offsets is None else grid + offsets)


def _halved(grid: Tensor, affine: Affine) -> Tensor:
    """Of each 2×2 pixels that whose normalised value will be the largest: the smallest, where the scale is negative."""
    scale, _ = affine
    if bool((scale < 0).any()):
        signs = torch.where(scale < 0, -1.0, 1.0).to(grid.dtype).view(1, -1, 1, 1)
        return _largest(grid * signs) * signs
    return _largest(grid)


def _largest(grid: Tensor) -> Tensor:
    if torch.is_grad_enabled():
        return F.max_pool2d(grid, 2)
    # four times as fast, with few channels, where nothing has to know which pixel it was
    height, width = (size // 2 * 2 for size in grid.shape[2:])
    rows = torch.maximum(grid[:, :, 0:height:2, :width], grid[:, :, 1:height:2, :width])
    return torch.maximum(rows[:, :, :, 0::2], rows[:, :, :, 1::2])


class SiameseCNNOptions(EncoderOptions):
    """The course sheet's CNN; it has no options."""

    name: Literal["siamese_cnn"] = "siamese_cnn"

    def build(self, in_channels: int, image_size: tuple[int, int]) -> SiameseCNN:
        """Build the network; see ``SiameseCNN``."""
        return SiameseCNN(in_channels, image_size)
