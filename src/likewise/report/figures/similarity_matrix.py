"""The similarity matrix of a small batch: images along the top, captions down the side, the matching pairs framed.

It is the matrix that the loss sees: each row a question to the images, each column one to the captions, and the diagonal is to
stand out.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from likewise.report.figures.names import printable
from likewise.report.figures.sheet import Pixels, tile
from likewise.report.figures.style import DPI, INK, MUTED, WIDTH, new_figure, styled

MOST = 8
HEIGHT = 4.9
"""Inches: the square matrix, the images above it, the title."""
COSINES = LinearSegmentedColormap.from_list("cosines", ["#ffffff", "#ffd9b0", "#f58a2c", "#8a2b00"])


@styled
def draw_similarity_matrix(similarities: NDArray[np.float32], images: Pixels, captions: Sequence[str]) -> Figure:
    """The matrix.

    Args:
        similarities: (M, M) cosines; row = caption, column = image; the diagonal belongs together.
        images: (M, C, H, W) uint8.
        captions: M sentences.
    """
    count = len(captions)
    figure = new_figure(HEIGHT, constrained=False)
    figure.text(0.02, 0.972, "A small batch as the loss sees it", fontsize=11.5, fontweight="bold", va="top")
    subtitle = "cosine of each caption and each image · framed: belong together"
    figure.text(0.02, 0.915, subtitle, fontsize=9.5, color=MUTED, va="top")
    left, right, bottom = 0.36, 0.985, 0.02
    width = right - left
    axes = figure.add_axes((left, bottom, width, width * WIDTH / HEIGHT))
    low, high = float(similarities.min()), float(similarities.max())
    axes.imshow(similarities, cmap=COSINES, vmin=low, vmax=high, aspect="auto")
    axes.grid(False)
    axes.set_xticks([])
    names = ["\n".join(textwrap.wrap(printable(caption), 26)[:3]) for caption in captions]
    axes.set_yticks(range(count), names, fontsize=8, color=INK)
    axes.tick_params(axis="y", length=0)
    for row in range(count):
        for column in range(count):
            value = round(float(similarities[row, column]), 2) + 0.0  # no minus before a zero
            dark = (value - low) / max(high - low, 1e-9) > 0.65
            axes.text(
                column, row, f"{value:.2f}".replace("0.", ".", 1), ha="center", va="center", fontsize=8.5,
                color="white" if dark else INK,
            )  # fmt: skip
        axes.add_patch(Rectangle((row - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=INK, linewidth=1.6))
    edge = int(width * WIDTH * DPI / count * 0.92)
    for column in range(count):
        box = OffsetImage(tile(images[column], edge), zoom=72 / DPI)
        place = AnnotationBbox(
            box, (column, -0.56), frameon=False, box_alignment=(0.5, 0.0), pad=0, annotation_clip=False
        )
        axes.add_artist(place)
    return figure
