"""Alignment against uniformity: how close images of a class lie, how evenly all lie on the sphere (Wang & Isola 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from likewise.report.figures.names import short
from likewise.report.figures.style import LINES, MARKERS, headline, new_figure, styled


@dataclass(frozen=True)
class Shape:
    """One objective: label, place among all (its colour), mean alignment and uniformity, and those of the seeds."""

    label: str
    place: int
    uniformity: float
    alignment: float
    seeds: tuple[tuple[float, float], ...] = ()


@styled
def draw_alignment_uniformity(shapes: Sequence[Shape], *, subtitle: str = "") -> Figure:
    """A point per objective; small points are its seeds.

    Args:
        shapes: one per objective.
        subtitle: what the numbers are of.
    """
    columns = 2 if max((len(shape.label) for shape in shapes), default=0) > 14 else 3
    figure = new_figure(3.5 + 0.22 * -(-len(shapes) // columns))
    axes = figure.add_subplot()
    for shape in shapes:
        color, marker = LINES[shape.place % len(LINES)], MARKERS[shape.place % len(MARKERS)]
        if len(shape.seeds) > 1:
            for uniformity, alignment in shape.seeds:
                axes.plot(uniformity, alignment, marker, color=color, markersize=3.5, alpha=0.45, zorder=2)
        axes.plot(
            shape.uniformity, shape.alignment, marker, color=color, markersize=8.5, markeredgecolor="white",
            label=short(shape.label, 30), zorder=3, linestyle="none",
        )  # fmt: skip
    axes.margins(0.12)
    axes.set_xlabel("uniformity: left is more even over the sphere")
    axes.set_ylabel("alignment: down is tighter classes")
    figure.legend(loc="outside lower center", ncols=columns, handletextpad=0.2, columnspacing=1.2)
    headline(axes, "Tight classes against an even space", subtitle)
    return figure
