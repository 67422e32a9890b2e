"""Embeddings side by side, of objectives or of stages: the same test images, the same colours, one panel each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from likewise.report.figures.embedding import WITH_LEGEND, class_legend, legend_columns, print_names, scatter_classes
from likewise.report.figures.names import short
from likewise.report.figures.sheet import MARGIN
from likewise.report.figures.style import DPI, MUTED, WIDTH, new_figure, styled

ROWS_OF_NAMES = 11
"""So many class names fit into the empty place beside an odd last panel."""


@dataclass(frozen=True)
class Panel:
    """One map, of an objective or a stage: its label, a line below it, (N, 2) float coordinates and (N,) int64 labels."""

    label: str
    words: str
    points: NDArray[np.float32]
    labels: NDArray[np.int64] | None


@styled
def draw_embedding_panels(panels: Sequence[Panel], class_names: Sequence[str], *, title: str) -> Figure:
    """Panels in two columns (one alone has the whole width).

    Args:
        panels: in their order.
        class_names: of all classes, for every panel the same.
        title: of the picture.
    """
    columns = 1 if len(panels) == 1 else 2
    rows = -(-len(panels) // columns)
    present = sorted({int(label) for panel in panels if panel.labels is not None for label in np.unique(panel.labels)})
    legend = 0 < len(present) <= WITH_LEGEND
    legend_columns_ = legend_columns(present, class_names)
    free = columns == 2 and len(panels) % 2 == 1 and len(present) <= ROWS_OF_NAMES
    below = (-(-len(present) // legend_columns_) * 0.2 + 0.12) if legend and not free else 0.1
    gap, head, top = 0.14, 0.5, 0.42
    side = (WIDTH - 2 * MARGIN / DPI - (columns - 1) * gap) / columns
    figure = new_figure(top + rows * (side + head) + below + 0.06, constrained=False)
    height = figure.get_figheight()
    figure.text(MARGIN / DPI / WIDTH, 1 - 0.1 / height, title, fontsize=11.5, fontweight="bold", va="top")
    for at, panel in enumerate(panels):
        left = MARGIN / DPI + (at % columns) * (side + gap)
        bottom = height - top - (at // columns + 1) * (side + head)
        axes = figure.add_axes((left / WIDTH, bottom / height, side / WIDTH, side / height))
        scatter_classes(
            axes, panel.points, panel.labels, class_names, size=float(np.clip(9000 / max(len(panel.points), 1), 3, 20))
        )
        axes.set_xticks([])
        axes.set_yticks([])
        above: Any = {"xycoords": "axes fraction", "textcoords": "offset points"}
        axes.annotate(short(panel.label, 32), (0, 1), xytext=(0, 19), fontsize=10, fontweight="bold", **above)
        axes.annotate(short(panel.words, 44), (0, 1), xytext=(0, 6), fontsize=8.5, color=MUTED, **above)
        if panel.labels is not None:
            print_names(axes, panel.points, panel.labels, class_names, fontsize=8.5)
    if legend:
        place = ((left + side + gap) / WIDTH, bottom / height, side / WIDTH, side / height) if free else None
        class_legend(figure, present, class_names, 1 if free else legend_columns_, inside=place)
    return figure
