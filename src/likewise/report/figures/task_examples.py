"""What a task without labels asks and what the network answers: input, target and prediction of some test images.

Two blocks of rows stand side by side, each with one tile a column, so that ten examples fit on a telephone's screen.
"""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from likewise.report.figures.sheet import MARGIN, SHEET_WIDTH, TITLE_HEIGHT, Pixels, Sheet, tile
from likewise.report.figures.style import MUTED, styled

BLOCKS = 2
SEAM, BETWEEN, HEADING = 4, 30, 30


@styled
def draw_task_examples(columns: Mapping[str, Pixels], subtitle: str = "") -> Figure:
    """Rows of tiles, one row an example, one tile a column.

    Args:
        columns: name of the column → (E, C, H, W) uint8, the same examples in the same order in each.
        subtitle: one quiet line; under 75 characters.
    """
    examples = len(next(iter(columns.values())))
    rows = -(-examples // BLOCKS)
    block = (SHEET_WIDTH - 2 * MARGIN - (BLOCKS - 1) * BETWEEN) // BLOCKS
    size = (block - (len(columns) - 1) * SEAM) // len(columns)
    sheet = Sheet(TITLE_HEIGHT + HEADING + rows * (size + SEAM) + MARGIN, "What it was asked", subtitle)
    for start in range(0, examples, rows):
        left = MARGIN + start // rows * (block + BETWEEN)
        for column, (name, pictures) in enumerate(columns.items()):
            x = left + column * (size + SEAM)
            sheet.write(
                x + size / 2, TITLE_HEIGHT + HEADING - 8, name, ha="center", va="bottom", color=MUTED, fontsize=9
            )
            for row, picture in enumerate(pictures[start : start + rows]):
                sheet.paste(x, TITLE_HEIGHT + HEADING + row * (size + SEAM), tile(picture, size))
    return sheet.figure()
