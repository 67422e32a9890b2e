"""idx files, the format of MNIST and Fashion-MNIST, plain or gzip.

Layout (big-endian): two zero bytes, a type byte (8 = uint8), the number of dimensions, one uint32 per dimension, then
the values. A split is a pair of files, ``train-images-idx3-ubyte`` and ``train-labels-idx1-ubyte``; "t10k" is the test
split. Unpacking the 60,000 training images takes 0.25 s and 47 MB. A plain file is memory-mapped, so it can also be
streamed; a gzip file whose content is larger than the memory limit is first unpacked into the cache.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import re
import shutil
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from likewise.data.cache import cache_home, replace_when_complete
from likewise.data.pixels import ArrayPixels
from likewise.data.source import RawSplit, SourceOptions, canonical_split, in_order, missing_split, row_ids
from likewise.errors import DatasetError

__all__ = ["FASHION_CLASSES", "MNIST_CLASSES", "IdxSource", "find_idx_files", "read_idx"]

FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
MNIST_CLASSES = tuple(str(digit) for digit in range(10))

_NAME = re.compile(r"(?P<split>.+?)[-.](?P<what>images|labels)[-.]idx[13]-ubyte(?P<gz>\.gz)?$")
_UINT8 = 8

# sha256 of the unpacked label files: they tell which set a folder holds, whatever it is called.
_KNOWN_LABELS = {
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9": "fashion-mnist",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34": "fashion-mnist",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5": "mnist",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2": "mnist",
}
_CLASSES = {"fashion-mnist": FASHION_CLASSES, "mnist": MNIST_CLASSES}


def find_idx_files(folder: Path) -> dict[str, dict[str, Path]]:
    """Split → {"images": path, "labels": path} for the idx files in a folder; a plain file wins over its gzip twin."""
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.iterdir(), key=lambda path: path.name, reverse=True):
        match = _NAME.fullmatch(path.name)
        if match:
            found.setdefault(canonical_split(match["split"].split("-")[-1]), {})[match["what"]] = path
    return found


def read_idx(path: Path, memory_limit: int | None = None) -> NDArray[np.uint8]:
    """The array in an idx file of uint8 values.

    Args:
        path: plain or gzip (told by its content).
        memory_limit: bytes; a larger gzip file is unpacked into the cache and mapped. Plain files are always mapped.

    Returns:
        An array of the dimensions that the header gives.

    Raises:
        DatasetError: not an idx file of uint8, shorter or longer than its header says, or damaged gzip.
    """
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
        if not packed:
            with path.open("rb") as plain:
                shape, offset = _header(path, plain.read(4 + 4 * 255))
            size = path.stat().st_size - offset
            if size != math.prod(shape):
                raise _wrong_length(path, shape, size)
            return np.memmap(path, np.uint8, "r", offset, shape) if size else np.zeros(shape, np.uint8)
        with gzip.open(path) as unpacked:
            shape, offset = _header(path, unpacked.read(4 + 4 * 255))
            if memory_limit is not None and math.prod(shape) > memory_limit:
                return read_idx(_unpack_into_cache(path))
            unpacked.seek(offset)
            content = bytearray(unpacked.read(math.prod(shape) + 1))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DatasetError(
            f"{path} is a damaged gzip file ({error}).",
            expected="Expected a whole one.",
            advice="Delete it and fetch it again.",
        ) from error
    if len(content) != math.prod(shape):
        raise _wrong_length(path, shape, len(content))
    return np.frombuffer(content, np.uint8).reshape(shape)


def _header(path: Path, start: bytes) -> tuple[tuple[int, ...], int]:
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] != _UINT8 or not start[3]:
        raise DatasetError(
            f"{path} starts with the bytes {start[:4].hex(' ') or '(none)'}.",
            expected="Expected an idx file of uint8 values: 00 00 08 and the number of dimensions.",
            advice="Fetch the file again, or remove it.",
        )
    dimensions = start[3]
    if len(start) < 4 + 4 * dimensions:
        raise DatasetError(
            f"{path} ends within its header, after {len(start)} bytes.",
            expected=f"Expected {4 + 4 * dimensions} bytes of header.",
            advice="Fetch the file again.",
        )
    return struct.unpack(f">{dimensions}I", start[4 : 4 + 4 * dimensions]), 4 + 4 * dimensions


def _wrong_length(path: Path, shape: tuple[int, ...], size: int) -> DatasetError:
    promised = math.prod(shape)
    held = f"{size:,}" if size <= promised else "more"
    return DatasetError(
        f"{path} holds {held} bytes of values.",
        expected=f"Its header says {' × '.join(f'{n:,}' for n in shape)} = {promised:,}.",
        advice="The file is cut off or damaged: fetch it again.",
    )


def _unpack_into_cache(path: Path) -> Path:
    stat = path.stat()
    key = hashlib.sha256(f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}".encode()).hexdigest()[:16]
    target = cache_home() / "unpacked" / f"{path.stem}-{key}"
    if not target.exists():
        with replace_when_complete(target) as beside, gzip.open(path) as packed, beside.open("wb") as plain:
            shutil.copyfileobj(packed, plain, 1 << 20)
    return target


@dataclass(frozen=True)
class IdxSource:
    """A folder of idx files.

    Args:
        folder: that holds them.
        options: how to read.
        name: of the data set; default: recognised by the labels' checksum, else the folder's name.
        origin: one line; default: the folder.
        sha256: file name without .gz → what its unpacked content must hash to; other files are not checked.
    """

    folder: Path
    options: SourceOptions
    given_name: str = ""
    origin: str = ""
    sha256: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The set's name."""
        if self.given_name:
            return self.given_name
        for files in find_idx_files(self.folder).values():
            if "labels" in files:
                opener = gzip.open if files["labels"].suffix == ".gz" else Path.open
                with opener(files["labels"], "rb") as file:
                    known = _KNOWN_LABELS.get(hashlib.sha256(file.read(1 << 24)).hexdigest())
                if known:
                    return known
        return self.folder.resolve().name

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits with a file of images."""
        return in_order([split for split, files in find_idx_files(self.folder).items() if "images" in files])

    def read(self, split: str) -> RawSplit:
        """One split."""
        if split not in self.splits:
            raise missing_split(self, split)
        files = find_idx_files(self.folder)
        images = self._checked(files[split]["images"])
        if images.ndim != 3 or 0 in images.shape[1:]:
            raise DatasetError(
                f"{files[split]['images']} holds an array of {' × '.join(map(str, images.shape))}.",
                expected="Expected images: N × height × width.",
            )
        labels = None
        names: tuple[str, ...] = ()
        if "labels" in files[split]:
            labels = self._labels(files[split]["labels"], len(images))
            names = _CLASSES.get(self.name) or self._classes(files)
            if len(labels) and labels.max() >= len(names):
                position = int((labels >= len(names)).argmax())
                raise DatasetError(
                    f"{files[split]['labels']} has label {labels[position]} at position {position:,}.",
                    expected=f"Expected 0 to {len(names) - 1}: {self.name} has {len(names)} classes.",
                    advice="Fetch the file again, or correct the label.",
                )
        return RawSplit(
            ArrayPixels([images[:, None]]),
            labels,
            names,
            row_ids(split, len(images)),
            self.origin or f"idx files in {self.folder}",
        )

    def _checked(self, path: Path) -> NDArray[np.uint8]:
        """The file's array, after its checksum where one is known."""
        values = read_idx(path, self.options.memory_limit)
        expected = self.sha256.get(path.name.removesuffix(".gz"))
        if expected is not None:
            digest = hashlib.sha256(bytes([0, 0, _UINT8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape))
            digest.update(np.ascontiguousarray(values).data)
            if digest.hexdigest() != expected:
                raise DatasetError(
                    f"{path} is not {self.name}'s: its unpacked content has sha256 {digest.hexdigest()}.",
                    expected=f"Expected {expected}.",
                    advice="Delete it, so that it is fetched again.",
                )
        return values

    def _labels(self, path: Path, images: int) -> NDArray[np.int64]:
        labels = self._checked(path)
        if labels.shape != (images,):
            raise DatasetError(
                f"{path} holds {' × '.join(f'{n:,}' for n in labels.shape)} labels for {images:,} images.",
                expected="Expected one label per image.",
                advice="The two files do not belong together.",
            )
        return labels.astype(np.int64)

    def _classes(self, files: dict[str, dict[str, Path]]) -> tuple[str, ...]:
        highest = max(int(read_idx(pair["labels"]).max(initial=0)) for pair in files.values() if "labels" in pair)
        return tuple(str(label) for label in range(highest + 1))
