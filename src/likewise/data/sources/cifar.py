"""CIFAR-10 and CIFAR-100 as their author gives them: the python and the binary archives, packed or unpacked.

Binary: records of a label byte (CIFAR-100: coarse, then fine) and 3,072 bytes of pixels, the red plane first; the file
is memory-mapped. Python: pickled dictionaries. A pickle is a program, so ``pickle.load`` on a downloaded file runs
whatever its author liked; the reader here knows three names (NumPy's array, its rebuilding function and its dtype),
stands in for them with plain records, and refuses every other name, so that nothing loaded can run code.
"""

from __future__ import annotations

import pickle
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from likewise.data.archive import unpacked
from likewise.data.cache import cache_home, replace_when_complete
from likewise.data.pixels import ArrayPixels
from likewise.data.source import RawSplit, SourceOptions, in_order, missing_split, row_ids
from likewise.errors import DatasetError

__all__ = ["CIFAR10_CLASSES", "CifarSource", "find_cifar", "read_pickled_batch"]

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHAPE = (3, 32, 32)
PIXELS = 3072


@dataclass(frozen=True)
class CifarFiles:
    """The files of one set.

    Args:
        folder: that holds them.
        classes: 10 or 100.
        binary: or pickled.
    """

    folder: Path
    classes: int
    binary: bool

    @property
    def splits(self) -> dict[str, list[Path]]:
        """Split → files in order; splits without a file are absent."""
        end = ".bin" if self.binary else ""
        if self.classes == 100:
            names = {"train": [f"train{end}"], "test": [f"test{end}"]}
        else:
            names = {"train": [f"data_batch_{number}{end}" for number in range(1, 6)], "test": [f"test_batch{end}"]}
        present = {
            split: [self.folder / name for name in wanted if (self.folder / name).is_file()]
            for split, wanted in names.items()
        }
        return {split: files for split, files in present.items() if files}


def find_cifar(folder: Path) -> CifarFiles | None:
    """The CIFAR files in ``folder``, or in the one sub-folder that the archives unpack to."""
    for place in (folder, *sorted(folder.glob("cifar-10*"))):
        if (
            any((place / f"data_batch_{number}.bin").is_file() for number in range(1, 6))
            or (place / "test_batch.bin").is_file()
        ):
            return CifarFiles(place, 10, True)
        if (
            any((place / f"data_batch_{number}").is_file() for number in range(1, 6))
            or (place / "test_batch").is_file()
        ):
            return CifarFiles(place, 10, False)
        if (place / "fine_label_names.txt").is_file() and (place / "train.bin").is_file():
            return CifarFiles(place, 100, True)
        if all((place / name).is_file() for name in ("train", "test", "meta")):
            return CifarFiles(place, 100, False)
    return None


class _Stub:
    """Stands in for NumPy's array and dtype while a pickle is read: it records what it is given and does nothing."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Array(_Stub):
    def pixels(self) -> NDArray[np.uint8]:
        """The recorded array, if it is one of uint8 in C order."""
        _, shape, dtype, fortran, raw = self.state
        if dtype.arguments[0] not in ("u1", b"u1") or fortran or not isinstance(raw, bytes):
            raise pickle.UnpicklingError("the array is not one of uint8 in C order")
        return np.frombuffer(raw, np.uint8).reshape(shape)


class _DataOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return _Array
        if module == "numpy" and name == "ndarray":
            return _Array
        if module == "numpy" and name == "dtype":
            return _Stub
        if module == "_codecs" and name == "encode":  # how Python 3 writes bytes in protocol 2
            return _latin1
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not data")


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the codec {encoding}")
    return text.encode("latin1")


def read_pickled_batch(path: Path) -> dict[str, Any]:
    """The dictionary in a pickled CIFAR file, read without running anything.

    Returns:
        Its keys as text; arrays as uint8 arrays; other values as they are.

    Raises:
        DatasetError: damaged, or it asks for anything but arrays, lists, dictionaries, numbers and text.
    """
    try:
        with path.open("rb") as file:
            loaded = _DataOnly(file, encoding="bytes").load()
        if not isinstance(loaded, dict):
            raise pickle.UnpicklingError(f"it holds a {type(loaded).__name__} instead of a dictionary")
        return {_text(key): value.pixels() if isinstance(value, _Array) else value for key, value in loaded.items()}
    except Exception as error:  # a damaged pickle may raise nearly anything while it is read
        raise DatasetError(
            f"{path} was not loaded ({error or type(error).__name__}).",
            expected="Expected a batch of CIFAR images: a pickled dictionary of arrays, lists and text.",
            advice="Fetch the archive again from https://www.cs.toronto.edu/~kriz/cifar.html.",
        ) from error


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


@dataclass(frozen=True)
class CifarSource:
    """CIFAR-10 or CIFAR-100 (fine labels).

    Args:
        path: an archive, or a folder with its files.
        options: how to read.
        origin: one line; default the path.
    """

    path: Path
    options: SourceOptions
    origin: str = ""

    @cached_property
    def _files(self) -> CifarFiles:
        folder = unpacked(self.path) if self.path.is_file() else self.path
        files = find_cifar(folder)
        if files is None:
            raise DatasetError(
                f"{self.path} holds no CIFAR files.", expected="Expected data_batch_1 … test_batch, or train and test."
            )
        return files

    @property
    def name(self) -> str:
        """ "cifar10" or "cifar100"."""
        return f"cifar{self._files.classes}"

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits with a file."""
        return in_order(list(self._files.splits))

    def read(self, split: str) -> RawSplit:
        """One split."""
        files = self._files.splits.get(split)
        if files is None:
            raise missing_split(self, split)
        missing = 5 - len(files) if split == "train" and self._files.classes == 10 else 0
        if missing:
            raise DatasetError(
                f"{self._files.folder} holds {len(files)} of the five training files.",
                expected="Expected data_batch_1 to data_batch_5.",
                advice="Fetch the archive again.",
            )
        parts = [self._binary(file) if self._files.binary else self._pickled(file) for file in files]
        names = self._class_names()
        for file, (_, labels) in zip(files, parts, strict=True):
            if len(labels) and not 0 <= labels.min() <= labels.max() < len(names):
                position = int(((labels < 0) | (labels >= len(names))).argmax())
                raise DatasetError(
                    f"{file} has label {labels[position]} at position {position:,}.",
                    expected=f"Expected 0 to {len(names) - 1}.",
                    advice="Fetch the archive again.",
                )
        labels = np.concatenate([labels for _, labels in parts])
        pixels = ArrayPixels([images for images, _ in parts])
        return RawSplit(
            pixels, labels, names, row_ids(split, len(labels)), self.origin or f"CIFAR files in {self._files.folder}"
        )

    def _binary(self, file: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        extra = 1 if self._files.classes == 10 else 2
        size = file.stat().st_size
        if size == 0 or size % (PIXELS + extra):
            raise DatasetError(
                f"{file} has {size:,} bytes.",
                expected=f"Expected whole records of {PIXELS + extra:,} bytes.",
                advice="The file is cut off: fetch the archive again.",
            )
        records = np.memmap(file, np.uint8, "r").reshape(-1, PIXELS + extra)
        return records[:, extra:].reshape(-1, *SHAPE), records[:, extra - 1].astype(np.int64)

    def _pickled(self, file: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        batch = read_pickled_batch(file)
        images, labels = batch.get("data"), batch.get("labels" if self._files.classes == 10 else "fine_labels")
        if (
            not isinstance(images, np.ndarray)
            or images.shape[1:] != (PIXELS,)
            or not isinstance(labels, list)
            or len(labels) != len(images)
        ):
            raise DatasetError(
                f"{file} holds {', '.join(sorted(batch))}.",
                expected=f"Expected data (N, {PIXELS}) of uint8 and a list of N labels.",
            )
        if images.nbytes > self.options.memory_limit // 5:
            images = _mapped(file, images)
        return images.reshape(-1, *SHAPE), np.array(labels, np.int64)

    def _class_names(self) -> tuple[str, ...]:
        folder, fine = self._files.folder, self._files.classes == 100
        if self._files.binary:
            file = folder / ("fine_label_names.txt" if fine else "batches.meta.txt")
            names = (
                [line.strip() for line in file.read_text("utf-8").splitlines() if line.strip()]
                if file.is_file()
                else []
            )
        else:
            file = folder / ("meta" if fine else "batches.meta")
            given = (
                read_pickled_batch(file).get("fine_label_names" if fine else "label_names", [])
                if file.is_file()
                else []
            )
            names = [_text(name) for name in given]
        if len(names) == self._files.classes:
            return tuple(names)
        return CIFAR10_CLASSES if not fine else tuple(str(number) for number in range(100))


def _mapped(file: Path, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The pixels of a pickle as a memory map, for sets that must not stay in memory."""
    stat = file.stat()
    key = re.sub(r"\W", "-", f"{file.resolve()}-{stat.st_size}-{stat.st_mtime_ns}")[-120:]
    target = cache_home() / "unpacked" / f"{key}.npy"
    if not target.exists():
        with replace_when_complete(target) as beside, beside.open("wb") as out:
            np.save(out, images)
    mapped: NDArray[np.uint8] = np.load(target, mmap_mode="r")
    return mapped
