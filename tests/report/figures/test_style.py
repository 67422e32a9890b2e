"""The class colours are measured, not believed: distances in OKLab under four kinds of colour vision."""

from __future__ import annotations

import itertools
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from likewise.report.figures.style import (
    CLASS_COLORS,
    LINES,
    class_colors,
    headline,
    new_figure,
    save_figure,
    styled,
)

# Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(color: str) -> np.ndarray:
    srgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def oklab(rgb: np.ndarray) -> np.ndarray:
    cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    opponents = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return opponents @ np.cbrt(cones @ np.clip(rgb, 0, 1))


def nearest_pair(colors: tuple[str, ...], vision: str) -> float:
    seen = [oklab(np.array(VISION[vision]) @ linear(color)) for color in colors]
    return min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2))


@pytest.mark.parametrize("vision", VISION)
def test_any_two_class_colours_are_apart_for_every_kind_of_colour_vision(vision: str) -> None:
    assert nearest_pair(CLASS_COLORS, vision) > 0.11


def test_the_measure_would_reject_matplotlibs_own_colours() -> None:
    tab10 = tuple(matplotlib.colors.to_hex(color) for color in matplotlib.colormaps["tab10"].colors)
    assert nearest_pair(tab10, "protan") < 0.02


def test_lines_have_a_contrast_of_three_to_one_on_white() -> None:
    luminance = [float(linear(color) @ [0.2126, 0.7152, 0.0722]) for color in LINES]
    assert min(1.05 / (value + 0.05) for value in luminance) >= 3


def test_two_hundred_classes_get_two_hundred_colours_and_neighbours_differ() -> None:
    colors = class_colors(200)
    assert len(set(colors)) == 200
    apart = [float(np.linalg.norm(oklab(linear(a)) - oklab(linear(b)))) for a, b in itertools.pairwise(colors)]
    assert min(apart) > 0.1


def test_a_saved_figure_is_small_white_and_the_same_twice(tmp_path: Path) -> None:
    @styled
    def draw() -> matplotlib.figure.Figure:
        figure = new_figure(3)
        axes = figure.add_subplot()
        axes.plot([1, 2, 3])
        headline(axes, "A title", "and a line")
        return figure

    first, second = save_figure(draw(), tmp_path / "a.png"), save_figure(draw(), tmp_path / "b.png")
    assert first.read_bytes() == second.read_bytes()
    picture = Image.open(first)
    assert picture.mode == "P"
    assert picture.size == (792, 432)
    assert picture.convert("RGB").getpixel((1, 1)) == (255, 255, 255)


def test_the_callers_matplotlib_settings_are_left_alone() -> None:
    before = dict(matplotlib.rcParams)

    @styled
    def draw() -> float:
        return float(matplotlib.rcParams["axes.titlesize"])

    assert draw() == 11.5
    assert dict(matplotlib.rcParams) == before
