"""Two confusion matrices side by side: the same classes in the same order and the same colours, so that they compare.

A cell is 31 pixels wide with ten classes, which holds two digits; with more the colours speak alone. Up to 14 classes have
their names at the edges, more have their numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from likewise.report.figures.confusion import cell_colors, row_shares, write_shares
from likewise.report.figures.names import class_name, short, short_names
from likewise.report.figures.sheet import MARGIN
from likewise.report.figures.style import DPI, INK, MUTED, WIDTH, new_figure, styled

WITH_SHARES, WITH_NAMES = 10, 14
LONGEST_NAME = 11
LETTER = 0.066
"""Inches that a letter of a class name is wide, on the average."""


@dataclass(frozen=True)
class Matrix:
    """One side: its label, a line below it, and the counts of ``confusion_matrix``, (K, K) int64."""

    label: str
    words: str
    counts: NDArray[np.int64]


@styled
def draw_confusion_pair(
    first: Matrix, second: Matrix, class_names: Sequence[str], *, decided_by: str = "1-NN"
) -> Figure:
    """Both matrices, the first on the left.

    Args:
        first, second: over the same K classes.
        class_names: K names.
        decided_by: what made the predictions, for the axis below.
    """
    classes = len(first.counts)
    named = classes <= WITH_NAMES
    names = short_names([class_name(class_names, label) for label in range(classes)], LONGEST_NAME) if named else []
    longest = max(map(len, names), default=3)
    left = 0.34 + LETTER * longest + 0.1
    gap, right, top = 0.14, MARGIN / DPI, 1.0
    below = (LETTER * longest * 0.8 + 0.42) if longest > 3 else 0.55
    side = (WIDTH - left - right - gap) / 2
    figure = new_figure(top + side + below, constrained=False)
    height = figure.get_figheight()
    edge = MARGIN / DPI / WIDTH
    figure.text(edge, 1 - 0.1 / height, "Confusion before and after", fontsize=11.5, fontweight="bold", va="top")
    words = "per cent of each true class; blue right, orange wrong"
    figure.text(edge, 1 - 0.34 / height, words, fontsize=9.5, color=MUTED, va="top")
    for at, matrix in enumerate((first, second)):
        start = left + at * (side + gap)
        axes = figure.add_axes((start / WIDTH, below / height, side / WIDTH, side / height))
        _draw(axes, matrix, names)
        axes.set_xlabel(f"predicted class ({decided_by})" if named else "predicted class, by number", fontsize=9)
        axes.xaxis.set_label_coords(0.5, (0.1 - below) / side + 0.03)
    outer = figure.axes[0]
    outer.set_ylabel("true class" if named else "true class, by number", fontsize=9)
    outer.yaxis.set_label_coords((0.24 - left) / side, 0.5)
    figure.axes[1].tick_params(labelleft=False)
    return figure


def _draw(axes: Axes, matrix: Matrix, names: Sequence[str]) -> None:
    shares = row_shares(matrix.counts)
    colors = cell_colors(matrix.counts)
    axes.imshow(colors, interpolation="nearest")
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(True)
    if len(shares) <= WITH_SHARES:
        write_shares(axes, shares, matrix.counts, colors, fontsize=9, wide=7.5)
    if names:
        axes.set_xticks(range(len(names)), names, fontsize=9)
        axes.set_yticks(range(len(names)), names, fontsize=9)
        axes.tick_params(length=0, colors=INK)
        if max(map(len, names)) > 3:
            axes.tick_params(axis="x", labelrotation=50)
            for label in axes.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")
    above: Any = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate(short(matrix.label, 30), (0, 1), xytext=(0, 18), fontsize=10, fontweight="bold", **above)
    axes.annotate(short(matrix.words, 40), (0, 1), xytext=(0, 6), fontsize=9, color=MUTED, **above)
