"""Images as rows of square patches and back, and where each patch stands.

An image whose sides are no multiples of the patch is filled up with zeros at the right and at the bottom: standardised
pixels have mean zero, so the filling is the mean colour.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["from_patches", "patch_grid", "patch_positions", "to_patches"]


def patch_grid(image_size: tuple[int, int], patch_size: int) -> tuple[int, int]:
    """Rows and columns of patches that cover an image.

    Example:
        >>> patch_grid((28, 30), 4)
        (7, 8)
    """
    return -(-image_size[0] // patch_size), -(-image_size[1] // patch_size)


def to_patches(images: Tensor, patch_size: int) -> Tensor:
    """(N, C, H, W) to (N, T, C · P · P), row by row; each patch is its C planes one after the other."""
    height, width = images.shape[2:]
    rows, columns = patch_grid((height, width), patch_size)
    images = F.pad(images, (0, columns * patch_size - width, 0, rows * patch_size - height))
    tiles = images.unflatten(3, (columns, patch_size)).unflatten(2, (rows, patch_size))  # N C rows P columns P
    patches: Tensor = tiles.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
    return patches


def from_patches(patches: Tensor, image_size: tuple[int, int], patch_size: int) -> Tensor:
    """What ``to_patches`` took apart: (N, T, C · P · P) to (N, C, H, W), the filling cut off.

    Example:
        >>> images = torch.arange(35.0).view(1, 1, 5, 7)
        >>> torch.equal(from_patches(to_patches(images, 3), (5, 7), 3), images)
        True
    """
    rows, columns = patch_grid(image_size, patch_size)
    tiles = patches.unflatten(2, (-1, patch_size, patch_size)).unflatten(1, (rows, columns))  # N rows columns C P P
    whole: Tensor = tiles.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
    return whole[:, :, : image_size[0], : image_size[1]]


def patch_positions(grid: tuple[int, int], dim: int) -> Tensor:
    """Fixed positions of patches (T, dim): sines and cosines of row and column, a half each (He et al. 2022, as MoCo v3).

    Args:
        grid: rows and columns of patches.
        dim: a multiple of 4.
    """
    frequencies = 1 / 10_000 ** (torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    rows, columns = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    angles = [axis.flatten()[:, None] * frequencies for axis in (columns, rows)]
    return torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], dim=1).float()
