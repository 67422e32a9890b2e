"""Little pictures of one colour in a table with two captions each, for runs with captions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from likewise.data.sources.shapes import COLORS

WORDS = [*COLORS, "a", "thing", "it", "is", "number", ","]


def write_captioned(folder: Path, count: int = 120) -> Path:
    """A table ``mine.csv`` beside ``count`` pictures of four colours; its path."""
    rows = ["image,caption"]
    draws = np.random.default_rng(0)
    for number in range(count):
        color = list(COLORS)[number % 4]
        pixels = np.array(COLORS[color]) + draws.integers(-30, 30, (12, 12, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
        rows += [f"{number}.png,a {color} thing", f'{number}.png,"it is {color}, number {number}"']
    (folder / "mine.csv").write_text("\n".join(rows) + "\n")
    return folder / "mine.csv"
