"""What each objective cost: seconds of training, bars from zero, with a line from the quickest seed to the slowest."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from likewise.report.figures.accuracy_intervals import Estimate
from likewise.report.figures.names import short
from likewise.report.figures.style import INK, LINES, headline, new_figure, styled
from likewise.report.wording import duration


@styled
def draw_training_time(estimates: Sequence[Estimate], *, subtitle: str = "") -> Figure:
    """One bar per objective.

    Args:
        estimates: in seconds.
        subtitle: what the numbers are of.
    """
    figure = new_figure(1.25 + 0.42 * len(estimates))
    axes = figure.add_subplot()
    longest = max((max([item.mean, *item.values]) for item in estimates), default=1.0)
    for y, item in enumerate(estimates):
        axes.barh(y, item.mean, height=0.56, color=LINES[item.place % len(LINES)], alpha=0.85, zorder=2)
        end = max([item.mean, *item.values])
        if len(item.values) > 1:
            ends = [min(item.values), max(item.values)]
            axes.plot(ends, [y, y], color=INK, linewidth=1.6, zorder=3, marker="|", markersize=8)
        axes.annotate(
            duration(item.mean), (end, y), xytext=(7, 0), textcoords="offset points", va="center", fontsize=9.5
        )
    axes.set_yticks(range(len(estimates)), [short(item.label, 22) for item in estimates])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_ylim(len(estimates) - 0.45, -0.55)
    axes.set_xlim(0, longest * 1.24 + 1e-9)
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("training time (s)")
    headline(axes, "Training time by objective", subtitle)
    return figure
