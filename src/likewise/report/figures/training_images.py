"""What the model was shown: a sheet of training images under their class names.

Up to ten classes: one row each, eight images drawn at random. More classes: one image of each, at most 48, evenly
spread over the list. No labels: 48 images at random. The draw depends on the seed alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from likewise.report.figures.names import class_name, wrapped
from likewise.report.figures.sheet import MARGIN, SHEET_WIDTH, TITLE_HEIGHT, Pixels, Sheet, tile
from likewise.report.figures.style import styled

PER_ROW = 8
MOST_TILES = 48
ROWS_OF_CLASSES = 10


def choose_training_images(labels: NDArray[np.int64] | None, count: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Positions of the images for the sheet, in reading order.

    Args:
        labels: (count,) int64, or None for images without labels.
        count: how many training images there are.
        seed: of the draw.

    Returns:
        (M,) int64 with M ≤ 80.

    Example:
        >>> labels = np.array([1, 0, 1, 0])
        >>> labels[choose_training_images(labels, 4)].tolist()
        [0, 0, 1, 1]
    """
    generator = np.random.default_rng(seed)
    if labels is None:
        return generator.permutation(count)[:MOST_TILES].astype(np.int64)
    present = np.unique(labels)
    if len(present) <= ROWS_OF_CLASSES:
        per_class, shown = PER_ROW, present
    else:
        per_class = 1
        shown = present[np.unique(np.linspace(0, len(present) - 1, min(MOST_TILES, len(present))).round().astype(int))]
    chosen = []
    for label in shown:
        members = np.flatnonzero(labels == label)
        chosen.append(generator.permutation(members)[:per_class])
    return np.concatenate(chosen).astype(np.int64)


@styled
def draw_training_images(images: Pixels, labels: NDArray[np.int64] | None, class_names: Sequence[str]) -> Figure:
    """The sheet.

    Args:
        images: (M, C, H, W) uint8, chosen by ``choose_training_images``.
        labels: (M,) int64 in the same order, or None.
        class_names: of all classes; missing names become ``class 7``.
    """
    height, width = images.shape[2:]
    channels = {1: "grey", 3: "colour"}.get(images.shape[1], f"{images.shape[1]} channels")
    size_words = f"{width} × {height} pixels, {channels}"
    if labels is None:
        return _grid(images, None, f"no labels · {size_words}")
    present = list(dict.fromkeys(int(label) for label in labels))
    if len(present) <= ROWS_OF_CLASSES:
        return _rows(images, labels, class_names, present, f"a row per class, drawn at random · {size_words}")
    names = [class_name(class_names, int(label)) for label in labels]
    total = max(len(class_names), len(present))
    amount = f"one image of each of {total}" if total == len(present) else f"{len(present)} of {total}"
    return _grid(images, names, f"{amount} classes · {size_words}")


def _rows(
    images: Pixels, labels: NDArray[np.int64], class_names: Sequence[str], present: list[int], words: str
) -> Figure:
    name_width, gap = 150, 5
    size = (SHEET_WIDTH - name_width - 2 * MARGIN - (PER_ROW - 1) * gap) // PER_ROW
    sheet = Sheet(TITLE_HEIGHT + len(present) * (size + gap) + MARGIN, "Training images", words)
    for row, label in enumerate(present):
        y = TITLE_HEIGHT + row * (size + gap)
        sheet.write(
            MARGIN + name_width - 14,
            y + size / 2,
            wrapped(class_name(class_names, label), 11, 3),
            ha="right",
            va="center",
        )
        for column, at in enumerate(np.flatnonzero(labels == label)[:PER_ROW]):
            sheet.paste(MARGIN + name_width + column * (size + gap), y, tile(images[at], size))
    return sheet.figure()


def _grid(images: Pixels, names: list[str] | None, words: str) -> Figure:
    gap, caption = 14 if names else 6, 44 if names else 0
    per_row = 6 if names else PER_ROW
    size = (SHEET_WIDTH - 2 * MARGIN - (per_row - 1) * gap) // per_row
    rows = -(-len(images) // per_row)
    sheet = Sheet(TITLE_HEIGHT + rows * (size + gap + caption) + MARGIN, "Training images", words)
    for at, image in enumerate(images):
        x = MARGIN + (at % per_row) * (size + gap)
        y = TITLE_HEIGHT + (at // per_row) * (size + gap + caption)
        sheet.paste(x, y, tile(image, size))
        if names:
            sheet.write(x + size / 2, y + size + 4, wrapped(names[at], 11), ha="center", va="top", fontsize=8.5)
    return sheet.figure()
