"""Colour: the jitter's four parts, grey, and inverted light values. Everything acts in place on float (B, C, H, W).

Plain kernels on planes that lie in the cache; the turn of the colour circle needs no table and no division into cases of
six: each channel of a pure colour is a clipped triangle of its angle.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from likewise.data.views.draws import NO_JITTER, ORDERS, ViewDraws
from likewise.data.views.options import ViewOptions

__all__ = ["grey_of", "jitter", "solarize"]

WHITE = 255.0


def grey_of(images: Tensor) -> Tensor:
    """Luma (B, 1, H, W) of colour images (ITU-R 601); grey images are their own."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, dim=1)
    grey: Tensor = (red * 0.299).add_(green, alpha=0.587).add_(blue, alpha=0.114)
    return grey


def jitter(images: Tensor, draws: ViewDraws, orders: Sequence[int], options: ViewOptions) -> None:
    """Brightness, contrast, saturation and hue of each image, in the image's order.

    Args:
        images: float, sorted by order, changed in place.
        draws: of these images, on their device.
        orders: ``draws.order`` as numbers; images of one order, which lie side by side, are worked on together.
        options: what can be left out.
    """
    color = images.shape[1] == 3
    spreads = (options.brightness, options.contrast, color and options.saturation, color and options.hue)
    steps = (brighten, stretch_contrast, saturate, turn_hue)
    factors = (draws.brightness, draws.contrast, draws.saturation, draws.hue)
    start = 0
    while start < len(orders) and orders[start] != NO_JITTER:
        end = start + 1
        while end < len(orders) and orders[end] == orders[start]:
            end += 1
        part = images[start:end]
        for step in ORDERS[orders[start]]:
            if spreads[step]:
                steps[step](part, factors[step][start:end, None, None, None])
        start = end


def brighten(images: Tensor, factor: Tensor) -> None:
    """All values times ``factor`` (B, 1, 1, 1), cut at white."""
    images.mul_(factor).clamp_(max=WHITE)


def stretch_contrast(images: Tensor, factor: Tensor) -> None:
    """Mean grey of the image + factor · (value - mean grey)."""
    mean = grey_of(images.mean(dim=(2, 3), keepdim=True))
    images.mul_(factor).add_(mean * (1 - factor)).clamp_(0, WHITE)


def saturate(images: Tensor, factor: Tensor) -> None:
    """Grey of the pixel + factor · (value - grey)."""
    grey = grey_of(images) * (1 - factor)
    images.mul_(factor).add_(grey).clamp_(0, WHITE)


def turn_hue(images: Tensor, turn: Tensor) -> None:
    """Turn the hue of HSV by ``turn`` circles; value and saturation stay.

    With value V, chroma C and angle h in sixths of the circle, red is V - C + C · clip(|h - 3| - 1), green and blue are
    V - C · clip(|h - 2| - 1) and V - C · clip(|h - 4| - 1), clip to 0 … 1.
    """
    red, green, blue = images.unbind(1)
    value, least = torch.maximum(red, green), torch.minimum(red, green)
    torch.maximum(value, blue, out=value)
    torch.minimum(least, blue, out=least)
    chroma = value - least
    angle = (red - green).add_(chroma, alpha=4)
    # Choosing by a float mask of 0 and 1 is many times faster than `where` on a CPU, and as exact.
    chosen = torch.empty_like(angle)
    for channel, difference in ((green, (blue - red).add_(chroma, alpha=2)), (red, green - blue)):
        torch.lerp(angle, difference, torch.eq(value, channel, out=chosen), out=angle)
    # In circles and above 0, so that `frac` sees no sign; without chroma any angle will do, it must only be finite.
    angle.div_(chroma.clamp(min=1e-6)).mul_(1 / 6).add_(turn[:, :, 0] + 1).frac_().mul_(6)
    least.sub_(chroma)
    value.add_(chroma)
    torch.addcmul(least, chroma, (angle - 3).abs_().clamp_(1, 2), out=red)
    torch.addcmul(value, chroma, (angle - 2).abs_().clamp_(1, 2), value=-1, out=green)
    torch.addcmul(value, chroma, angle.sub_(4).abs_().clamp_(1, 2), value=-1, out=blue)


def solarize(images: Tensor, chosen: Tensor) -> None:
    """Values from 128 on inverted, in the images that ``chosen`` (B,) names."""
    # A value v becomes v + mask · (255 - 2v), the mask 1 from 128 on.
    mask = torch.ge(images, 128, out=torch.empty_like(images)).mul_(chosen[:, None, None, None])
    images.addcmul_(mask, WHITE - 2 * images)
