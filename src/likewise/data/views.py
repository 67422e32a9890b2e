"""Augmentation of a whole batch at once, each image its own draw, from the generator given.

No per-image Python: the random mirror and shift of a batch are one gather whose row and column indices carry every
image's own offset.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["flip_and_shift"]


def flip_and_shift(images: Tensor, generator: torch.Generator, *, flip: bool, shift: int) -> Tensor:
    """Mirror each image left to right with probability ½ and move it by up to ``shift`` pixels, edges reflected.

    Args:
        images: (B, C, H, W), any type.
        generator: CPU generator that all draws come from.
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
    batch, _, height, width = images.shape
    rows = torch.arange(height).expand(batch, height)
    columns = torch.arange(width).expand(batch, width)
    if shift:
        offsets = torch.randint(-shift, shift + 1, (2, batch, 1), generator=generator)
        rows = _reflect(rows + offsets[0], height)
        columns = _reflect(columns + offsets[1], width)
    if flip:
        mirrored = torch.rand(batch, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, width - 1 - columns, columns)
    rows, columns = rows.to(images.device), columns.to(images.device)
    which = torch.arange(batch, device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def _reflect(positions: Tensor, size: int) -> Tensor:
    positions = positions.abs()
    last = size - 1
    return last - (last - positions).abs()
