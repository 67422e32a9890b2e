"""The lines that keep a picture honest: what one gets without any training.

Raw pixels are dark and dashed, PCA is grey and dotted, in every picture that shows an accuracy; both are named with
their value in the legend, so they are found in print and by a reader who sees no colours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from likewise.report.figures.style import PCA, RAW_PIXELS


def line_style(name: str) -> dict[str, Any]:
    """Colour and dash of a baseline by its name (``raw pixels …`` or anything else).

    Example:
        >>> line_style("raw pixels")["linestyle"] == line_style("PCA to 10")["linestyle"]
        False
    """
    if name.lower().startswith("raw"):
        return {"color": RAW_PIXELS, "linestyle": (0, (6, 2.5)), "linewidth": 1.6, "zorder": 1.9}
    return {"color": PCA, "linestyle": (0, (1.4, 1.6)), "linewidth": 1.8, "zorder": 1.8}


def draw_baselines(axes: Axes, baselines: Mapping[str, float], *, factor: float = 100.0) -> list[Line2D]:
    """Horizontal lines at the values of ``baselines``; returns them as legend handles.

    Args:
        axes: with accuracy in per cent on its y axis.
        baselines: name → accuracy as a share (0.849).
        factor: from the value to the axis' unit.
    """
    return [
        axes.axhline(value * factor, label=f"{name} {value * 100:.1f} %", **line_style(name))
        for name, value in baselines.items()
    ]
