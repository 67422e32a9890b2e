"""One picture of a report: the file, and the words that go with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from likewise.report.figures.style import save_figure
from likewise.training.files import writing_to


@dataclass(frozen=True)
class Picture:
    """A picture and its words.

    Attributes:
        name: of the file, without ``.png``.
        title: heading on the page.
        caption: how to read it, in plain sentences.
        alt: what it shows, for those who cannot see it.
        draw: makes it, or None where it cannot be made now (an older file is kept then).
        photos: it shows images of the data.
    """

    name: str
    title: str
    caption: str
    alt: str
    draw: Callable[[], Figure] | None
    photos: bool = False

    def file(self, folder: Path) -> Path:
        """Where its file lies in a run folder."""
        return folder / "figures" / f"{self.name}.png"


def save_pictures(folder: Path, pictures: list[Picture]) -> list[Picture]:
    """Draw what can be drawn and return the pictures that have a file, in the same order.

    Raises:
        RunError: the folder cannot be written.
    """
    with writing_to(folder):
        (folder / "figures").mkdir(exist_ok=True)
    there = []
    for picture in pictures:
        path = picture.file(folder)
        if picture.draw is not None:
            figure = picture.draw()
            beside = path.with_suffix(".tmp.png")
            with writing_to(folder):
                try:
                    save_figure(figure, beside, photos=picture.photos)
                    beside.replace(path)
                finally:
                    beside.unlink(missing_ok=True)
        if path.is_file():
            there.append(picture)
    return there
