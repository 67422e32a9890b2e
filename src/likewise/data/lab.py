"""Colour as lightness and two colour axes: CIE L*a*b* of sRGB images under the illuminant D65, and back.

L runs from 0 (black) to 100 (white); a from green to red and b from blue to yellow, about −110 … 110 for colours that a
screen can show. Equal distances look about equally different, which is why colours are counted here and not in RGB.
"""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.models.device import to_device

__all__ = ["from_lab", "to_lab"]

# IEC 61966-2-1: linear RGB to XYZ, divided by the white point, so that white is (1, 1, 1).
_XYZ_OF_RGB = torch.tensor(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]],
    dtype=torch.float64,
)
_TO_XYZ = _XYZ_OF_RGB / _XYZ_OF_RGB.sum(dim=1, keepdim=True)
_TO_RGB = torch.linalg.inv(_TO_XYZ)
_EDGE = 6 / 29


def to_lab(images: Tensor) -> Tensor:
    """sRGB images (N, 3, H, W) in 0 … 255 to L, a, b (N, 3, H, W) float32.

    Example:
        >>> to_lab(torch.full((1, 3, 1, 1), 255)).flatten().round().abs().tolist()
        [100.0, 0.0, 0.0]
    """
    rgb = images.float() / 255
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    with torch.autocast(images.device.type, enabled=False):  # in bfloat16 lightness has steps of a quarter
        xyz = torch.einsum("ij,njhw->nihw", to_device(_TO_XYZ.float(), images.device), linear)
    cube = torch.where(xyz > _EDGE**3, xyz.clamp(min=_EDGE**3) ** (1 / 3), xyz / (3 * _EDGE**2) + 4 / 29)
    x, y, z = cube.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def from_lab(lab: Tensor) -> Tensor:
    """L, a, b (N, 3, H, W) to sRGB (N, 3, H, W) float32 in 0 … 255; colours that no screen can show are cut off."""
    lightness, a, b = lab.float().unbind(1)
    y = (lightness + 16) / 116
    cube = torch.stack([y + a / 500, y, y - b / 200], dim=1)
    xyz = torch.where(cube > _EDGE, cube**3, 3 * _EDGE**2 * (cube - 4 / 29))
    linear = torch.einsum("ij,njhw->nihw", to_device(_TO_RGB.float(), lab.device), xyz).clamp(0, 1)
    rgb = torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)
    return rgb * 255
