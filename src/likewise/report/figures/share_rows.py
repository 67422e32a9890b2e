"""Shares as points on one axis, a row each, with their intervals and a line where guessing stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from likewise.report.figures.names import short
from likewise.report.figures.style import INK, LINES, MUTED, headline, new_figure, styled


class ShareRow(NamedTuple):
    """A name, a share in 0 … 1, and the ends of its interval where it has one."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


@styled
def draw_share_rows(
    rows: Sequence[ShareRow], *, title: str, measure: str, subtitle: str = "", guessing: float | None = None
) -> Figure:
    """The rows in the order given, the first on top.

    Args:
        rows: at least one.
        title: bold, above.
        measure: what the axis shows.
        subtitle: one quiet line.
        guessing: the share that guessing reaches.
    """
    figure = new_figure(1.5 + 0.34 * len(rows))
    axes = figure.add_subplot()
    for y, row in enumerate(rows):
        if row.low is not None and row.high is not None:
            axes.plot([100 * row.low, 100 * row.high], [y, y], color=LINES[0], linewidth=7, alpha=0.3, zorder=2)
        axes.plot([100 * row.value], [y], "o", markersize=7, color=LINES[0], markeredgecolor="white", zorder=4)
        axes.annotate(
            f"{100 * row.value:.1f}", (100 * (row.high or row.value), y), xytext=(9, 0), textcoords="offset points",
            va="center", fontsize=9.5, color=MUTED,
        )  # fmt: skip
    ends = [100 * end for row in rows for end in (row.value, row.low, row.high) if end is not None]
    if guessing is not None:
        axes.axvline(100 * guessing, color=MUTED, linestyle=(0, (5, 1.5)), linewidth=1.2)
        ends.append(100 * guessing)
    reach = max(max(ends) - min(ends), 2.0)
    axes.set_xlim(max(0.0, min(ends) - 0.1 * reach), max(ends) + 0.2 * reach)
    axes.set_yticks(range(len(rows)), [short(row.name, 22) for row in rows])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(measure)
    headline(axes, title, subtitle)
    return figure
