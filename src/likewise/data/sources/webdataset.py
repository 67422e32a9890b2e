"""WebDataset shards: tar files in which the members of one name belong together (``000123.jpg``, ``000123.txt`` …).

The image is ``.jpg``, ``.jpeg``, ``.png`` or ``.webp``; the caption ``.txt`` (one a line) or the ``caption`` of ``.json``; the
label ``.cls`` or the ``label`` of ``.json``. A folder of shards is read as a whole: ``train-000000.tar`` … by the word in
their names, or from sub-folders of that name; shards without such a word are the train split. Images are read from where
they lie in the shards; nothing is unpacked.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from likewise.data.decode import UnreadableImageError
from likewise.data.source import UNLABELED, RawSplit, SourceOptions, in_order, missing_split, split_in_name
from likewise.errors import DatasetError

__all__ = ["WebDatasetSource", "find_shards"]

_IMAGES = ("jpg", "jpeg", "png", "webp")
_TEXTS = ("txt", "json", "cls")


def find_shards(path: Path) -> dict[str, list[Path]]:
    """Split → shards of a folder or of one file; {} where the tar files there are no shards."""
    if path.is_file():
        return {split_in_name(path.stem) or "train": [path]} if _is_shard(path) else {}
    found: dict[str, list[Path]] = {}
    for folder in (path, *sorted(entry for entry in path.iterdir() if entry.is_dir())):
        for file in sorted(folder.glob("*.tar")):
            named = split_in_name(file.stem) or (split_in_name(folder.name) if folder != path else None)
            found.setdefault(named or "train", []).append(file)
    first = next((files[0] for files in found.values()), None)
    return found if first is not None and _is_shard(first) else {}


def _is_shard(file: Path) -> bool:
    """Whether a tar file begins with members of one name: an image and a text."""
    if file.suffix != ".tar":
        return False
    kinds: dict[str, set[str]] = {}
    try:
        with tarfile.open(file, "r:") as shard:
            for member in shard:
                if not member.isfile():
                    continue
                key, kind = _split_name(member.name)
                kinds.setdefault(key, set()).add(kind)
                if kinds[key] & set(_IMAGES) and kinds[key] & set(_TEXTS):
                    return True
                if len(kinds) > 3:
                    return False
    except (tarfile.TarError, OSError):
        return False
    return False


def _split_name(name: str) -> tuple[str, str]:
    """ "shard/000123.seg.png" is key "shard/000123" and kind "seg.png": the name is cut at its first dot."""
    folder, slash, last = name.rpartition("/")
    stem, _, kind = last.partition(".")
    return folder + slash + stem, kind.lower()


@dataclass
class _Sample:
    shard: Path
    place: tuple[int, int] | None = None
    captions: list[str] = field(default_factory=list)
    label: str | int | None = None


class _ShardItems:
    """Encoded images by where their bytes lie in the shards."""

    in_memory = False

    def __init__(self, samples: list[_Sample], names: list[str]) -> None:
        self._samples = samples
        self._names = names

    def __len__(self) -> int:
        return len(self._samples)

    def read(self, position: int) -> bytes:
        sample = self._samples[position]
        if sample.place is None:
            raise UnreadableImageError("without an image")
        with sample.shard.open("rb", buffering=0) as file:
            file.seek(sample.place[0])
            return file.read(sample.place[1])

    def name(self, position: int) -> str:
        return self._names[position]


@dataclass(frozen=True)
class WebDatasetSource:
    """Shards.

    Args:
        path: a folder of them, or one.
        options: how to read.
    """

    path: Path
    options: SourceOptions

    @property
    def name(self) -> str:
        """The folder's or shard's name."""
        return self.path.resolve().stem

    @cached_property
    def _shards(self) -> dict[str, list[Path]]:
        return find_shards(self.path)

    @property
    def splits(self) -> tuple[str, ...]:
        """Those that the names speak of."""
        return in_order(list(self._shards))

    @cached_property
    def _samples(self) -> dict[str, dict[str, _Sample]]:
        return {split: dict(_read(files)) for split, files in self._shards.items()}

    def read(self, split: str) -> RawSplit:
        """One split, with the images still in their shards."""
        if split not in self.splits:
            raise missing_split(self, split)
        samples = self._samples[split]
        every = [
            sample.label for part in self._samples.values() for sample in part.values() if sample.label is not None
        ]
        numbers = all(isinstance(label, int) for label in every)
        names = [str(label) for label in sorted(set(every), key=lambda label: label if numbers else str(label))]
        index = {name: number for number, name in enumerate(names)}
        labels = np.array(
            [UNLABELED if sample.label is None else index[str(sample.label)] for sample in samples.values()], np.int64
        )
        captions = tuple(tuple(sample.captions) for sample in samples.values())
        known = any(captions)
        shown = [f"{sample.shard.name}: {key}" for key, sample in samples.items()]
        return RawSplit(
            _ShardItems(list(samples.values()), shown),
            labels if every else None,
            tuple(names),
            tuple(samples),
            f"WebDataset shards {self.path}",
            captions if known else None,
            incomplete={at: "without a caption" for at, given in enumerate(captions) if not given}
            if known and not every
            else {},
        )


def _read(files: list[Path]) -> Iterator[tuple[str, _Sample]]:
    """Samples by key, made unique over the shards where a key comes back."""
    seen: set[str] = set()
    for file in files:
        samples: dict[str, _Sample] = {}
        try:
            with tarfile.open(file, "r:") as shard:
                for member in shard:
                    if member.isfile():
                        _add(samples, member, shard, file)
        except (tarfile.TarError, OSError, EOFError) as error:
            raise DatasetError(
                f"{file} cannot be read as a shard ({error}).",
                expected="Expected a whole, uncompressed tar file.",
                advice="Download or write it again.",
            ) from error
        for key, sample in samples.items():
            unique = f"{file.stem}/{key}" if key in seen else key
            seen.add(unique)
            yield unique, sample


def _add(samples: dict[str, _Sample], member: tarfile.TarInfo, shard: tarfile.TarFile, file: Path) -> None:
    key, kind = _split_name(member.name)
    if kind not in _IMAGES and kind not in _TEXTS:
        return
    sample = samples.setdefault(key, _Sample(file))
    if kind in _IMAGES:
        sample.place = member.offset_data, member.size
        return
    content = (shard.extractfile(member) or io.BytesIO()).read().decode("utf-8", errors="replace")
    if kind == "txt":
        sample.captions += [line.strip() for line in content.splitlines() if line.strip()]
    elif kind == "cls":
        sample.label = int(content) if content.strip().lstrip("-").isdigit() else content.strip()
    else:
        _add_json(sample, content, f"{file.name}: {member.name}")


def _add_json(sample: _Sample, content: str, name: str) -> None:
    try:
        values: Any = json.loads(content)
    except ValueError as error:
        raise DatasetError(f"{name} is not JSON ({error}).", expected="Expected a mapping.") from error
    if not isinstance(values, dict):
        return
    given = values.get("captions", values.get("caption"))
    if not sample.captions and given:
        sample.captions += [
            str(text).strip() for text in (given if isinstance(given, list) else [given]) if str(text).strip()
        ]
    label = values.get("label", values.get("cls"))
    if sample.label is None and isinstance(label, int | str):
        sample.label = label
