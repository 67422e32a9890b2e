"""Mirror and shift without resampling: one gather whose row and column indices carry every image's own offset."""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.data.draws import Draws
from likewise.models.device import to_device

__all__ = ["flip_and_shift", "move"]


def flip_and_shift(images: Tensor, generator: torch.Generator | Draws, *, flip: bool, shift: int) -> Tensor:
    """Mirror each image left to right with probability ½ and move it by up to ``shift`` pixels, edges reflected.

    Args:
        images: (B, C, H, W), any type.
        generator: CPU generator that all draws come from, or ``Draws`` of a batch that several processes share.
        flip: whether to mirror.
        shift: largest move in pixels, the same in both directions, uniform over all whole numbers; less than H and W.

    Returns:
        (B, C, H, W), values of ``images`` only.

    Example:
        >>> images = torch.arange(9).view(1, 1, 3, 3)
        >>> flip_and_shift(images, torch.Generator().manual_seed(0), flip=False, shift=0) is images
        True
    """
    if not flip and shift == 0:
        return images
    batch, draws = len(images), Draws.of(generator)
    down = right = torch.zeros(batch, dtype=torch.long)
    mirrored = torch.zeros(batch, dtype=torch.bool)
    if shift:
        down, right = (draws.randint(-shift, shift + 1, batch) for _ in range(2))
    if flip:
        mirrored = draws.rand(batch) < 0.5
    device = images.device
    return move(images, *(to_device(drawn, device) for drawn in (down, right, mirrored)))


def move(images: Tensor, down: Tensor, right: Tensor, mirrored: Tensor) -> Tensor:
    """Each image moved by whole pixels, edges reflected, and mirrored where ``mirrored`` is set.

    Args:
        images: (B, C, H, W), any type.
        down, right: (B,) long; pixel (y, x) of the result is pixel (y + down, x + right) of the image.
        mirrored: (B,) bool.
    """
    batch, _, height, width = images.shape
    rows = _reflect(torch.arange(height, device=images.device) + down[:, None], height)
    columns = _reflect(torch.arange(width, device=images.device) + right[:, None], width)
    columns = torch.where(mirrored[:, None], width - 1 - columns, columns)
    which = torch.arange(batch, device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def _reflect(positions: Tensor, size: int) -> Tensor:
    positions = positions.abs()
    last = size - 1
    return last - (last - positions).abs()
