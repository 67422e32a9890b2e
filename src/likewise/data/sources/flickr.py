"""Flickr8k and Flickr30k as they are handed out: images in a folder, and one text file with five captions for each.

- the authors' ``Flickr8k.token.txt`` / ``results_20130124.token``: ``photo.jpg#0<TAB>caption``, with the split lists
  ``Flickr_8k.trainImages.txt``, ``…devImages.txt``, ``…testImages.txt`` (also ``flickr30k_train.txt``, ``…val``, ``…test``);
- ``captions.txt`` of the copies on the web: ``image,caption`` with a header line;
- ``results.csv`` of those of Flickr30k: ``image_name| comment_number| comment``.

Without split lists all images are the train split, and a test split is drawn as from any source.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from likewise.data.source import RawSplit, SourceOptions, canonical_split, in_order, missing_split
from likewise.data.sources.folder import IMAGE_SUFFIXES
from likewise.data.sources.listed import Listed, image_folder, read_lines, read_listed
from likewise.errors import DatasetError

__all__ = ["FlickrSource", "find_flickr"]

_FOLDERS = ("Images", "images", "Flicker8k_Dataset", "Flickr8k_Dataset", "flickr30k-images", "flickr30k_images")
_SPLIT_LIST = re.compile(r"(?:^|[._-])(train|trn|dev|val|test)(?:images)?$", re.IGNORECASE)


def find_flickr(path: Path) -> Path | None:
    """The file with the captions in a folder, or that file itself; None where there is none."""
    if path.is_file():
        return path if _is_caption_file(path) else None
    for file in sorted(path.iterdir()):
        if file.is_file() and _is_caption_file(file):
            return file
    return None


def _is_caption_file(file: Path) -> bool:
    if (
        file.name.lower() not in ("captions.txt", "results.csv")
        and file.suffix != ".token"
        and (not file.name.lower().endswith(".token.txt"))
    ):
        return False
    try:
        with file.open("rb") as content:
            head = content.read(4096).decode("utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return bool(head) and _separator(head) is not None


def _separator(lines: list[str]) -> str | None:
    """How a line is divided: a tab after ``name#0``, ``|``, or a comma; None for another file of that name."""
    first = lines[0]
    if "\t" in first and "#" in first.split("\t")[0]:
        return "\t"
    if "|" in first and "image" in first.lower():
        return "|"
    return "," if re.match(r"\s*image\w*\s*,\s*caption", first, re.IGNORECASE) else None


@dataclass(frozen=True)
class FlickrSource:
    """A folder of Flickr8k's or Flickr30k's form.

    Args:
        path: the folder, or the file with the captions in it.
        options: how to read.
    """

    path: Path
    options: SourceOptions

    @property
    def name(self) -> str:
        """The folder's name."""
        return self._folder.resolve().name

    @property
    def _folder(self) -> Path:
        return self.path if self.path.is_dir() else self.path.parent

    @cached_property
    def _file(self) -> Path:
        found = find_flickr(self.path)
        if found is None:
            raise DatasetError(f"{self.path} has no file of captions.", expected="Expected captions.txt or *.token.")
        return found

    @cached_property
    def _captions(self) -> Listed:
        lines = read_lines(self._file)
        separator = _separator(lines)
        listed = Listed()
        if separator == "\t":
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    listed.add(*self._pair(line, "\t", number, strip_number=True))
        elif separator == "|":
            for number, line in enumerate(lines[1:], start=2):
                if line.strip():
                    name, rest = self._pair(line, "|", number)
                    listed.add(name.strip(), rest.partition("|")[2])
        else:
            for row in csv.reader(lines[1:]):
                if row:
                    listed.add(row[0].strip(), ",".join(row[1:]))
        return listed

    def _pair(self, line: str, separator: str, number: int, *, strip_number: bool = False) -> tuple[str, str]:
        name, found, caption = line.partition(separator)
        if not found:
            raise DatasetError(
                f"{self._file.name} line {number} has no {'tab' if separator == chr(9) else separator!r}.",
                expected="Expected an image's name and a caption on each line.",
                advice="Correct the line, or download the file again.",
            )
        return name.rpartition("#")[0] if strip_number and "#" in name else name, caption

    @cached_property
    def _lists(self) -> dict[str, list[str]]:
        """Split → names of its images, from the split lists; {} without any."""
        found: dict[str, list[str]] = {}
        for file in sorted(self._folder.glob("*.txt")):
            split = _SPLIT_LIST.search(file.stem)
            if split and file != self._file and "token" not in file.name.lower():
                names = [line.strip() for line in read_lines(file) if line.strip()]
                known = self._captions.captions
                found[canonical_split(split[1])] = [
                    name if name in known or f"{name}.jpg" not in known else f"{name}.jpg" for name in names
                ]
        return found

    @property
    def splits(self) -> tuple[str, ...]:
        """Those of the split lists, else "train"."""
        return in_order(list(self._lists)) or ("train",)

    def read(self, split: str) -> RawSplit:
        """One split, with the images still encoded; an image of the list that has no caption is named."""
        if split not in self.splits:
            raise missing_split(self, split)
        known = self._captions.captions
        listed = {name: known.get(name, []) for name in self._lists.get(split, list(known))}
        origin = f"folder {self._folder}, captions of {self._file.name}"
        if self._captions.empty:
            origin += f" ({self._captions.empty:,} empty captions passed over)"
        root = image_folder(self._folder, listed, _FOLDERS, IMAGE_SUFFIXES)
        return read_listed(listed, root=root, places={}, list_name=self._file.name, origin=origin)
