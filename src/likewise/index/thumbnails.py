"""Small pictures as JPEG bytes, kept beside the embeddings so that an index can be looked at without its source."""

from __future__ import annotations

import io

from PIL import Image
from torch import Tensor

__all__ = ["LARGEST_SIDE", "thumbnails"]

LARGEST_SIDE = 128
_QUALITY = 90


def thumbnails(pixels: Tensor, largest_side: int = LARGEST_SIDE) -> list[bytes]:
    """Each image of a batch as a JPEG file.

    Args:
        pixels: (B, C, H, W) uint8, C = 1 or 3.
        largest_side: a larger image is made smaller, in proportion.

    Example:
        >>> import torch
        >>> [data[:3].hex() for data in thumbnails(torch.zeros(1, 3, 300, 200, dtype=torch.uint8))]
        ['ffd8ff']
    """
    found = []
    for image in pixels.contiguous().unbind():
        array = image[0].numpy() if image.shape[0] == 1 else image.permute(1, 2, 0).contiguous().numpy()
        picture = Image.fromarray(array)
        picture.thumbnail((largest_side, largest_side), Image.Resampling.BILINEAR)
        buffer = io.BytesIO()
        # No subsampling of colours: at this size it shows.
        picture.save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
        found.append(buffer.getvalue())
    return found
