"""recall@k for k = 1 … 10, both quantities that carry this name, named apart.

Retrieval recall@k: at least one of the k nearest images has the query's class. Class recall@k: the query's class is
among the k classes that the neighbours' vote finds most probable. The first grows with luck alone (ten tries), the
second is a top-k accuracy; papers call both "recall@k".
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from likewise.report.figures.baselines import draw_baselines
from likewise.report.figures.style import HALO, LINES, headline, new_figure, styled

RecallCurves = Mapping[str, Mapping[int, float]]


@styled
def draw_recall_curve(curves: RecallCurves, baselines: Mapping[str, float]) -> Figure:
    """One line per kind of recall.

    Args:
        curves: legend name → {k: recall as a share}.
        baselines: name → 1-NN accuracy as a share.
    """
    figure = new_figure(4.3)
    axes = figure.add_subplot()
    ks = sorted({k for curve in curves.values() for k in curve})
    for at, (name, curve) in enumerate(curves.items()):
        xs = sorted(curve)
        ys = np.array([100 * curve[k] for k in xs])
        dashes = ("-", (0, (5, 1.5)))[at % 2]
        axes.plot(xs, ys, color=LINES[at], linestyle=dashes, marker="os^D"[at % 4], markersize=5, label=name)
        for k in {xs[0], xs[-1]}:
            highest = all(curve[k] >= other.get(k, 0.0) for other in list(curves.values())[at + 1 :]) and all(
                curve[k] > other.get(k, 0.0) for other in list(curves.values())[:at]
            )
            axes.annotate(
                f"{100 * curve[k]:.1f}", (k, 100 * curve[k]), xytext=(0, 7 if highest else -16),
                textcoords="offset points", ha="center", color=LINES[at], fontsize=9.5, fontweight="bold",
                path_effects=HALO, zorder=5,
            )  # fmt: skip
    draw_baselines(axes, baselines)
    axes.set_xticks(ks)
    axes.set_xlabel("k")
    axes.set_ylabel("recall@k, test split (%)")
    axes.margins(x=0.06, y=0.16)
    low, high = axes.get_ylim()
    axes.set_ylim(max(0, low), min(high, 102.5))
    headline(axes, "recall@k")
    figure.legend(loc="outside lower left", ncols=1 if max(map(len, curves), default=0) > 24 else 2)
    return figure
