"""Where each pixel of a view comes from: turn, crop, resize and mirror as one resampling of the image.

Where a view is not smaller than its crop and not turned, two neighbours in each direction are mixed (bilinear). A view that
is smaller than its crop averages over all pixels that fall into one of its own (the triangle filter of Pillow and of torch's
``antialias``), as two small matrix products. A turned one is mixed from four neighbours in any case.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from likewise.data.views.draws import ViewDraws

__all__ = ["resample"]


def resample(images: Tensor, draws: ViewDraws, size: tuple[int, int], *, turned: bool, reduced: bool) -> Tensor:
    """Views (B, C, *size) of float images (B, C, H, W), one for each.

    Args:
        images: float.
        draws: of these views, on the device of the images.
        size: height and width of the views.
        turned: whether any angle may differ from 0.
        reduced: whether any view may be smaller than its crop.
    """
    if reduced and not turned:
        return _average(images, draws, size)
    middle_row, middle_column = ((side - 1) / 2 for side in images.shape[2:])
    down = _positions(draws.top, draws.height, size[0]) - middle_row
    right = _positions(draws.left, draws.width, size[1]) - middle_column
    right = torch.where(draws.flipped[:, None] > 0, right.flip(1), right)
    reach = max(middle_column, 0.5), max(middle_row, 0.5)
    if not turned:
        right, down = right / reach[0], down / reach[1]
    # A point as one complex number: one pass writes both coordinates, and a turn is a product.
    points = torch.complex(right, torch.zeros_like(right))[:, None, :]
    points = points + torch.complex(torch.zeros_like(down), down)[:, :, None]
    if turned:
        points = points * torch.polar(torch.ones_like(draws.angle), draws.angle)[:, None, None]
        points = torch.complex(points.real / reach[0], points.imag / reach[1])
    padding = "reflection" if turned else "border"
    return F.grid_sample(images, torch.view_as_real(points), mode="bilinear", padding_mode=padding, align_corners=True)


def _positions(start: Tensor, length: Tensor, count: int) -> Tensor:
    """(B, count) pixel positions whose mixture of two neighbours makes each pixel of the view; inside the crop."""
    at = (torch.arange(count, device=start.device) + 0.5) * (length / count)[:, None] + (start - 0.5)[:, None]
    return at.clamp(start[:, None], (start + length - 1)[:, None])


def _average(images: Tensor, draws: ViewDraws, size: tuple[int, int]) -> Tensor:
    rows = _weights(draws.top, draws.height, size[0], images.shape[2])
    columns = _weights(draws.left, draws.width, size[1], images.shape[3])
    columns = torch.where(draws.flipped[:, None, None] > 0, columns.flip(1), columns)
    reduced = rows[:, None] @ images
    return torch.bmm(reduced.flatten(1, 2), columns.mT).view(*images.shape[:2], *size)


def _weights(start: Tensor, length: Tensor, count: int, full: int) -> Tensor:
    """(B, count, full) share of each pixel of the image in each pixel of the view; rows sum to 1."""
    scale = (length / count)[:, None, None]
    middle = (torch.arange(count, device=start.device)[:, None] + 0.5) * scale + start[:, None, None]
    pixel = torch.arange(full, device=start.device) + 0.5
    weight = (1 - (pixel - middle).abs() / scale.clamp(min=1)).clamp_(min=0)
    inside = (pixel > start[:, None, None]) & (pixel < (start + length)[:, None, None])
    weight = weight * inside
    return weight / weight.sum(dim=2, keepdim=True)
