"""Cutout (DeVries & Taylor 2017): a square of each image is painted over."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["cut_out"]


def cut_out(images: Tensor, row: Tensor, column: Tensor, side: int) -> None:
    """Paint a square over in place with the image's own mean colour; what lies outside of the image is cut off.

    The paper paints with the mean of the data set; the image's own leaves its mean as it was.

    Args:
        images: (B, C, H, W) float.
        row, column: (B,) float in 0 … 1; the centre is pixel floor(row · H), floor(column · W).
        side: of the square, in pixels.
    """
    height, width = images.shape[2:]
    inside = _between(row, height, side)[:, :, None] & _between(column, width, side)[:, None, :]
    mean = images.mean(dim=(2, 3), keepdim=True)
    torch.where(inside[:, None], mean, images, out=images)


def _between(share: Tensor, length: int, side: int) -> Tensor:
    first = (share * length).floor().clamp(max=length - 1)[:, None] - side // 2
    pixel = torch.arange(length, device=share.device)
    return (pixel >= first) & (pixel < first + side)
