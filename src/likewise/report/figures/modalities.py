"""Images and captions in one picture of their common space, matching pairs joined by a line."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from likewise.report.figures.style import INK, LINES, headline, new_figure, styled

JOINED = 40
"""Pairs that are joined by a line: more would hide the points."""


@styled
def draw_modalities(images: NDArray[np.float32], texts: NDArray[np.float32], gap: float) -> Figure:
    """The picture.

    Args:
        images, texts: (N, 2) coordinates; row i of both belongs together.
        gap: distance between the centres of the two modalities in the whole space.
    """
    figure = new_figure(5.2)
    axes = figure.add_subplot()
    shown = np.linspace(0, len(images) - 1, min(JOINED, len(images))).round().astype(int)
    for at in shown:
        axes.plot(*np.stack([images[at], texts[at]]).T, color="#8a939c", linewidth=0.7, zorder=1)
    size = 9 if len(images) > 500 else 16
    axes.scatter(
        images[:, 0],
        images[:, 1],
        s=size,
        marker="o",
        color=LINES[0],
        alpha=0.55,
        linewidths=0,
        label="images",
        zorder=2,
    )
    axes.scatter(
        texts[:, 0],
        texts[:, 1],
        s=size,
        marker="^",
        color=LINES[1],
        alpha=0.55,
        linewidths=0,
        label="captions",
        zorder=2,
    )
    axes.set_xlabel("principal component 1")
    axes.set_ylabel("principal component 2")
    axes.set_aspect("equal", adjustable="datalim")
    legend = axes.legend(loc="best", markerscale=2)
    for text in legend.get_texts():
        text.set_color(INK)
    headline(axes, "Images and captions in one space", f"centres {gap:.2f} apart on the unit sphere · lines join pairs")
    return figure
