"""STL-10 in its binary format: 5,000 training, 8,000 test and 100,000 unlabelled photographs of 96 × 96 pixels.

``train_X.bin`` holds N × 3 × 96 × 96 bytes, each plane column by column (so the last two axes are swapped back by a
strided view, at no cost), ``train_y.bin`` one byte 1..10 per image. All files are memory-mapped: the unlabelled 2.8 GB
can be used without being loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from likewise.data.archive import unpacked
from likewise.data.pixels import ArrayPixels
from likewise.data.source import RawSplit, SourceOptions, in_order, missing_split, row_ids
from likewise.errors import DatasetError

__all__ = ["STL10_CLASSES", "Stl10Source", "find_stl10"]

STL10_CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
SIDE = 96
PIXELS = 3 * SIDE * SIDE


def find_stl10(folder: Path) -> Path | None:
    """``folder``, or its sub-folder ``stl10_binary``, if STL-10's files are there."""
    for place in (folder, folder / "stl10_binary"):
        if any((place / f"{split}_X.bin").is_file() for split in ("train", "test", "unlabeled")):
            return place
    return None


@dataclass(frozen=True)
class Stl10Source:
    """STL-10.

    Args:
        path: the archive, or a folder with its files.
        options: how to read.
        origin: one line; default the path.
    """

    path: Path
    options: SourceOptions
    origin: str = ""
    name: str = "stl10"

    @cached_property
    def _folder(self) -> Path:
        folder = find_stl10(unpacked(self.path) if self.path.is_file() else self.path)
        if folder is None:
            raise DatasetError(
                f"{self.path} holds no STL-10 files.", expected="Expected train_X.bin, train_y.bin, test_X.bin …"
            )
        return folder

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits with a file of images."""
        return in_order(
            [split for split in ("train", "test", "unlabeled") if (self._folder / f"{split}_X.bin").is_file()]
        )

    def read(self, split: str) -> RawSplit:
        """One split."""
        if split not in self.splits:
            raise missing_split(self, split)
        file = self._folder / f"{split}_X.bin"
        size = file.stat().st_size
        if size == 0 or size % PIXELS:
            raise DatasetError(
                f"{file} has {size:,} bytes.",
                expected=f"Expected whole images of {PIXELS:,} bytes.",
                advice="The file is cut off: fetch the archive again.",
            )
        images = np.memmap(file, np.uint8, "r").reshape(-1, 3, SIDE, SIDE).transpose(0, 1, 3, 2)
        labels = None if split == "unlabeled" else self._labels(split, len(images))
        names = self._class_names() if labels is not None else ()
        return RawSplit(
            ArrayPixels([images]),
            labels,
            names,
            row_ids(split, len(images)),
            self.origin or f"STL-10 files in {self._folder}",
        )

    def _labels(self, split: str, images: int) -> NDArray[np.int64]:
        file = self._folder / f"{split}_y.bin"
        if not file.is_file():
            raise DatasetError(
                f"{file} is missing.", expected="Expected one byte per image.", advice="Fetch the archive again."
            )
        labels = np.fromfile(file, np.uint8).astype(np.int64) - 1
        if len(labels) != images:
            raise DatasetError(
                f"{file} holds {len(labels):,} labels for {images:,} images.",
                expected="Expected one per image.",
                advice="One of the two files is cut off: fetch the archive again.",
            )
        wrong = (labels < 0) | (labels >= len(STL10_CLASSES))
        if wrong.any():
            position = int(wrong.argmax())
            raise DatasetError(
                f"{file} has label {labels[position] + 1} at position {position:,}.", expected="Expected 1 to 10."
            )
        return labels

    def _class_names(self) -> tuple[str, ...]:
        file = self._folder / "class_names.txt"
        names = tuple(file.read_text("utf-8").split()) if file.is_file() else ()
        return names if len(names) == len(STL10_CLASSES) else STL10_CLASSES
