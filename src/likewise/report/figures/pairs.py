"""What a pair-based objective is told: pairs of training images, each marked *same* or *different*.

Half of the pairs are of one class, half of two, as in training (probability ½ each).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from likewise.report.figures.names import class_name, short
from likewise.report.figures.sheet import MARGIN, SHEET_WIDTH, TITLE_HEIGHT, Pixels, Sheet, tile
from likewise.report.figures.style import INK, MUTED, styled

PER_ROW = 3
PER_KIND = 6


def choose_pairs(labels: NDArray[np.int64], *, seed: int = 0) -> NDArray[np.int64]:
    """Positions of six pairs of one class and six of two classes; fewer where the classes do not allow them.

    Args:
        labels: (N,) int64 of the training images.
        seed: of the draw.

    Returns:
        (M, 2) int64, the pairs of one class first.

    Example:
        >>> labels = np.array([0, 0, 0, 1, 1, 1])
        >>> pairs = choose_pairs(labels)
        >>> (labels[pairs[:, 0]] == labels[pairs[:, 1]]).tolist()
        [True, True, True, True, True, True, False, False, False, False, False, False]
    """
    generator = np.random.default_rng(seed)
    classes, counts = np.unique(labels, return_counts=True)
    pairs: list[tuple[int, int]] = []
    for label in _cycle(generator.permutation(classes[counts >= 2])):
        first, second = generator.choice(np.flatnonzero(labels == label), 2, replace=False)
        pairs.append((int(first), int(second)))
    for label in _cycle(generator.permutation(classes)) if len(classes) >= 2 else ():
        first = generator.choice(np.flatnonzero(labels == label))
        second = generator.choice(np.flatnonzero(labels != label))
        pairs.append((int(first), int(second)))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _cycle(classes: NDArray[np.int64]) -> list[int]:
    return [int(classes[i % len(classes)]) for i in range(PER_KIND)] if len(classes) else []


@styled
def draw_pairs(first: Pixels, second: Pixels, labels: NDArray[np.int64], class_names: Sequence[str]) -> Figure:
    """The sheet of pairs.

    Args:
        first, second: (M, C, H, W) uint8; row i of both is one pair.
        labels: (M, 2) int64.
        class_names: of all classes.
    """
    between, seam, caption = 34, 4, 74
    card = (SHEET_WIDTH - 2 * MARGIN - (PER_ROW - 1) * between) // PER_ROW
    size = (card - seam) // 2
    rows = -(-len(first) // PER_ROW)
    sheet = Sheet(
        TITLE_HEIGHT + rows * (size + caption) + MARGIN,
        "Pairs and their labels",
        "the objective sees only the two images and this one word",
    )
    for at in range(len(first)):
        x = MARGIN + (at % PER_ROW) * (card + between)
        y = TITLE_HEIGHT + (at // PER_ROW) * (size + caption)
        sheet.paste(x, y, tile(first[at], size))
        sheet.paste(x + size + seam, y, tile(second[at], size))
        a, b = (class_name(class_names, int(label)) for label in labels[at])
        same = labels[at, 0] == labels[at, 1]
        sheet.write(x, y + size + 4, "= same" if same else "≠ different", va="top", fontweight="bold", color=INK)
        names = short(a, 21) if same else f"{short(a, 10)} · {short(b, 10)}"
        sheet.write(x, y + size + 30, names, va="top", fontsize=8.5, color=MUTED)
    return sheet.figure()
