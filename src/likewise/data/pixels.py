"""Pixels that are already decoded: arrays in memory, or views of memory-mapped files, read by position.

idx, CIFAR and STL-10 binaries hold raw uint8 pixels, so a batch is a gather of rows: from memory, or from the page
cache where the set is larger than the limit (a 128-image batch of CIFAR rows is 400 kB). A view may have any strides:
STL-10 stores columns first, CIFAR puts a label byte before each image; the gather makes the batch contiguous.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from likewise.errors import DatasetError

__all__ = ["ArrayPixels", "fit_to"]

CHUNK = 2048  # images read at a time when the whole set is copied or hashed: 6 MB of CIFAR


def fit_to(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Images scaled (antialiased, bilinear) to cover ``height`` × ``width``, then cut around the centre.

    Args:
        pixels: (B, C, H, W) uint8.
        height, width: of the result, ≥ 1.
    """
    if pixels.shape[2:] == (height, width):
        return pixels
    scale = max(height / pixels.shape[2], width / pixels.shape[3])
    scaled = max(height, round(pixels.shape[2] * scale)), max(width, round(pixels.shape[3] * scale))
    resized = torch.nn.functional.interpolate(torch.from_numpy(pixels).float(), scaled, mode="bilinear", antialias=True)
    top, left = (scaled[0] - height) // 2, (scaled[1] - width) // 2
    cut = resized[:, :, top : top + height, left : left + width]
    result: NDArray[np.uint8] = cut.round().clamp(0, 255).to(torch.uint8).contiguous().numpy()
    return result


def _with_channels(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Grey repeated to RGB, or RGB as luma (ITU-R 601, as Pillow computes it); unchanged where they agree."""
    if pixels.shape[1] == channels:
        return pixels
    if channels == 3:
        repeated: NDArray[np.uint8] = np.repeat(pixels[:, :1], 3, axis=1)
        return repeated
    weights = np.array([19595, 38470, 7471], np.uint32)[:, None, None]
    luma: NDArray[np.uint8] = (((pixels * weights).sum(1, keepdims=True) + 0x8000) >> 16).astype(np.uint8)
    return luma


class ArrayPixels:
    """Raw pixels in one or several arrays.

    Args:
        parts: (n, C, H, W) uint8 arrays of the same C, H, W; together the images in order.
        target: (C, H, W) to bring the images to while reading; default as stored.

    Raises:
        DatasetError: the parts differ in shape.
    """

    needs_decoding = False

    def __init__(self, parts: Sequence[NDArray[np.uint8]], target: tuple[int, int, int] | None = None) -> None:
        self._parts = tuple(parts)
        self._ends = np.cumsum([len(part) for part in self._parts])
        shapes = {part.shape[1:] for part in self._parts}
        if len(shapes) != 1:
            raise DatasetError(
                f"The files of one split hold images of shapes {sorted(shapes)}.", expected="Expected one shape."
            )
        channels, height, width = shapes.pop()
        self.stored_shape = int(channels), int(height), int(width)
        self._target = target or self.stored_shape

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W), as read."""
        return len(self), *self._target

    def __len__(self) -> int:
        return int(self._ends[-1])

    def shaped(self, target: tuple[int, int, int] | None) -> ArrayPixels:
        """The same images, brought to (C, H, W) while reading."""
        return ArrayPixels(self._parts, target)

    def keep(self, positions: NDArray[np.int64]) -> ArrayPixels:
        """Only the images at ``positions``, as a copy."""
        return ArrayPixels([self.shaped(None).read(positions)], self._target)

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(B, C, H, W) uint8, a contiguous copy."""
        batch = np.empty((len(indices), *self.stored_shape), np.uint8)
        which = np.searchsorted(self._ends, indices, side="right")
        for number, part in enumerate(self._parts):
            mine = which == number
            if mine.any():
                batch[mine] = part[indices[mine] - (self._ends[number] - len(part))]
        return self._finish(batch)

    def chunks(self) -> Iterator[NDArray[np.uint8]]:
        """All images in order, a few thousand at a time."""
        for part in self._parts:
            for first in range(0, len(part), CHUNK):
                yield self._finish(np.ascontiguousarray(part[first : first + CHUNK]))

    def read_all(self) -> NDArray[np.uint8]:
        """All images in one new array."""
        images = np.empty(self.shape, np.uint8)
        first = 0
        for chunk in self.chunks():
            images[first : first + len(chunk)] = chunk
            first += len(chunk)
        return images

    def update(self, digest: Any) -> None:
        """Feed the stored shape and pixels to a ``hashlib`` object."""
        digest.update(repr(self.stored_shape).encode())
        for chunk in self.shaped(None).chunks():
            digest.update(chunk.data)

    def _finish(self, stored: NDArray[np.uint8]) -> NDArray[np.uint8]:
        channels, height, width = self._target
        if self._target == self.stored_shape:
            return stored
        # A memory map may be read-only, which torch warns of: resizing needs an array of our own.
        own = np.array(stored) if not stored.flags.writeable else stored
        return np.ascontiguousarray(_with_channels(fit_to(own, height, width), channels))
