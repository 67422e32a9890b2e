"""What a sentence finds: each query with its five nearest images and their similarities.

Where the query is a caption of the test split its own image has a blue frame and ✓, wherever it stands. Such queries are drawn
at random, not picked by success.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.figure import Figure

from likewise.report.figures.names import printable
from likewise.report.figures.sheet import MARGIN, SHEET_WIDTH, TITLE_HEIGHT, Pixels, Sheet, tile
from likewise.report.figures.style import MUTED, RIGHT, RIGHT_SIGN, styled

COLUMNS = 5
WIDE = 74
"""Characters of a query on one line."""


@styled
def draw_text_search(
    queries: Sequence[str],
    images: Sequence[Pixels],
    similarities: Sequence[Sequence[float]],
    own: Sequence[int | None],
    ranks: Sequence[int | None],
) -> Figure:
    """Rows of one query above its nearest images, nearest first.

    Args:
        queries: Q sentences.
        images: Q arrays (k, C, H, W) uint8, k ≤ 5.
        similarities: Q lists of k cosines.
        own: for each query the place of its own image among those shown, or None.
        ranks: for each query the rank of its own image, or None where it has none.
    """
    gap, below = 20, 34
    size = (SHEET_WIDTH - 2 * MARGIN - (COLUMNS - 1) * gap) // COLUMNS
    lines = [textwrap.wrap(printable(f"“{query}”"), WIDE)[:2] for query in queries]
    heights = [31 * len(text) + size + below + 22 for text in lines]
    known = any(rank is not None for rank in ranks)
    subtitle = (
        f"the five nearest images and their cosine · {RIGHT_SIGN} blue: the caption's own image"
        if known
        else "the five nearest images of the test split and their cosine"
    )
    sheet = Sheet(TITLE_HEIGHT + sum(heights) + MARGIN, "What a sentence finds", subtitle)
    y = TITLE_HEIGHT
    for row, text in enumerate(lines):
        for number, line in enumerate(text):
            sheet.write(MARGIN, y + 31 * number, line, va="top", fontsize=10.5)
        if ranks[row] is not None and own[row] is None:
            sheet.write(
                SHEET_WIDTH - MARGIN, y, f"its own: rank {ranks[row]:,}", va="top", ha="right", fontsize=9, color=MUTED
            )
        top = y + 31 * len(text) + 6
        for column, image in enumerate(images[row][:COLUMNS]):
            x = MARGIN + column * (size + gap)
            sheet.paste(x, top, tile(image, size))
            mine = own[row] == column
            if mine:
                sheet.frame(x, top, size, RIGHT)
            shown = f"{similarities[row][column]:.2f}" + (f" {RIGHT_SIGN}" if mine else "")
            color = RIGHT if mine else MUTED
            sheet.write(x + size / 2, top + size + 6, shown, ha="center", va="top", fontsize=9, color=color)
        y += heights[row]
    return sheet.figure()
