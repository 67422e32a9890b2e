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
    torch.lerp(grey_of(images), images, factor, out=images).clamp_(0, WHITE)


def turn_hue(images: Tensor, turn: Tensor) -> None:
    """Turn the hue of HSV by ``turn`` circles, -1/2 … 1/2; value and saturation stay.

    With value V, chroma C and angle h in circles, red is V - C + 6 C · clip(|h - 1/2|), green and blue are
    V + C - 6 C · clip(|h - 1/3|) and V + C - 6 C · clip(|h - 2/3|), clip to 1/6 … 1/3. On the hexagon of
    pure colours the way from red is C - red + (green + blue - least), a sixth of its edge being C; towards green it counts as
    positive, towards blue as negative.
    """
    red, green, blue = images.unbind(1)
    value, least = torch.maximum(red, green), torch.minimum(red, green)
    torch.maximum(value, blue, out=value)
    torch.minimum(least, blue, out=least)
    # Without chroma any angle will do, it must only be finite.
    chroma = (value - least).clamp_(min=1e-6)
    angle = (chroma - red).sub_(least).add_(green).add_(blue)
    beside = green - blue
    torch.copysign(angle, beside, out=angle)
    # One circle more, so that `frac` sees no sign.
    torch.addcdiv(turn[:, :, 0] + 1, angle, chroma, value=1 / 6, out=angle).frac_()
    least.sub_(chroma)
    value.add_(chroma)
    for channel, base, centre, sign in ((red, least, 1 / 2, 1), (green, value, 1 / 3, -1), (blue, value, 2 / 3, -1)):
        share = torch.sub(angle, centre, out=beside).abs_().clamp_(1 / 6, 1 / 3)
        torch.addcmul(base, chroma, share, value=6 * sign, out=channel)


def solarize(images: Tensor, chosen: Tensor) -> None:
    """Values from 128 on inverted, in the images that ``chosen`` (B,) names."""
    # A value v becomes v + mask · (255 - 2v), the mask 1 from 128 on.
    mask = torch.ge(images, 128, out=torch.empty_like(images)).mul_(chosen[:, None, None, None])
    images.addcmul_(mask, WHITE - 2 * images)
