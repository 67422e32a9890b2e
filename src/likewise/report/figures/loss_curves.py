"""How training went: the losses, what the validation split said meanwhile, and whether the space stayed open.

Up to three panels over one epoch axis: training and validation loss; 1-NN accuracy on the validation split with the
raw-pixel line; effective rank and spread of the validation embeddings. An epoch that the collapse alarm marked has a
red band through all panels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from likewise.report.figures.baselines import draw_baselines
from likewise.report.figures.style import LINES, WRONG, headline, new_figure, styled

History = Sequence[Mapping[str, Any]]


def series(history: History, name: str) -> tuple[list[float], list[float]]:
    """Epochs and values of ``name`` where it was measured and finite.

    Example:
        >>> series([{"epoch": 1, "val_loss": 0.5}, {"epoch": 2}, {"epoch": 3, "val_loss": float("nan")}], "val_loss")
        ([1.0], [0.5])
    """
    rows = [(float(row["epoch"]), row[name]) for row in history if row.get(name) is not None and "epoch" in row]
    kept = [(epoch, float(value)) for epoch, value in rows if math.isfinite(value)]
    return [epoch for epoch, _ in kept], [value for _, value in kept]


@styled
def draw_loss_curves(history: History, baselines: Mapping[str, float]) -> Figure:
    """The panels that the history has numbers for.

    Args:
        history: one mapping per epoch, as in ``metrics.jsonl``.
        baselines: name → accuracy as a share, for the accuracy panel.
    """
    accuracy, rank, spread = (series(history, f"val_{name}") for name in ("knn1_accuracy", "effective_rank", "spread"))
    panels = ["loss"] + ["accuracy"] * bool(accuracy[0]) + ["geometry"] * bool(rank[0] or spread[0])
    figure = new_figure(0.35 + 2.5 * len(panels))
    grid = figure.subplots(len(panels), 1, squeeze=False)
    width = max((float(row["epoch"]) for row in history if "epoch" in row), default=1.0)
    panel_axes = dict(zip(panels, grid[:, 0], strict=True))
    _losses(panel_axes["loss"], history)
    if "accuracy" in panel_axes:
        _accuracy(panel_axes["accuracy"], accuracy, series(history, "val_linear_probe_accuracy"), baselines)
    if "geometry" in panel_axes:
        _geometry(panel_axes["geometry"], rank, spread)
    collapsed = [float(row["epoch"]) for row in history if row.get("collapsed") and "epoch" in row]
    for axes in panel_axes.values():
        for epoch in collapsed:
            axes.axvspan(epoch - 0.5, epoch + 0.5, color=WRONG, alpha=0.16, linewidth=0, zorder=0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))
        axes.set_xlim(1 - 0.045 * max(width - 1, 1), width + 0.045 * max(width - 1, 1))
        axes.set_xlabel("epoch")
    if collapsed:
        panel_axes["loss"].annotate(
            f"collapsed: epoch {collapsed[0]:.0f}" + (f"–{collapsed[-1]:.0f}" if len(collapsed) > 1 else ""),
            (1.0, 1.0), xytext=(-6, -14), ha="right", xycoords="axes fraction", textcoords="offset points",
            color=WRONG, fontsize=9.5, fontweight="bold", zorder=5,
        )  # fmt: skip
    return figure


def _line(axes: Axes, xs: list[float], ys: list[float], **style: Any) -> None:
    few = len(xs) <= 30
    axes.plot(xs, ys, marker="o" if few else None, markersize=4.5, **style)


def _losses(axes: Axes, history: History) -> None:
    train, validation = series(history, "train_loss"), series(history, "val_loss")
    if train[0]:
        _line(axes, *train, color=LINES[0], label="training")
    if validation[0]:
        _line(axes, *validation, color=LINES[1], linestyle=(0, (5, 1.5)), label="validation")
    axes.set_ylabel("loss")
    values = train[1] + validation[1]
    if values and min(values) > 0 and max(values) / min(values) > 30:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_ylabel("loss (log scale)")
    headline(axes, "Loss" if values else "Loss: not recorded")
    if values:
        _legend_above(axes)


def _accuracy(
    axes: Axes,
    accuracy: tuple[list[float], list[float]],
    probe: tuple[list[float], list[float]],
    baselines: Mapping[str, float],
) -> None:
    epochs, values = accuracy
    _line(axes, epochs, [100 * value for value in values], color=LINES[0], label="1-NN")
    if probe[0]:
        _line(axes, probe[0], [100 * value for value in probe[1]], color=LINES[1], label="linear probe")
    draw_baselines(axes, baselines)
    axes.set_ylabel("accuracy (%)")
    axes.margins(y=0.12)
    headline(axes, "Accuracy, validation" if probe[0] else "1-NN accuracy, validation")
    _legend_above(axes)


def _geometry(axes: Axes, rank: tuple[list[float], list[float]], spread: tuple[list[float], list[float]]) -> None:
    headline(axes, "Geometry, validation")
    handles: list[Any] = []
    if rank[0]:
        _line(axes, *rank, color=LINES[3], label="effective rank (dimensions)")
        axes.set_ylabel("effective rank", color=LINES[3])
        axes.set_ylim(0, max(rank[1]) * 1.15 + 1e-9)
        handles += axes.get_lines()
    if spread[0]:
        other = axes
        if rank[0]:
            other = axes.twinx()
            other.grid(False)
            other.spines["right"].set_visible(True)
        _line(other, *spread, color=LINES[2], linestyle=(0, (5, 1.5)), label="spread (0 collapsed, 1 open)")
        other.set_ylabel("spread", color=LINES[2])
        other.set_ylim(0, max(1.0, *spread[1]) * 1.08)
        handles += other.get_lines()[-1:]
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=2, columnspacing=1.4, borderaxespad=0.1
    )
    axes.set_title(axes.get_title(loc="left"), pad=25)


def _legend_above(axes: Axes) -> None:
    """Beside the title where both fit, else in a line of its own below it."""
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) <= 2:
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.1, columnspacing=1.4)
        return
    columns = 3 if len(labels) == 3 else 2
    axes.set_title(axes.get_title(loc="left"), pad=25 + 17 * (-(-len(labels) // columns) - 1))
    axes.legend(
        handles, labels, loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=columns, columnspacing=1.2,
        borderaxespad=0.1, handlelength=1.9, handletextpad=0.5, fontsize=9,
    )  # fmt: skip
