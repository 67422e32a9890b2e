"""The embedding as a map: one point per test image, one colour per class, each class named at its middle.

The names stand at the median of their points and are pushed apart where they would cover each other; a thin line
leads back when a name had to move far. Up to 20 classes a legend repeats the names below the picture. At most about
3,000 points can be seen in a picture of this size; the caller chooses them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from likewise.report.figures.label_placement import free_labels, place_labels
from likewise.report.figures.names import class_name, short_names
from likewise.report.figures.style import (
    DPI,
    HALO,
    INK,
    MARKERS,
    MUTED,
    WIDTH,
    class_colors,
    headline,
    new_figure,
    styled,
)

WITH_LEGEND = 20
MOST_NAMES = 40

Points = NDArray[np.float32]


@styled
def draw_embedding(
    points: Points,
    labels: NDArray[np.int64] | None,
    class_names: Sequence[str],
    *,
    title: str,
    subtitle: str = "",
    axis_names: tuple[str, str] = ("", ""),
    measured_axes: bool = False,
) -> Figure:
    """The map.

    Args:
        points: (N, 2) float, finite.
        labels: (N,) int64, or None: one colour and no names then.
        class_names: of all classes.
        title, subtitle: of the picture.
        axis_names: labels of the x and y axis.
        measured_axes: True where the coordinates mean something (a 2-D embedding): numbers at the axes. A projection
            has none, since its distances and axes have no unit.
    """
    present = [] if labels is None else [int(label) for label in np.unique(labels)]
    legend = 0 < len(present) <= WITH_LEGEND
    columns = legend_columns(present, class_names)
    legend_height = -(-len(present) // columns) * 0.2 + 0.12 if legend else 0.0
    left = 0.72 if measured_axes else 0.34
    below = (0.5 if measured_axes else 0.34) + legend_height
    side = WIDTH - 0.12 - left
    figure = new_figure(side + below + 0.62, constrained=False)
    height = figure.get_figheight()
    axes = figure.add_axes((left / WIDTH, below / height, side / WIDTH, side / height))
    scatter_classes(axes, points, labels, class_names, size=_point_size(len(points)))
    headline(axes, title, subtitle)
    axes.set_xlabel(axis_names[0])
    axes.set_ylabel(axis_names[1])
    if not measured_axes:
        axes.set_xticks([])
        axes.set_yticks([])
    if labels is not None:
        print_names(axes, points, labels, class_names)
    if legend:
        class_legend(figure, present, class_names, columns)
    return figure


def _point_size(count: int) -> float:
    return float(np.clip(26000 / max(count, 1), 7, 34))


def scatter_classes(
    axes: Axes, points: Points, labels: NDArray[np.int64] | None, class_names: Sequence[str], *, size: float
) -> None:
    """Points in class colours, in one shuffled order so that no class lies on top; limits around nearly all of them.

    ``axes`` is square: both directions get the same scale.
    """
    colors = (
        np.array(["#1f6fb8"])
        if labels is None
        else np.array(class_colors(max(len(class_names), int(labels.max()) + 1)))
    )
    order = np.random.default_rng(0).permutation(len(points))
    which = np.zeros(len(points), dtype=np.int64) if labels is None else labels
    many = labels is not None and len(colors) > len(MARKERS)
    for mark in range(len(MARKERS) if many else 1):
        rows = order[which[order] // 10 % len(MARKERS) == mark] if many else order
        if len(rows):
            axes.scatter(
                points[rows, 0], points[rows, 1], s=size, c=colors[which[rows]], marker=MARKERS[mark],
                alpha=0.75, linewidths=0, rasterized=True,
            )  # fmt: skip
    low, high, outside = _limits(points)
    middle, reach = (low + high) / 2, float((high - low).max()) / 2
    axes.set_xlim(middle[0] - reach, middle[0] + reach)
    axes.set_ylim(middle[1] - reach, middle[1] + reach)
    for spine in axes.spines.values():
        spine.set_visible(True)
    if outside:
        axes.annotate(
            f"{outside} point{'s' if outside > 1 else ''} outside", (1, 0), xytext=(-5, 5), xycoords="axes fraction",
            textcoords="offset points", ha="right", fontsize=8.5, color=MUTED,
        )  # fmt: skip


def _limits(points: Points) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    low, high = points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)
    inner_low, inner_high = np.percentile(points, [0.5, 99.5], axis=0)
    width = inner_high - inner_low
    far = (high - low) > 2.2 * np.maximum(width, 1e-12)
    low = np.where(far, inner_low - 0.25 * width, low)
    high = np.where(far, inner_high + 0.25 * width, high)
    pad = np.maximum(0.04 * (high - low), 1e-6 + 1e-6 * np.abs(high))
    low, high = low - pad, high + pad
    outside = int(((points < low) | (points > high)).any(axis=1).sum())
    return low, high, outside


def print_names(
    axes: Axes, points: Points, labels: NDArray[np.int64], class_names: Sequence[str], *, fontsize: float = 10
) -> None:
    """Each class's name at the median of its points, readable on any ground, none over another."""
    present, counts = np.unique(labels, return_counts=True)
    many = len(present) > WITH_LEGEND
    fontsize = 8 if many else fontsize
    names = short_names([class_name(class_names, int(label)) for label in present], 14 if many else 18)
    medians = np.array([np.median(points[labels == label], axis=0) for label in present])
    box = axes.get_window_extent()
    anchors = axes.transData.transform(medians) - box.p0
    pixel = fontsize * DPI / 72
    sizes = np.array([[0.62 * pixel * len(name) + 8, 1.35 * pixel] for name in names])
    kept = np.arange(len(present))
    if many:
        kept = free_labels(anchors, sizes, np.argsort(-counts, kind="stable"), most=MOST_NAMES)
        centres = np.clip(anchors[kept], sizes[kept] / 2, np.array([box.width, box.height]) - sizes[kept] / 2)
        axes.annotate(
            f"names of {len(kept)} of {len(present)} classes", (0, 0), xytext=(5, 5), xycoords="axes fraction",
            textcoords="offset points", fontsize=8.5, color=MUTED,
        )  # fmt: skip
    else:
        centres = place_labels(anchors, sizes, (box.width, box.height))
    to_data = axes.transData.inverted()
    for at, centre in zip(kept, centres, strict=True):
        x, y = to_data.transform(centre + box.p0)
        moved = float(np.hypot(*(centre - anchors[at])))
        if moved > 1.6 * pixel:
            axes.plot(*zip((x, y), medians[at], strict=True), color=INK, linewidth=0.8, zorder=4, path_effects=HALO)
        axes.text(
            x,
            y,
            names[at],
            fontsize=fontsize,
            fontweight="bold",
            ha="center",
            va="center",
            color=INK,
            path_effects=HALO,
            zorder=6,
        )


def legend_columns(present: Sequence[int], class_names: Sequence[str]) -> int:
    """How many columns the legend has: four for short names, three for long ones."""
    return 3 if max((len(class_name(class_names, label)) for label in present), default=0) > 12 else 4


def class_legend(
    figure: Figure,
    present: Sequence[int],
    class_names: Sequence[str],
    columns: int,
    *,
    inside: tuple[float, float, float, float] | None = None,
) -> None:
    """Names and colours below the picture, or in the free rectangle ``inside`` it (left, bottom, width, height)."""
    colors = class_colors(max(len(class_names), max(present) + 1))
    names = short_names([class_name(class_names, label) for label in present], 14 if columns == 4 else 20)
    handles = [
        Line2D(
            [], [], linestyle="", color=colors[label], markersize=7,
            marker=MARKERS[label // 10 % len(MARKERS)] if len(colors) > len(MARKERS) else "o",
            label=" " + name,
        )
        for label, name in zip(present, names, strict=True)
    ]  # fmt: skip
    figure.legend(
        handles=handles, loc="center" if inside else "lower center", bbox_to_anchor=inside, ncols=columns,
        handletextpad=0.1, columnspacing=1.2, borderaxespad=0.3,
    )  # fmt: skip
