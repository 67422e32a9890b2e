"""The chain again, one image at a time, with Pillow, SciPy and colorsys: what the batched one must agree with."""

from __future__ import annotations

import colorsys
import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from likewise.data.views import ViewDraws, ViewOptions

Pixels = NDArray[np.float64]
LUMA = np.array([0.299, 0.587, 0.114])


def one_view(image: Pixels, draws: ViewDraws, row: int, options: ViewOptions) -> Pixels:
    """View number ``row`` of ``image`` (C, H, W) in 0 … 255."""
    d: dict[str, Any] = {name: getattr(draws, name)[row].item() for name in ViewDraws.names}
    image = shift(image, int(d["down"]), int(d["right"]))
    size = options.size or image.shape[1], options.size or image.shape[2]
    top, left, height, width = (int(d[name]) for name in ("top", "left", "height", "width"))
    if options.rotation:
        image = turned_crop(image, d["angle"], (top, left, height, width), size)
    else:
        image = resize(image[:, top : top + height, left : left + width], size)
    if d["flipped"]:
        image = image[:, :, ::-1]
    if d["order"] < 24:
        for step in list(itertools.permutations(range(4)))[int(d["order"])]:
            name = ("brightness", "contrast", "saturation", "hue")[step]
            image = JITTER[name](image, d[name])
    if d["grey"]:
        image = np.broadcast_to(grey(image), image.shape)
    if d["sigma"]:
        side = options.blur_kernel or max(3, 2 * (size[0] // 10 // 2) + 1)
        image = gaussian(image, d["sigma"], side // 2)
    if d["solarized"]:
        image = np.where(image < 128, image, 255 - image)
    if options.cutout:
        image = cut(image, d["cut_row"], d["cut_column"], round(options.cutout * size[0]))
    return image


def shift(image: Pixels, down: int, right: int) -> Pixels:
    far = max(abs(down), abs(right))
    padded = np.pad(image, ((0, 0), (far, far), (far, far)), mode="reflect")
    return padded[:, far + down :, far + right :][:, : image.shape[1], : image.shape[2]]


def turned_crop(image: Pixels, angle: float, crop: tuple[int, int, int, int], size: tuple[int, int]) -> Pixels:
    """The crop of the image after a turn about its middle, counter-clockwise as seen; every pixel mixed once."""
    top, left, height, width = crop
    middle_y, middle_x = (image.shape[1] - 1) / 2, (image.shape[2] - 1) / 2
    result = np.empty((len(image), *size))
    for i, j in np.ndindex(*size):
        y = min(max((i + 0.5) * height / size[0] - 0.5, 0), height - 1) + top - middle_y
        x = min(max((j + 0.5) * width / size[1] - 0.5, 0), width - 1) + left - middle_x
        at = [
            [math.cos(angle) * y + math.sin(angle) * x + middle_y],
            [math.cos(angle) * x - math.sin(angle) * y + middle_x],
        ]
        result[:, i, j] = [ndimage.map_coordinates(plane, at, order=1, mode="mirror")[0] for plane in image]
    return result


def resize(image: Pixels, size: tuple[int, int]) -> Pixels:
    planes = (Image.fromarray(plane.astype(np.float32)) for plane in image)
    return np.stack([np.asarray(p.resize(size[::-1], Image.Resampling.BILINEAR), np.float64) for p in planes])


def grey(image: Pixels) -> Pixels:
    return image if len(image) == 1 else np.tensordot(LUMA, image, axes=1)[None]


def turned_hue(image: Pixels, by: float) -> Pixels:
    if len(image) == 1:
        return image
    result = np.empty_like(image)
    for y, x in np.ndindex(*image.shape[1:]):
        hue, saturation, value = colorsys.rgb_to_hsv(*(image[:, y, x] / 255))
        result[:, y, x] = np.array(colorsys.hsv_to_rgb((hue + by) % 1, saturation, value)) * 255
    return result


JITTER = {
    "brightness": lambda image, factor: np.clip(image * factor, 0, 255),
    "contrast": lambda image, factor: np.clip(grey(image).mean() * (1 - factor) + image * factor, 0, 255),
    "saturation": lambda image, factor: np.clip(grey(image) * (1 - factor) + image * factor, 0, 255),
    "hue": turned_hue,
}


def gaussian(image: Pixels, sigma: float, radius: int) -> Pixels:
    for axis in (1, 2):
        reach = min(radius, image.shape[axis] - 1)
        weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        image = ndimage.correlate1d(image, weights / weights.sum(), axis=axis, mode="mirror")
    return image


def cut(image: Pixels, row: float, column: float, side: int) -> Pixels:
    result = image.copy()
    top, left = (math.floor(share * n) - side // 2 for share, n in zip((row, column), image.shape[1:], strict=True))
    result[:, max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)] = image.mean((1, 2), keepdims=True)
    return result
