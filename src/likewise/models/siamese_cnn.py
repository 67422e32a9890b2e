"""The course sheet's network, to the letter, so that its numbers can be compared.

Five 3×3 convolutions of 8, 8, 16, 16 and 1 channels with two max-pools, then a 49→49 linear layer; with the 49→10
embedding layer that follows it has 7,343 parameters. Its few channels keep it bound by memory, not by arithmetic: on
two cores it reaches about a tenth of the machine's matrix-product peak, which is why ``small_cnn`` exists.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor, nn

from likewise.errors import ModelError
from likewise.models._options import Encoder, EncoderOptions

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
        features: Tensor = self.linear(self.features(images).flatten(1))
        return features


class SiameseCNNOptions(EncoderOptions):
    """The course sheet's CNN; it has no options."""

    # Fusing its many memory-bound layers saves two fifths of a step and costs some ten seconds, once.
    compile_pays_from: ClassVar[int | None] = 200_000
    name: Literal["siamese_cnn"] = "siamese_cnn"

    def build(self, in_channels: int, image_size: tuple[int, int]) -> SiameseCNN:
        """Build the network; see ``SiameseCNN``."""
        return SiameseCNN(in_channels, image_size)
