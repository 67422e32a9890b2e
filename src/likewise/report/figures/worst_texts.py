"""The worst retrievals: captions whose own image comes last, beside the image that came first instead."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from likewise.report.figures.names import printable
from likewise.report.figures.sheet import MARGIN, SHEET_WIDTH, TITLE_HEIGHT, Pixels, Sheet, tile
from likewise.report.figures.style import INK, RIGHT, WRONG, styled

PER_ROW = 2
MOST = 8


def choose_worst_texts(ranks: NDArray[np.int64], images: Sequence[str]) -> NDArray[np.int64]:
    """Positions of up to eight captions of different images, the largest rank first; ranks of 1 are not among them.

    Example:
        >>> choose_worst_texts(np.array([5, 9, 1, 7]), ["a", "a", "b", "c"]).tolist()
        [1, 3]
    """
    chosen: list[int] = []
    seen: set[str] = set()
    for position in np.argsort(-ranks, kind="stable").tolist():
        if ranks[position] > 1 and images[position] not in seen and len(chosen) < MOST:
            chosen.append(position)
            seen.add(images[position])
    return np.array(chosen, np.int64)


@styled
def draw_worst_texts(
    captions: Sequence[str], own: Pixels, first: Pixels, ranks: NDArray[np.int64], total: int
) -> Figure:
    """Cards of two tiles below a caption: its own image with its rank, and the image that came first.

    Args:
        captions: M sentences, the worst first.
        own, first: (M, C, H, W) uint8.
        ranks: (M,) int64 of the own images.
        total: how many images were searched.
    """
    between, seam, words, below = 34, 10, 92, 66
    card = (SHEET_WIDTH - 2 * MARGIN - (PER_ROW - 1) * between) // PER_ROW
    size = (card - seam) // 2
    rows = max(1, -(-len(captions) // PER_ROW))
    sheet = Sheet(
        TITLE_HEIGHT + rows * (words + size + below) + MARGIN,
        "The worst retrievals",
        "left: the caption's own image and its rank · right: the image that came first",
    )
    if not captions:
        sheet.write(MARGIN, TITLE_HEIGHT + 40, "None: every caption finds its own image first.")
    for at, caption in enumerate(captions):
        x = MARGIN + (at % PER_ROW) * (card + between)
        y = TITLE_HEIGHT + (at // PER_ROW) * (words + size + below)
        for number, line in enumerate(textwrap.wrap(printable(f"“{caption}”"), 36)[:3]):
            sheet.write(x, y + 28 * number, line, va="top", color=INK, fontsize=9.5)
        sheet.paste(x, y + words, tile(own[at], size))
        sheet.paste(x + size + seam, y + words, tile(first[at], size))
        sheet.write(x, y + words + size + 5, f"rank {int(ranks[at]):,} of {total:,}", va="top", color=RIGHT, fontsize=9)
        sheet.write(x + size + seam, y + words + size + 5, "came first", va="top", color=WRONG, fontsize=9)
    return sheet.figure()
