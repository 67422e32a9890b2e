"""Rows of images with a word before each row, such as the images that activate each component most."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from likewise.report.figures.names import short
from likewise.report.figures.sheet import MARGIN, SHEET_WIDTH, TITLE_HEIGHT, Pixels, Sheet, tile
from likewise.report.figures.style import INK, styled

SEAM, BETWEEN, WORDS = 4, 16, 150


@styled
def draw_image_rows(rows: Sequence[tuple[str, Pixels]], *, title: str, subtitle: str = "") -> Figure:
    """The sheet.

    Args:
        rows: a short name and the row's images (M, C, H, W) uint8; the longest row sets the size of a tile.
        title: bold, above.
        subtitle: one quiet line; under 75 characters.
    """
    columns = max((len(images) for _, images in rows), default=1)
    size = (SHEET_WIDTH - 2 * MARGIN - WORDS - (columns - 1) * SEAM) // columns
    sheet = Sheet(TITLE_HEIGHT + len(rows) * (size + BETWEEN) + MARGIN, title, subtitle)
    for row, (name, images) in enumerate(rows):
        y = TITLE_HEIGHT + row * (size + BETWEEN)
        sheet.write(MARGIN, y + size / 2, short(name, 14), va="center", color=INK)
        for column, image in enumerate(images):
            sheet.paste(MARGIN + WORDS + column * (size + SEAM), y, tile(image, size))
    return sheet.figure()
