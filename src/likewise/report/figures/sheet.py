"""A sheet of image tiles: one array of output pixels on which tiles are pasted and words are set.

An axes per tile costs 15 ms and eighty of them a second; here a sheet of eighty tiles costs 30 ms. Coordinates are
output pixels from the top left corner. Small images are enlarged without smoothing so that their pixels are seen as
they are; large ones are reduced by Lanczos.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from likewise.report.figures.style import DPI, INK, MUTED, WIDTH, new_figure

Pixels = NDArray[np.uint8]

SHEET_WIDTH = round(WIDTH * DPI)
MARGIN = 14
TITLE_HEIGHT = 92
"""Pixels kept free at the top for a title and one line below it."""


def tile(image_CHW: Pixels, size: int) -> Pixels:
    """One image as a square RGB tile, its own proportions kept, the rest filled with a light grey.

    Args:
        image_CHW: (C, H, W) uint8; one channel is grey, of two the first is shown, of four and more the first three.
        size: edge of the tile in pixels.

    Returns:
        (size, size, 3) uint8.
    """
    channels, height, width = image_CHW.shape
    shown = image_CHW[:3] if channels >= 3 else np.repeat(image_CHW[:1], 3, axis=0)
    scale = size / max(height, width)
    target = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
    picture = Image.fromarray(np.ascontiguousarray(shown.transpose(1, 2, 0))).resize(target, method)
    square: Pixels = np.full((size, size, 3), 238, dtype=np.uint8)
    top, left = (size - target[1]) // 2, (size - target[0]) // 2
    square[top : top + target[1], left : left + target[0]] = np.asarray(picture)
    return square


class Sheet:
    """White paper of ``SHEET_WIDTH`` x ``height`` pixels.

    Args:
        height: pixels, title included.
        title: bold, top left.
        subtitle: one quiet line below the title; keep it under 75 characters.
    """

    def __init__(self, height: int, title: str, subtitle: str = "") -> None:
        self.paper: Pixels = np.full((height, SHEET_WIDTH, 3), 255, dtype=np.uint8)
        self._words: list[tuple[float, float, str, dict[str, Any]]] = []
        self.write(MARGIN, 14, title, fontsize=11.5, fontweight="bold", va="top")
        if subtitle:
            self.write(MARGIN, 48, subtitle, fontsize=9.5, color=MUTED, va="top")

    def paste(self, x: int, y: int, pixels: Pixels) -> None:
        """Put ``pixels`` (H, W, 3) with its top left corner at (x, y)."""
        self.paper[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels

    def frame(self, x: int, y: int, size: int, color: str, thickness: int = 5) -> None:
        """A coloured frame around a tile at (x, y), drawn outside it."""
        rgb = tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))
        inner = self.paper[y : y + size, x : x + size].copy()
        self.paper[y - thickness : y + size + thickness, x - thickness : x + size + thickness] = rgb
        self.paste(x, y, inner)

    def write(self, x: float, y: float, text: str, **style: Any) -> None:
        """Set ``text`` at (x, y); ``style`` goes to matplotlib (``fontsize``, ``color``, ``ha``, ``va`` …)."""
        self._words.append((x, y, text, style))

    def figure(self) -> Figure:
        """The finished sheet."""
        height, width, _ = self.paper.shape
        figure = new_figure(
            (height + 0.01) / DPI, constrained=False
        )  # 0.01: inches times dpi must not fall below height
        axes: Axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        figure.figimage(self.paper, origin="upper", zorder=-1)
        for x, y, text, style in self._words:
            axes.text(x, y, text, **{"color": INK, "fontsize": 9.5, "linespacing": 1.1, **style})
        return figure
