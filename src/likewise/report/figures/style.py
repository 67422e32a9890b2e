"""The look that all pictures share: size, type, colours, and how one becomes a small file.

A figure is 792 pixels wide (5.5 inches at 144 dpi) with type of 9 points and more: on a telephone's 366 CSS pixels
the smallest letter is still 8 pixels high, on a desktop the picture is shown at its own size. Drawing goes through
Agg and figure objects only, so no global pyplot state is touched and no display is needed. A file is reduced to 255
colours, which makes a scatter plot 60 kB instead of 200 kB and costs about 30 ms.

Colours: the ten class colours keep a distance of at least 0.11 in OKLab between any two of them for normal, protan,
deutan and tritan vision (simulated after Machado et al. 2009), where matplotlib's own ten have 0.007 and Petroff's
ten 0.06; found by annealing, measured again in ``tests/report/figures/test_style.py``. Beyond ten classes nobody can
name a colour any more: hues walk by the golden angle in three lightnesses, the marker changes every ten classes, and
names stand at the clusters.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from functools import wraps
from io import BytesIO
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patheffects import withStroke
from PIL import Image

from likewise.report.figures.names import families

P = ParamSpec("P")
R = TypeVar("R")

DPI = 144
WIDTH = 5.5
"""Inches. Every picture of a report has this width."""

CLASS_COLORS = (
    "#2a14c8",
    "#f27115",
    "#71a8fd",
    "#82025c",
    "#f8be12",
    "#b64639",
    "#21ecb4",
    "#825899",
    "#c08aa6",
    "#cb01ff",
)
LINES = ("#1f6fb8", "#d1520a", "#832db6", "#1b8a6b", "#bd1f01", "#6b4a3f", "#b58300", "#0a7f8c", "#5b5f6b", "#c2388f")
"""Darker relatives for thin lines and text on white (contrast at least 3 : 1 against it)."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (9, 2)))

INK = "#1c2530"
MUTED = "#5c6773"
GRID = "#e3e7eb"
RIGHT = "#0067b1"
WRONG = "#c44500"
RIGHT_SIGN = "✓"
WRONG_SIGN = "✗"
RAW_PIXELS = "#3d4650"
PCA = "#7b8591"

HALO = [withStroke(linewidth=3.2, foreground="white")]
"""White around letters that stand on points or lines."""

RC: Any = {
    "font.family": list(families()),
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": "#aab3bc",
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "legend.handlelength": 2.2,
    "lines.linewidth": 1.9,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Run a drawing function under the house style without touching the caller's matplotlib settings."""

    @wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context(RC):
            return draw(*args, **kwargs)

    return inside


def new_figure(height: float, *, width: float = WIDTH, constrained: bool = True) -> Figure:
    """An empty figure of ``width`` x ``height`` inches with an Agg canvas."""
    layout = ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.09) if constrained else None
    figure = Figure(figsize=(width, height), dpi=DPI, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def class_colors(count: int) -> list[str]:
    """One colour per class, as hex; the first ten are ``CLASS_COLORS``.

    Example:
        >>> class_colors(2)
        ['#2a14c8', '#f27115']
        >>> len(set(class_colors(200)))
        200
    """
    if count <= len(CLASS_COLORS):
        return list(CLASS_COLORS[:count])
    colors = []
    for i in range(count):
        lightness = (0.42, 0.58, 0.70)[i % 3]
        saturation = (0.75, 0.60, 0.85)[(i // 3) % 3]
        red, green, blue = colorsys.hls_to_rgb((i * 0.61803398875) % 1.0, lightness, saturation)
        colors.append(f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}")
    return colors


def headline(axes: Axes, title: str, subtitle: str = "") -> None:
    """Bold title at the left edge and, below it, one quiet line."""
    axes.set_title(title, pad=22 if subtitle else 8)
    if subtitle:
        axes.annotate(
            subtitle,
            (0, 1),
            xytext=(0, 7),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=9.5,
            color=MUTED,
            annotation_clip=False,
        )


def save_figure(figure: Figure, path: Path, *, photos: bool = False) -> Path:
    """Write ``figure`` as a PNG of at most 255 colours; the same figure gives the same bytes.

    Args:
        figure: as drawn by one of this package's functions.
        path: the ``.png`` to write; its folder exists.
        photos: it shows images, whose shades are worth dithering and 150 ms.
    """
    buffer = BytesIO()
    with matplotlib.rc_context(RC):
        figure.savefig(buffer, format="raw", dpi=DPI)
    width, height = figure.canvas.get_width_height()
    picture = Image.frombytes("RGBA", (width, height), buffer.getvalue()).convert("RGB")
    if photos:
        picture = picture.quantize(255, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG)
    else:
        picture = picture.quantize(255, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        palette = picture.getpalette() or []
        # The octree rounds white down to 254, which shows as a grey box on a white page.
        picture.putpalette([255 if shade >= 253 else shade for shade in palette])
    picture.save(path, compress_level=7)
    return path
