"""What wrong labels cost: a score against the share of training labels that are wrong, with a band per objective.

Bands are 95 % intervals. Raw pixels and PCA look into the same wrongly labelled gallery, so their lines fall too: a curve
that falls less than theirs has averaged some of the errors away.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

from likewise.report.figures.baselines import line_style
from likewise.report.figures.names import short
from likewise.report.figures.objective_recall import Line, draw_line, keep_range
from likewise.report.figures.style import headline, new_figure, styled


@styled
def draw_label_noise(lines: Sequence[Line], baselines: Sequence[Line], *, measure: str, subtitle: str = "") -> Figure:
    """The plot.

    Args:
        lines: one per objective; x is the share of wrong labels, 0 … 1.
        baselines: raw pixels first, then PCA; x as above.
        measure: name of the score.
        subtitle: what the numbers are of.
    """
    figure = new_figure(4.0 + 0.22 * (len(lines) + len(baselines)) / 2)
    axes = figure.add_subplot()
    handles = [draw_line(axes, line) for line in lines]
    for baseline in baselines:
        style = line_style(baseline.label)
        label = " " + short(baseline.label, 32)
        handles += axes.plot(baseline.x, [100 * value for value in baseline.mean], marker=".", label=label, **style)
    shares = sorted({float(x) for line in [*lines, *baselines] for x in line.x})
    axes.xaxis.set_major_locator(FixedLocator(shares))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    keep_range(axes, lines, [value for line in baselines for value in line.mean])
    axes.set_xlabel("training labels that are wrong")
    axes.set_ylabel(f"{measure}, test split (%)")
    headline(axes, "Score by share of wrong labels", subtitle)
    figure.legend(
        handles=handles, loc="outside lower left", ncols=2 if all(len(line.label) < 25 for line in lines) else 1
    )
    return figure
