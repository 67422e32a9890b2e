"""recall@k with one line per objective, its band, and the untrained 1-NN accuracies.

Lines differ in colour, dash and marker, in the order in which the recipes were asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from likewise.report.figures.baselines import draw_baselines
from likewise.report.figures.names import short
from likewise.report.figures.style import DASHES, LINES, MARKERS, headline, new_figure, styled


@dataclass(frozen=True)
class Line:
    """One objective's line.

    Attributes:
        label: of the objective.
        place: its position among the objectives; decides colour, dash and marker.
        x: positions.
        mean: shares at x.
        low, high: ends of the 95 % interval at x; None where there is none.
    """

    label: str
    place: int
    x: Sequence[float]
    mean: Sequence[float]
    low: Sequence[float | None]
    high: Sequence[float | None]


def draw_line(axes: Axes, line: Line) -> Line2D:
    """A line in per cent with its band; returns its legend handle."""
    color = LINES[line.place % len(LINES)]
    (handle,) = axes.plot(
        line.x, [100 * value for value in line.mean], color=color, linestyle=DASHES[line.place % len(DASHES)],
        marker=MARKERS[line.place % len(MARKERS)], markersize=5, label=" " + short(line.label, 32), zorder=3,
    )  # fmt: skip
    known = [at for at in range(len(line.x)) if line.low[at] is not None and line.high[at] is not None]
    if len(known) > 1:
        low = [max(0.0, 100 * float(line.low[at] or 0.0)) for at in known]
        high = [min(100.0, 100 * float(line.high[at] or 0.0)) for at in known]
        axes.fill_between([line.x[at] for at in known], low, high, color=color, alpha=0.16, linewidth=0, zorder=2)
    return handle


def keep_range(axes: Axes, lines: Sequence[Line], baselines: Sequence[float]) -> None:
    """Limits around means and baselines; a band of two or three seeds may be wide enough to squeeze all else."""
    values = np.array([100 * value for line in lines for value in line.mean] + [100 * value for value in baselines])
    reach = max(float(values.max() - values.min()), 2.0)
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, values.min() - 0.6 * reach, 0.0), min(high, values.max() + 0.6 * reach, 101.5))


@styled
def draw_objective_recall(lines: Sequence[Line], baselines: Mapping[str, float], *, subtitle: str = "") -> Figure:
    """The plot.

    Args:
        lines: one per objective; x is k.
        baselines: name → 1-NN accuracy as a share.
        subtitle: what the numbers are of.
    """
    figure = new_figure(3.9 + 0.22 * (len(lines) + len(baselines)) / 2)
    axes = figure.add_subplot()
    handles = [draw_line(axes, line) for line in lines]
    handles += draw_baselines(axes, baselines)
    axes.set_xticks(sorted({int(k) for line in lines for k in line.x}))
    keep_range(axes, lines, list(baselines.values()))
    axes.set_xlabel("k")
    axes.set_ylabel("recall@k, test split (%)")
    headline(axes, "recall@k by objective", subtitle)
    figure.legend(
        handles=handles, loc="outside lower left", ncols=2 if all(len(line.label) < 22 for line in lines) else 1
    )
    return figure
