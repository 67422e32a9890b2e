"""A folder with one sub-folder per class, as people keep their own pictures.

``photos/cat/1.jpg`` is of class "cat". With ``photos/train/cat/…`` and ``photos/test/cat/…`` the first level is the
split. Classes are the sub-folders' names, sorted, over all splits; images may lie deeper. A folder with images and no
sub-folders is a set without labels. Files that are no images by their name, and hidden ones, are passed over; an image
that lies beside the class folders has no label, and that is said.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from likewise.data.encoded import FileItems
from likewise.data.source import UNLABELED, RawSplit, SourceOptions, canonical_split, in_order, missing_split
from likewise.errors import DatasetError

__all__ = ["IMAGE_SUFFIXES", "FolderSource", "has_images"]

IMAGE_SUFFIXES = frozenset(
    (
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".webp",
        ".gif",
        ".bmp",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".pbm",
        ".avif",
        ".jp2",
    )
)
_USUAL = ("train", "validation", "test", "unlabeled")


def _folders(folder: Path) -> list[Path]:
    return sorted(
        (entry for entry in folder.iterdir() if entry.is_dir() and entry.name[0] not in "._"),
        key=lambda entry: entry.name,
    )


def _images_below(folder: Path, root: Path) -> list[str]:
    """Paths relative to ``root`` of all images in ``folder`` and deeper, sorted."""
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name[0] != "."]
        relative = Path(parent).relative_to(root)
        found += [
            (relative / name).as_posix()
            for name in files
            if name[0] != "." and Path(name).suffix.lower() in IMAGE_SUFFIXES
        ]
    return sorted(found)


def has_images(folder: Path) -> bool:
    """Whether there is an image in ``folder`` or deeper; stops at the first."""
    for _, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name[0] != "."]
        if any(name[0] != "." and Path(name).suffix.lower() in IMAGE_SUFFIXES for name in files):
            return True
    return False


@dataclass(frozen=True)
class FolderSource:
    """A folder of images.

    Args:
        path: the folder.
        options: how to read.
    """

    path: Path
    options: SourceOptions

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @cached_property
    def _roots(self) -> dict[str, Path]:
        """Split → the folder that holds its class folders."""
        named = {canonical_split(folder.name): folder for folder in _folders(self.path)}
        return {name: named[name] for name in _USUAL if name in named} if "train" in named else {"train": self.path}

    @cached_property
    def _files(self) -> dict[str, dict[str, list[str]]]:
        """Split → class → images, as paths relative to ``path``; "" for images beside the class folders."""
        files: dict[str, dict[str, list[str]]] = {}
        for split, root in self._roots.items():
            beside = [
                entry.relative_to(self.path).as_posix()
                for entry in root.iterdir()
                if entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file() and entry.name[0] != "."
            ]
            of_class = {folder.name: _images_below(folder, self.path) for folder in _folders(root)}
            files[split] = {name: images for name, images in ({"": sorted(beside)} | of_class).items() if images}
        return files

    @property
    def splits(self) -> tuple[str, ...]:
        """ "train", or the first level's names."""
        return in_order(list(self._roots))

    def read(self, split: str) -> RawSplit:
        """One split, with the images still encoded."""
        if split not in self.splits:
            raise missing_split(self, split)
        names = sorted({name for of_class in self._files.values() for name in of_class if name})
        of_class = self._files[split]
        paths = [path for images in of_class.values() for path in images]
        if not paths:
            raise DatasetError(
                f"{self._roots[split]} holds no images.",
                expected=f"Expected files like {', '.join(sorted(IMAGE_SUFFIXES))}, in one sub-folder per class.",
            )
        numbers = {name: number for number, name in enumerate(names)} | {"": UNLABELED}
        labels = np.array([numbers[name] for name, images in of_class.items() for _ in images], np.int64)
        shown = [f"{self.name}/{path}" for path in paths]
        labelled = bool(names) and split != "unlabeled"
        return RawSplit(
            FileItems(self.path, paths, shown),
            labels if labelled else None,
            tuple(names),
            tuple(paths),
            f"folder {self.path}",
        )
