"""From an embedding back to an image: the mirror of ``strided_cnn``.

A linear layer opens the embedding to a small grid, and 4×4 transposed convolutions of stride 2 and padding 1 double it until
it has the size of the image. The sides are those that halving the image gives, remainders included: 28 pixels come from 14, 7
and 3, and a step to an odd side pads its output by one.

Tasks whose input already shows most of the answer (colour, detail, noise) give the decoder that input as a guide, which joins
it at full resolution: then the embedding has to carry only what cannot be read off the pixels nearby.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["ConvDecoder"]


class ConvDecoder(nn.Module):
    """Embeddings (N, D) to images (N, C, H, W), linear at the end.

    Args:
        in_features: D.
        out_channels: C.
        image_size: (height, width) of what comes out.
        widths: channels in the order of the encoder that it mirrors, the last at the smallest grid. Where the image is too
            small to be halved so often, the deepest are left out.
        guide_channels: channels of the image that ``forward`` takes as a guide; 0 takes none.
    """

    def __init__(
        self,
        in_features: int,
        out_channels: int,
        image_size: tuple[int, int],
        *,
        widths: tuple[int, ...] = (12, 24, 48),
        guide_channels: int = 0,
    ) -> None:
        super().__init__()
        widths = widths[: max(1, min(len(widths), min(image_size).bit_length() - 1))]
        sides = [(image_size[0] >> step, image_size[1] >> step) for step in range(len(widths) + 1)]
        self.grid = (widths[-1], *sides[-1])
        self.open = nn.Linear(in_features, widths[-1] * sides[-1][0] * sides[-1][1])
        self.grow = nn.Sequential()
        outputs = (widths[0] if guide_channels else out_channels, *widths)
        for step in reversed(range(len(widths))):
            (small_h, small_w), (large_h, large_w) = sides[step + 1], sides[step]
            odd = (large_h - 2 * small_h, large_w - 2 * small_w)
            grow = nn.ConvTranspose2d(widths[step], outputs[step], 4, 2, padding=1, output_padding=odd)
            self.grow.extend((nn.ReLU(), grow))
        self.finish: nn.Module | None = None
        if guide_channels:
            width = widths[0]
            self.finish = nn.Sequential(
                nn.Conv2d(width + guide_channels, 2 * width, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(2 * width, out_channels, 3, padding=1),
            )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, embeddings: Tensor, guide: Tensor | None = None) -> Tensor:
        """(N, D) to (N, C, H, W); ``guide`` (N, guide_channels, H, W) where the decoder was made for one."""
        grid: Tensor = self.open(embeddings).unflatten(1, self.grid)
        grid = self.grow(grid.contiguous(memory_format=torch.channels_last))
        if self.finish is None:
            return grid
        if guide is None:
            raise ValueError("this decoder was made with guide_channels and is called without a guide")
        finished: Tensor = self.finish(torch.cat([grid, guide.to(grid.dtype)], dim=1))
        return finished
