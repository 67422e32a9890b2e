"""The confusion matrix of the 1-NN decision: row = true class, column = predicted class, in per cent of the row.

Up to 20 classes every cell shows its number and the names stand at the edges; with more the matrix is a picture
whose diagonal and blocks are read, and the most confused pairs are listed as text beside it. The diagonal has a
scale of its own (blue); errors are orange and drawn by their square root, so that 2 % is seen beside 90 %.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from likewise.report.figures.names import class_name, short_names
from likewise.report.figures.style import INK, headline, new_figure, styled

WITH_NUMBERS = 20
RIGHTS = LinearSegmentedColormap.from_list("rights", ["#ffffff", "#9ccbf0", "#3f90da", "#0b4f8a"])
ERRORS = LinearSegmentedColormap.from_list("errors", ["#ffffff", "#ffd9b0", "#f58a2c", "#b03a00"])


def confusion_matrix(labels: NDArray[np.int64], predictions: NDArray[np.int64], num_classes: int) -> NDArray[np.int64]:
    """Counts; row = true class, column = predicted class.

    Example:
        >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
        [[1, 1], [0, 1]]
    """
    flat = np.bincount(labels * num_classes + predictions, minlength=num_classes * num_classes)
    return flat.reshape(num_classes, num_classes).astype(np.int64)


def most_confused(counts: NDArray[np.int64], most: int = 8) -> list[tuple[int, int, int, float]]:
    """The largest errors as (true class, predicted class, count, share of the true class), largest share first.

    Example:
        >>> most_confused(np.array([[8, 2], [0, 5]]))
        [(0, 1, 2, 0.2)]
    """
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shares = counts / totals
    np.fill_diagonal(shares, -1.0)
    order = np.argsort(-shares, axis=None, kind="stable")[:most]
    pairs = [(int(i // len(counts)), int(i % len(counts))) for i in order]
    return [(a, b, int(counts[a, b]), float(shares[a, b])) for a, b in pairs if a != b and counts[a, b] > 0]


@styled
def draw_confusion(counts: NDArray[np.int64], class_names: Sequence[str], *, decided_by: str = "1-NN") -> Figure:
    """The matrix.

    Args:
        counts: (K, K) int64 of ``confusion_matrix``.
        class_names: K names.
        decided_by: what made the predictions, for the subtitle.
    """
    classes = len(counts)
    numbers = classes <= WITH_NUMBERS
    shares, colors = row_shares(counts), cell_colors(counts)
    figure = new_figure(5.6 if numbers else 5.3)
    axes = figure.add_subplot()
    axes.imshow(colors, interpolation="nearest")
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(True)
    if numbers:
        limit = 14 if classes <= 12 else 10
        names = short_names([class_name(class_names, label) for label in range(classes)], limit)
        size = 9.5 if classes <= 10 else 8
        axes.set_xticks(range(classes), names, fontsize=size)
        if max(map(len, names)) > 3:
            axes.tick_params(axis="x", labelrotation=50)
            for label in axes.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")
        axes.set_yticks(range(classes), names, fontsize=size)
        axes.tick_params(length=0, colors=INK)
        write_shares(axes, shares, counts, colors, fontsize=10 if classes <= 10 else 7.5)
    axes.set_xlabel(f"predicted class ({decided_by})" + ("" if numbers else ", by number"))
    axes.set_ylabel("true class" + ("" if numbers else ", by number"))
    headline(axes, "Confusion matrix", "per cent of each true class; blue right, orange wrong")
    return figure


def row_shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(K, K) per cent of the row; a class without a test image has zeros.

    Example:
        >>> row_shares(np.array([[3, 1], [0, 0]])).tolist()
        [[75.0, 25.0], [0.0, 0.0]]
    """
    shares: NDArray[np.float64] = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares


def cell_colors(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(K, K, 4) colours of the cells: blue on the diagonal, orange beside it, white where there is nothing."""
    shares, diagonal = row_shares(counts), np.eye(len(counts), dtype=bool)
    colors = np.where(diagonal[:, :, None], RIGHTS(shares / 100), ERRORS(np.sqrt(shares / 100)))
    colors[(~diagonal) & (counts == 0)] = 1.0
    return colors


def write_shares(
    axes: Axes,
    shares: NDArray[np.float64],
    counts: NDArray[np.int64],
    colors: NDArray[np.float64],
    *,
    fontsize: float,
    wide: float | None = None,
) -> None:
    """The share in every cell that has any, readable on its colour; one of three digits in the size ``wide``."""
    luminance = (colors[..., :3] ** 2.2) @ np.array([0.2126, 0.7152, 0.0722])
    for row, column in zip(*np.nonzero(counts), strict=True):
        share = shares[row, column]
        text = f"{share:.0f}" if share >= 0.95 else f"{share:.1f}".lstrip("0")
        axes.text(
            column, row, text, ha="center", va="center", fontsize=wide if wide and len(text) > 2 else fontsize,
            color="white" if luminance[row, column] < 0.24 else INK,
            fontweight="bold" if row == column else "normal",
        )  # fmt: skip
