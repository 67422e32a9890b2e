"""Encoded images (JPEG, PNG, WebP … files) wherever they lie: in a folder, in a table's column, in a blob on disk.

All that is asked of them is ``read(i)``, the bytes of item i, and ``name(i)``, what to call it in a message. A set that
is streamed must not keep its bytes in memory, nor send them to each worker process: ``on_disk`` writes the items of a
table one after the other into a single file with an array of offsets, where any process can read item i with one seek.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from likewise.data.cache import replace_when_complete
from likewise.data.decode import UnreadableImageError

__all__ = ["BlobItems", "ColumnItems", "EncodedItems", "FileItems", "SelectedItems", "on_disk", "write_blob"]


class EncodedItems(Protocol):
    """Encoded images by position."""

    in_memory: bool

    def __len__(self) -> int: ...

    def read(self, position: int) -> bytes:
        """The file's bytes; raises UnreadableImageError where there is none."""

    def name(self, position: int) -> str:
        """What a person would look for."""


class FileItems:
    """Image files.

    Args:
        root: folder that relative paths start from.
        paths: one per image, relative to ``root`` or absolute.
        names: what to call them; default the paths.
    """

    in_memory = False

    def __init__(self, root: Path, paths: Sequence[str], names: Sequence[str] | None = None) -> None:
        self._root = root
        self._paths = tuple(paths)
        self._names = tuple(names) if names is not None else self._paths

    def __len__(self) -> int:
        return len(self._paths)

    def read(self, position: int) -> bytes:
        """The file's content."""
        given = self._paths[position]
        if not given:
            raise UnreadableImageError("without an image (its path is empty)")
        try:
            return (self._root / given).read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise UnreadableImageError(f"not a readable file ({reason}: {self._root / given})") from error

    def name(self, position: int) -> str:
        """The path, as given."""
        return self._names[position]


class ColumnItems:
    """The bytes in an Arrow binary column, or any sequence whose items have ``as_py`` (None is a missing image)."""

    in_memory = True

    def __init__(self, column: Any, names: Sequence[str]) -> None:
        self._column = column
        self._names = tuple(names)

    def __len__(self) -> int:
        return len(self._names)

    def read(self, position: int) -> bytes:
        """The bytes of one row."""
        data: bytes | None = self._column[position].as_py()
        if data is None:
            raise UnreadableImageError("without an image (the cell is empty)")
        return data

    def name(self, position: int) -> str:
        """File and row."""
        return self._names[position]


class BlobItems:
    """Items one after the other in a file.

    Args:
        path: the file.
        offsets: (N + 1,) int64; item i is the bytes offsets[i] to offsets[i + 1].
        names: what to call them.
    """

    in_memory = False

    def __init__(self, path: Path, offsets: NDArray[np.int64], names: Sequence[str]) -> None:
        self._path = path
        self._offsets = offsets
        self._names = tuple(names)

    def __len__(self) -> int:
        return len(self._names)

    def read(self, position: int) -> bytes:
        """The bytes of one item; the file is opened for each, which costs 10 µs and keeps processes independent."""
        start, end = int(self._offsets[position]), int(self._offsets[position + 1])
        if start == end:
            raise UnreadableImageError("without an image (the cell is empty)")
        with self._path.open("rb", buffering=0) as file:
            file.seek(start)
            return file.read(end - start)

    def name(self, position: int) -> str:
        """File and row."""
        return self._names[position]


class SelectedItems:
    """Some of the items, in the order given."""

    def __init__(self, items: EncodedItems, positions: NDArray[np.int64]) -> None:
        self._items = items
        self._positions = positions
        self.in_memory = items.in_memory

    def __len__(self) -> int:
        return len(self._positions)

    def read(self, position: int) -> bytes:
        """The bytes of one item."""
        return self._items.read(int(self._positions[position]))

    def name(self, position: int) -> str:
        """The name of one item."""
        return self._items.name(int(self._positions[position]))


def write_blob(items: Iterable[bytes | None], target: Path, names: Sequence[str]) -> BlobItems:
    """Write items into one file, and offsets beside it; or take the files if they are there."""
    offsets_file = target.with_name(target.name + ".offsets.npy")
    if not (target.exists() and offsets_file.exists()):
        ends = [0]
        with replace_when_complete(target) as beside, beside.open("wb") as file:
            for data in items:
                ends.append(ends[-1] + file.write(data or b""))
        with replace_when_complete(offsets_file) as beside, beside.open("wb") as file:
            np.save(file, np.array(ends, np.int64))
    return BlobItems(target, np.load(offsets_file), names)


def on_disk(items: EncodedItems, target: Path) -> BlobItems:
    """The same items, out of memory."""

    def contents() -> Iterator[bytes | None]:
        for position in range(len(items)):
            try:
                yield items.read(position)
            except UnreadableImageError:
                yield None

    return write_blob(contents(), target, [items.name(position) for position in range(len(items))])
