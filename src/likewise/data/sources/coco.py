"""COCO's captions as they are handed out, and Karpathy's splits of COCO, Flickr8k and Flickr30k.

- ``annotations/captions_train2017.json`` (``images`` with ``id`` and ``file_name``, ``annotations`` with ``image_id`` and
  ``caption``), the images in ``train2017/`` … beside it. COCO has no captions for its test images, so there are two splits.
- ``dataset_coco.json``, ``dataset_flickr8k.json`` … (Karpathy & Fei-Fei 2015): each image with its sentences and its split;
  ``restval``, what is left of COCO's validation images, belongs to train, as is the custom.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from likewise.data.source import RawSplit, SourceOptions, canonical_split, in_order, missing_split, split_in_name
from likewise.data.sources.folder import IMAGE_SUFFIXES
from likewise.data.sources.listed import Listed, image_folder, read_json, read_listed
from likewise.errors import DatasetError

__all__ = ["CocoSource", "KarpathySource", "find_coco", "find_karpathy"]

_IMAGE_FOLDERS = (
    "images",
    "Images",
    "Flicker8k_Dataset",
    "flickr30k-images",
    "train2017",
    "val2017",
    "train2014",
    "val2014",
)


def find_coco(path: Path) -> dict[str, Path]:
    """Split → ``captions_*.json`` in a folder or its ``annotations``; or one such file."""
    if path.is_file():
        return {split_in_name(path.stem.rstrip("0123456789")) or "train": path} if _is_coco(path) else {}
    files = [file for folder in (path, path / "annotations") for file in sorted(folder.glob("captions_*.json"))]
    return {split_in_name(file.stem.rstrip("0123456789")) or file.stem: file for file in files if _is_coco(file)}


def _is_coco(file: Path) -> bool:
    return file.name.startswith("captions_") and file.suffix == ".json"


def find_karpathy(path: Path) -> Path | None:
    """``dataset_*.json`` in a folder, or that file itself."""
    files = [path] if path.is_file() else sorted(path.glob("dataset_*.json"))
    return next((file for file in files if file.name.startswith("dataset_") and file.suffix == ".json"), None)


def _field(record: Any, key: str, file: Path) -> Any:
    if not isinstance(record, dict) or key not in record:
        raise DatasetError(
            f"{file.name} has an entry without {key!r}.",
            expected="Expected COCO's or Karpathy's form.",
            advice="Download the file again.",
        )
    return record[key]


@dataclass(frozen=True)
class CocoSource:
    """COCO's captions.

    Args:
        path: the folder above ``annotations``, or one of its files.
        options: how to read.
    """

    path: Path
    options: SourceOptions

    @property
    def name(self) -> str:
        """The folder's or file's name."""
        return self.path.resolve().stem

    @cached_property
    def _files(self) -> dict[str, Path]:
        return find_coco(self.path)

    @property
    def splits(self) -> tuple[str, ...]:
        """Those that the files' names speak of."""
        return in_order(list(self._files))

    def read(self, split: str) -> RawSplit:
        """One split, with the images still encoded."""
        if split not in self.splits:
            raise missing_split(self, split)
        file = self._files[split]
        content = read_json(file)
        names = {
            _field(image, "id", file): str(_field(image, "file_name", file))
            for image in _field(content, "images", file)
        }
        listed = Listed({name: [] for name in names.values()})
        for annotation in _field(content, "annotations", file):
            image = _field(annotation, "image_id", file)
            if image not in names:
                raise DatasetError(
                    f"{file.name} has a caption of image {image}, which it does not list.",
                    expected="Expected every caption's image among the images.",
                    advice="Download the file again.",
                )
            listed.add(names[image], str(_field(annotation, "caption", file)))
        above = file.parent.parent if file.parent.name == "annotations" else file.parent
        usual = (file.stem.removeprefix("captions_"), *_IMAGE_FOLDERS)
        root = image_folder(above, listed.captions, usual, IMAGE_SUFFIXES)
        return read_listed(listed.captions, root=root, places={}, list_name=file.name, origin=f"COCO captions {file}")


@dataclass(frozen=True)
class KarpathySource:
    """A file of Karpathy's splits, beside the images.

    Args:
        path: the folder with ``dataset_*.json``, or that file.
        options: how to read.
    """

    path: Path
    options: SourceOptions

    @property
    def name(self) -> str:
        """Of the data set, as the file's name says it."""
        return self._file.stem.removeprefix("dataset_")

    @cached_property
    def _file(self) -> Path:
        found = find_karpathy(self.path)
        if found is None:
            raise DatasetError(f"{self.path} has no dataset_*.json.", expected="Expected Karpathy's file.")
        return found

    @cached_property
    def _images(self) -> dict[str, list[tuple[str, str, list[str]]]]:
        """Split → (name, path below the images' folder, captions)."""
        found: dict[str, list[tuple[str, str, list[str]]]] = {}
        for image in _field(read_json(self._file), "images", self._file):
            split = str(_field(image, "split", self._file))
            name = str(_field(image, "filename", self._file))
            place = f"{image['filepath']}/{name}" if image.get("filepath") else name
            sentences = [str(_field(sentence, "raw", self._file)).strip() for sentence in image.get("sentences", [])]
            group = "train" if split == "restval" else canonical_split(split)
            found.setdefault(group, []).append((name, place, [sentence for sentence in sentences if sentence]))
        return found

    @property
    def splits(self) -> tuple[str, ...]:
        """Those of the file, ``restval`` counted to train."""
        return in_order(list(self._images))

    def read(self, split: str) -> RawSplit:
        """One split, with the images still encoded."""
        if split not in self.splits:
            raise missing_split(self, split)
        listed = {name: captions for name, _, captions in self._images[split]}
        places = {name: place for name, place, _ in self._images[split]}
        root = image_folder(self._file.parent, places.values(), _IMAGE_FOLDERS, IMAGE_SUFFIXES)
        return read_listed(
            listed, root=root, places=places, list_name=self._file.name, origin=f"Karpathy's split {self._file}"
        )
