"""Accuracies of the objectives with their 95 % intervals, on one axis, beside the untrained raw pixels and PCA.

A bar that starts at zero makes 88 % and 91 % look alike, and one that does not start there lies about its length; so
each accuracy is a point, its interval a thick bar, its seeds small ticks, with the number printed beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from likewise.report.figures.baselines import line_style
from likewise.report.figures.names import short
from likewise.report.figures.style import HALO, INK, LINES, MARKERS, MUTED, headline, new_figure, styled


@dataclass(frozen=True)
class Estimate:
    """One accuracy of one objective: its place among them, mean, 95 % interval and the seeds' values, as shares."""

    label: str
    place: int
    mean: float
    low: float | None
    high: float | None
    values: Sequence[float]


@styled
def draw_accuracy_intervals(
    panels: Mapping[str, Sequence[Estimate]],
    baselines: Mapping[str, float],
    *,
    title: str = "Accuracy by objective",
    measure: str = "accuracy",
    subtitle: str = "",
) -> Figure:
    """One block per kind of accuracy, one row per objective.

    Args:
        panels: name of the accuracy → estimates, in the same order everywhere.
        baselines: name → untrained 1-NN accuracy as a share.
        title: above the plot.
        measure: what the axis is, in one word.
        subtitle: what the numbers are of.
    """
    rows = sum(len(panel) for panel in panels.values())
    figure = new_figure(1.5 + 0.36 * rows + 0.42 * len(panels))
    axes = figure.add_subplot()
    y, ticks = 0.0, []
    ends: list[float] = [100 * value for value in baselines.values()]
    for name, panel in panels.items():
        axes.annotate(name, (0, y), xytext=(2, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                      fontsize=10, fontweight="bold", va="center", zorder=5,
                      path_effects=HALO)  # fmt: skip
        y += 0.95
        for estimate in panel:
            _row(axes, y, estimate)
            ends += [100 * bound for bound in (estimate.mean, estimate.low, estimate.high) if bound is not None]
            ends = [min(100.0, end) for end in ends]
            ticks.append((y, short(estimate.label, 22)))
            y += 1
        y += 0.35
    handles = [
        axes.axvline(100 * value, label=f"{name} {100 * value:.1f} %", **line_style(name))
        for name, value in baselines.items()
    ]
    axes.set_yticks([at for at, _ in ticks], [label for _, label in ticks])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_ylim(y - 0.5, -0.75)
    reach = max(max(ends) - min(ends), 2.0)
    axes.set_xlim(max(0.0, min(ends) - 0.12 * reach), max(ends) + 0.24 * reach)
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"{measure}, test split (%)")
    headline(axes, title, subtitle)
    if handles:
        figure.legend(handles=handles, loc="outside lower left", ncols=2)
    return figure


def _row(axes: Axes, y: float, estimate: Estimate) -> None:
    color = LINES[estimate.place % len(LINES)]
    at = 100 * estimate.mean
    right = at
    if estimate.low is not None and estimate.high is not None:
        right = min(100.0, 100 * estimate.high)
        axes.plot([100 * estimate.low, right], [y, y], color=color, linewidth=7, alpha=0.3, zorder=2)
    if len(estimate.values) > 1:
        axes.plot(
            [100 * value for value in estimate.values], [y] * len(estimate.values), linestyle="", marker="|",
            markersize=9, markeredgewidth=1.2, color=color, zorder=3,
        )  # fmt: skip
    axes.plot([at], [y], marker=MARKERS[estimate.place % len(MARKERS)], markersize=7, color=color, zorder=4,
              markeredgecolor="white", markeredgewidth=0.8)  # fmt: skip
    axes.annotate(
        f"{at:.1f}", (right, y), xytext=(9, 0), textcoords="offset points", va="center", fontsize=9.5, color=MUTED,
        path_effects=HALO, zorder=5,
    )  # fmt: skip
