"""What an embedding calls alike: the cosines of pairs of one class and of pairs of different classes, as two histograms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from likewise.evaluation import PairSimilarities
from likewise.report.figures.names import short
from likewise.report.figures.style import INK, MUTED, RIGHT, WRONG, new_figure, styled


@dataclass(frozen=True)
class SimilarityPanel:
    """One space: its label, a line below it, and its histograms."""

    label: str
    words: str
    found: PairSimilarities


@styled
def draw_similarities(panels: Sequence[SimilarityPanel], *, title: str) -> Figure:
    """Panels in two columns with the same cosines below, each to its own height (one alone has the whole width).

    Args:
        panels: one per space.
        title: of the picture.
    """
    columns = 1 if len(panels) == 1 else 2
    rows = -(-len(panels) // columns)
    figure = new_figure(0.95 + rows * (2.1 if columns == 1 else 1.75))
    grid = figure.subplots(rows, columns, sharex=True, squeeze=False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        found = panel.found
        for shares, color in ((found.different, WRONG), (found.same, RIGHT)):
            axes.stairs(shares, found.edges, fill=True, color=color, alpha=0.28, linewidth=0)
            axes.stairs(shares, found.edges, color=color, linewidth=1.5)
        axes.set_xlim(-1, 1)
        axes.set_ylim(0, 1.06 * max(found.same.max(), found.different.max()))
        if columns == 1:
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        else:  # where the hills lie and overlap is what differs: a narrow one would flatten all others
            axes.set_yticks([])
        axes.set_title(short(panel.label, 32), fontsize=10, pad=18)
        axes.annotate(
            panel.words, (0, 1), xytext=(0, 5), xycoords="axes fraction", textcoords="offset points", fontsize=8.5,
            color=MUTED, annotation_clip=False,
        )  # fmt: skip
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for column in range(columns):
        lowest = grid[rows - 1 if (rows - 1) * columns + column < len(panels) else rows - 2, column]
        lowest.set_xlabel("cosine of two test images")
        lowest.tick_params(labelbottom=True)
    figure.supylabel(
        "share of the pairs" + ("" if columns == 1 else ", each to its own height"), fontsize=10, color=INK
    )
    figure.suptitle(title, x=0.02, ha="left", fontsize=11.5, fontweight="bold")
    names = [
        Patch(color=RIGHT, alpha=0.7, label="of one class"),
        Patch(color=WRONG, alpha=0.7, label="of different classes"),
    ]
    figure.legend(handles=names, loc="outside lower center", ncols=2)
    return figure
