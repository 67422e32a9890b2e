"""Images that a list names with their captions: what Flickr's, COCO's and Karpathy's files have in common."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from likewise.data.encoded import FileItems
from likewise.data.source import RawSplit
from likewise.errors import DatasetError

__all__ = ["Listed", "image_folder", "read_json", "read_lines", "read_listed"]

_LOG = logging.getLogger(__name__)


@dataclass
class Listed:
    """Captions by image path, in the order of the list, and how many empty ones were passed over."""

    captions: dict[str, list[str]] = field(default_factory=dict)
    empty: int = 0

    def add(self, path: str, caption: str) -> None:
        """Take one caption of an image; an empty one only makes the image known."""
        given = self.captions.setdefault(path, [])
        caption = caption.strip()
        if caption:
            given.append(caption)
        else:
            self.empty += 1


def read_listed(
    listed: Mapping[str, list[str]], *, root: Path, places: Mapping[str, str], list_name: str, origin: str
) -> RawSplit:
    """One split of a list, with the images still encoded.

    Args:
        listed: image → captions.
        root: folder that image paths start from.
        places: image → path below ``root``, where they differ.
        list_name: of the file with the captions, for messages.
        origin: one line.
    """
    names = list(listed)
    incomplete = {position: "without a caption" for position, name in enumerate(names) if not listed[name]}
    return RawSplit(
        FileItems(root, [places.get(name, name) for name in names], [f"{name} (in {list_name})" for name in names]),
        None,
        (),
        tuple(names),
        origin,
        tuple(tuple(listed[name]) for name in names),
        incomplete=incomplete,
    )


def image_folder(folder: Path, names: Iterable[str], usual: Iterable[str], suffixes: frozenset[str]) -> Path:
    """The folder in which the first of ``names`` lies: ``folder``, one of the ``usual`` ones, or the one with most images.

    Args:
        folder: where the list of captions lies.
        names: paths of images, as the list has them.
        usual: names of folders to look into.
        suffixes: of image files.
    """
    first = next(iter(names), "")
    inner = [entry for entry in sorted(folder.iterdir()) if entry.is_dir() and entry.name[0] not in "._"]
    for place in (folder, *(folder / name for name in usual), *inner):
        if first and (place / first).is_file():
            return place
    counts = [(sum(file.suffix.lower() in suffixes for file in place.iterdir()), place) for place in inner]
    return max(counts, key=lambda found: found[0], default=(0, folder))[1]


def read_lines(file: Path) -> list[str]:
    """Lines of a text file: UTF-8, and where a line is not, Windows-1252, which is counted and said.

    Raises:
        DatasetError: the file cannot be read.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"{file} cannot be read ({error.strerror or error}).", expected="Expected a text."
        ) from error
    lines, other = [], 0
    for line in content.removeprefix(b"\xef\xbb\xbf").splitlines():
        try:
            lines.append(line.decode("utf-8"))
        except UnicodeDecodeError:
            lines.append(line.decode("cp1252", errors="replace"))
            other += 1
    if other:
        _LOG.warning("%d of %d lines of %s are not UTF-8 and were read as Windows-1252", other, len(lines), file.name)
    return lines


def read_json(file: Path) -> Any:
    """The content of a JSON file.

    Raises:
        DatasetError: it cannot be read, or is no JSON.
    """
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{file} cannot be read as JSON ({error}).",
            expected="Expected a whole JSON file.",
            advice="Download or export it again.",
        ) from error
