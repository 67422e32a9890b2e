"""All random numbers of a batch of views, drawn at once on the CPU, so that every device makes the same views."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from likewise.data.draws import Draws
from likewise.data.views.options import ViewOptions
from likewise.models.device import to_device

__all__ = ["NO_JITTER", "ORDERS", "ViewDraws"]

TRIES = 10
NUMBERS = 2 * TRIES + 18
#: Orders of brightness (0), contrast (1), saturation (2) and hue (3); ``ViewDraws.order`` is a position in it.
ORDERS = tuple(itertools.permutations(range(4)))
NO_JITTER = len(ORDERS)


class ViewDraws:
    """What was drawn for V views: one row of ``numbers`` (18, V) for each name, so that it moves and is cut as one.

    Attributes:
        top, left, height, width: the crop, in pixels.
        flipped: 1 where it is mirrored.
        angle: the turn in radians, counter-clockwise as seen.
        down, right: the shift in pixels.
        order: of the colour jitter, a position in ``ORDERS``; ``NO_JITTER`` where there is none.
        brightness, contrast, saturation: factors.
        hue: turn in circles.
        grey: 1 where colour is taken away.
        sigma: of the blur in pixels, 0 where there is none.
        solarized: 1 where light values are inverted.
        cut_row, cut_column: centre of the cutout in 0 … 1.
    """

    names = (
        *("top", "left", "height", "width", "flipped", "angle", "down", "right", "order", "brightness", "contrast"),
        *("saturation", "hue", "grey", "sigma", "solarized", "cut_row", "cut_column"),
    )

    def __init__(self, numbers: Tensor) -> None:
        self.numbers = numbers

    def __len__(self) -> int:
        return self.numbers.shape[1]

    def __getattr__(self, name: str) -> Tensor:
        if name in self.names:
            return self.numbers[self.names.index(name)]
        raise AttributeError(name)

    @classmethod
    def draw(
        cls,
        count: int,
        options: ViewOptions,
        image_size: tuple[int, int],
        generator: torch.Generator | Draws,
        *,
        views: int = 1,
    ) -> ViewDraws:
        """Draw ``views`` views of each of ``count`` images of ``image_size`` (height, width), on the CPU.

        The number of random numbers is the same for all options, so that switching one part off leaves the others as
        they were.
        """
        source = Draws.of(generator)
        uniform = torch.cat([source.rand(NUMBERS, count, dim=1, dtype=torch.float64) for _ in range(views)], dim=1)
        u = iter(uniform[2 * TRIES + 2 :])

        def chance(probability: float) -> Tensor:
            drawn: Tensor = next(u) < probability
            return drawn

        def between(low: float, high: float) -> Tensor:
            drawn: Tensor = low + (high - low) * next(u)
            return drawn

        flipped = chance(options.flip)
        angle = between(-options.rotation, options.rotation).deg2rad()
        down, right = ((next(u) * (2 * options.shift + 1)).floor() - options.shift for _ in range(2))
        jittered, order = chance(options.jitter), (next(u) * len(ORDERS)).floor().clamp_(max=len(ORDERS) - 1)
        factors = [
            between(max(0.0, 1 - spread), 1 + spread)
            for spread in (options.brightness, options.contrast, options.saturation)
        ]
        hue, grey = between(-options.hue, options.hue), chance(options.grayscale)
        blurred, sigma = chance(options.blur), between(*options.blur_sigma)
        rows = (
            *_crops(uniform, options, image_size),
            *(flipped, angle, down, right, torch.where(jittered, order, NO_JITTER), *factors, hue, grey),
            *(torch.where(blurred, sigma, 0), chance(options.solarize), next(u), next(u)),
        )
        return cls(torch.stack([row.to(torch.float32) for row in rows]))

    def take(self, which: Tensor) -> ViewDraws:
        """The views at the positions ``which``."""
        return ViewDraws(self.numbers.index_select(1, which))

    def to(self, device: torch.device) -> ViewDraws:
        """All of it on ``device``."""
        return ViewDraws(to_device(self.numbers, device))


def _crops(uniform: Tensor, options: ViewOptions, image_size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The first of ten tries that fits into the image; where none does, the largest central crop of allowed aspect."""
    full_height, full_width = image_size
    count = uniform.shape[1]
    if options.crop is None:
        top, left = torch.zeros(2, count)
        return top, left, torch.full((count,), full_height), torch.full((count,), full_width)
    (small, large), (tall, wide) = options.crop, options.aspect
    area = full_height * full_width * (small + (large - small) * uniform[:TRIES])
    aspect = (wide / tall) ** uniform[TRIES : 2 * TRIES] * tall
    widths, heights = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (widths >= 1) & (heights >= 1) & (widths <= full_width) & (heights <= full_height)
    first = fits.int().argmax(dim=0, keepdim=True)
    found = fits.any(dim=0)
    last_aspect = min(max(full_width / full_height, tall), wide)
    last_width = max(1, min(full_width, round(full_height * last_aspect)))
    last_height = max(1, min(full_height, round(full_width / last_aspect)))
    height = torch.where(found, heights.gather(0, first)[0], last_height)
    width = torch.where(found, widths.gather(0, first)[0], last_width)
    row, column = uniform[2 * TRIES], uniform[2 * TRIES + 1]
    free_rows, free_columns = full_height - height, full_width - width
    top = torch.where(found, (row * (free_rows + 1)).floor().minimum(free_rows), (free_rows / 2).round())
    left = torch.where(found, (column * (free_columns + 1)).floor().minimum(free_columns), (free_columns / 2).round())
    return top, left, height, width
