"""Cards of one or two images with two lines below: suspected labels, pairs that may be copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from likewise.report.figures.names import short
from likewise.report.figures.sheet import MARGIN, SHEET_WIDTH, TITLE_HEIGHT, Pixels, Sheet, tile
from likewise.report.figures.style import INK, MUTED, styled

BETWEEN, SEAM, CAPTION = 28, 4, 74


class Card(NamedTuple):
    """One card: its images (one or two, (C, H, W) uint8 each) and two lines."""

    images: Sequence[Pixels]
    line: str
    quiet: str = ""


@styled
def draw_image_cards(
    cards: Sequence[Card], *, title: str, subtitle: str = "", none: str = "Nothing was found."
) -> Figure:
    """The sheet.

    Args:
        cards: all with as many images; at least one card is not needed.
        title: bold, above.
        subtitle: one quiet line; under 75 characters.
        none: said where there is no card.
    """
    wide = max((len(card.images) for card in cards), default=1)
    per_row = 6 if wide == 1 else 4
    card_width = (SHEET_WIDTH - 2 * MARGIN - (per_row - 1) * BETWEEN) // per_row
    size = (card_width - (wide - 1) * SEAM) // wide
    rows = max(1, -(-len(cards) // per_row))
    height = TITLE_HEIGHT + (rows * (size + CAPTION) if cards else 40) + MARGIN
    sheet = Sheet(height, title, subtitle)
    if not cards:
        sheet.write(MARGIN, TITLE_HEIGHT, none, va="top")
    limit = 10 if wide == 1 else 15
    for at, card in enumerate(cards):
        x = MARGIN + at % per_row * (card_width + BETWEEN)
        y = TITLE_HEIGHT + at // per_row * (size + CAPTION)
        for place, image in enumerate(card.images):
            sheet.paste(x + place * (size + SEAM), y, tile(image, size))
        sheet.write(x, y + size + 4, short(card.line, limit), va="top", color=INK, fontweight="bold", fontsize=9)
        sheet.write(x, y + size + 30, short(card.quiet, limit + 3), va="top", color=MUTED, fontsize=8.5)
    return sheet.figure()
