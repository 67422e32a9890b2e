"""How many labelled images an objective needs: accuracy against the number of training images, on a log axis.

Bands are 95 % intervals. Raw pixels and PCA are measured with the same training images, so their lines rise too; the
thin level line is what raw pixels reach with all of them: where a curve crosses it, training has paid.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from likewise.report.figures.baselines import line_style
from likewise.report.figures.names import short
from likewise.report.figures.objective_recall import Line, draw_line, keep_range
from likewise.report.figures.style import RAW_PIXELS, headline, new_figure, styled


@styled
def draw_sample_efficiency(
    lines: Sequence[Line], baselines: Sequence[Line], *, measure: str, subtitle: str = ""
) -> Figure:
    """The plot.

    Args:
        lines: one per objective; x is the number of training images.
        baselines: raw pixels first, then PCA; x as above.
        measure: name of the accuracy.
        subtitle: what the numbers are of.
    """
    figure = new_figure(4.0 + 0.22 * (len(lines) + len(baselines) + 1) / 2)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    handles = [draw_line(axes, line) for line in lines]
    for baseline in baselines:
        style = line_style(baseline.label)
        label = " " + short(baseline.label, 32)
        handles += axes.plot(baseline.x, [100 * value for value in baseline.mean], marker=".", label=label, **style)
    if baselines and len(baselines[0].x) > 1:
        most = max(range(len(baselines[0].x)), key=lambda at: baselines[0].x[at])
        level = 100 * baselines[0].mean[most]
        label = f" {short(baselines[0].label, 12)}, {baselines[0].x[most]:,.0f} images {level:.1f} %"
        handles.append(axes.axhline(level, color=RAW_PIXELS, linewidth=0.9, zorder=1.5, label=label))
    counts = sorted({float(x) for line in [*lines, *baselines] for x in line.x})
    shown = [
        count for at, count in enumerate(counts) if at == 0 or at == len(counts) - 1 or count / counts[at - 1] > 1.6
    ]
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    if len(counts) == 1:
        axes.set_xlim(counts[0] / 2, counts[0] * 2)
    keep_range(axes, [*lines, *baselines], [])
    axes.set_xlabel("training images (log scale)")
    axes.set_ylabel(f"{measure}, test split (%)")
    headline(axes, "Accuracy by number of training images", subtitle)
    figure.legend(
        handles=handles, loc="outside lower left", ncols=2 if all(len(line.label) < 25 for line in lines) else 1
    )
    return figure
