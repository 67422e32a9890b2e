"""One HTML file that needs nothing else: pictures inside it, no scripts, no network, under 3 MB.

Every value passes through Jinja's escaping, and a content-security policy in the page forbids scripts and any
loading, so a class called ``<script>`` is a name and nothing more. Pictures are inlined as they lie in ``figures/``;
when the page would grow past its limit the largest are made smaller, again and again, until it fits (the files keep
their size).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from likewise.errors import RunError
from likewise.report.picture import Picture
from likewise.report.wording import unbroken
from likewise.training.files import write_text, writing_to

LIMIT = 3_000_000
"""Bytes that a report may have."""


@dataclass(frozen=True)
class Inlined:
    """A picture ready for the page: its words, its data URI and its size in pixels."""

    name: str
    title: str
    caption: str
    alt: str
    source: str
    width: int
    height: int


def render(template: str, pictures: Sequence[Picture], folder: Path, path: Path, **values: Any) -> Path:
    """Fill a template and write the page.

    Args:
        template: file name in ``report/templates``.
        pictures: those that have a file, in the order of the page.
        folder: of the run or comparison.
        path: the HTML file to write, replaced in one step.
        **values: what the template asks for.

    Raises:
        RunError: the words alone, without any picture, are larger than the limit; or the page cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("likewise.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["unbroken"] = unbroken
    page = environment.get_template(template)
    words = len(page.render(pictures=[], **values).encode())
    words += sum(len((picture.title + picture.caption + picture.alt).encode()) * 2 + 600 for picture in pictures)
    if words > LIMIT:
        raise RunError(
            f"The text of the report of {folder} has {words:,} bytes.",
            expected=f"A report has at most {LIMIT:,} bytes.",
            advice="Shorten the description or the class names in its files.",
        )
    inlined = [_inline(picture, png, size) for picture, png, size in _fitting(pictures, folder, LIMIT - words)]
    text = page.render(pictures=inlined, **values)
    with writing_to(folder):
        write_text(path, text)
    return path


def _inline(picture: Picture, png: bytes, size: tuple[int, int]) -> Inlined:
    source = "data:image/png;base64," + base64.b64encode(png).decode()
    return Inlined(picture.name, picture.title, picture.caption, picture.alt, source, *size)


def _fitting(pictures: Sequence[Picture], folder: Path, room: int) -> list[tuple[Picture, bytes, tuple[int, int]]]:
    """Each picture's PNG, the largest reduced until all of them fit into ``room`` bytes of base64."""
    pngs = [picture.file(folder).read_bytes() for picture in pictures]
    sizes = [Image.open(BytesIO(png)).size for png in pngs]
    while sum(4 * (len(png) + 2) // 3 for png in pngs) > room:
        largest = max(range(len(pngs)), key=lambda i: len(pngs[i]))
        if len(pngs[largest]) < 2000:
            return []
        pngs[largest] = _smaller(pngs[largest])
    return list(zip(pictures, pngs, sizes, strict=True))


def _smaller(png: bytes) -> bytes:
    picture = Image.open(BytesIO(png)).convert("RGB")
    size = (max(1, round(picture.width * 0.8)), max(1, round(picture.height * 0.8)))
    reduced = picture.resize(size, Image.Resampling.LANCZOS).quantize(128, dither=Image.Dither.NONE)
    buffer = BytesIO()
    reduced.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
