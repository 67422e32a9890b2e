"""Tables of images: CSV, JSON lines or Parquet, one file or one per split.

``photos.csv`` alone is the train split. A folder holds a file per split (``train.csv`` and ``test.csv``, or the hub's
``data/train-00000-of-00002.parquet``), or one ``metadata.csv``/``metadata.jsonl`` beside the images, also one level
down in ``train/``, ``test/``. Paths in a table are relative to the table's folder. A Parquet file whose images would
take more than half of the memory limit is copied, row group by row group, into one file of bytes that can be streamed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from likewise.data.cache import cache_home
from likewise.data.encoded import write_blob
from likewise.data.pixels import ArrayPixels
from likewise.data.source import RawSplit, SourceOptions, in_order, missing_split, split_in_name
from likewise.data.sources.columns import IMAGE_NAMES, LABEL_NAMES, class_names_of, find_column, read_columns
from likewise.errors import DatasetError

__all__ = ["TABLE_SUFFIXES", "TableSource", "find_tables"]

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")


def find_tables(path: Path) -> dict[str, list[Path]]:
    """Split → table files, for a table or for a folder; {} if there are none, or if their names say nothing."""
    if path.is_file():
        return {"train": [path]} if path.suffix.lower() in TABLE_SUFFIXES else {}
    found: dict[str, list[Path]] = {}
    others: list[Path] = []
    for folder in (path, path / "data"):
        for file in _tables_in(folder):
            split = split_in_name(file.stem)
            if split is None:
                others.append(file)
            else:
                found.setdefault(split, []).append(file)
    for folder in sorted(entry for entry in path.iterdir() if entry.is_dir()):
        split = split_in_name(folder.name)
        if split is not None:
            found.setdefault(split, []).extend(file for file in _tables_in(folder) if file.stem == "metadata")
    found = {split: files for split, files in found.items() if files}
    return found or ({"train": others} if len(others) == 1 and _lists_images(others[0]) else {})


def _lists_images(file: Path) -> bool:
    """Whether a table whose name says nothing has a column of images: notes.csv beside class folders has none."""
    try:
        if file.suffix.lower() == ".parquet":
            names = pyarrow.parquet.read_schema(file).names
        else:
            with file.open(encoding="utf-8", errors="replace") as lines:
                first = lines.readline()
            names = (
                re.findall(r'"([^"]+)"\s*:', first) if "json" in file.suffix.lower() else re.split(r'[,\t"\s]+', first)
            )
    except (OSError, pa.ArrowException):
        return True  # a damaged table is for the reader to name
    return find_column(names, None, IMAGE_NAMES, "images", file.name) is not None


def _tables_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in TABLE_SUFFIXES and file.is_file() and file.name[0] != "."
    )


@dataclass(frozen=True)
class TableSource:
    """One or several tables.

    Args:
        path: a table, or a folder of them.
        options: how to read.
    """

    path: Path
    options: SourceOptions

    @property
    def name(self) -> str:
        """The file's or folder's name."""
        return self.path.resolve().stem if self.path.is_file() else self.path.resolve().name

    @cached_property
    def _files(self) -> dict[str, list[Path]]:
        return find_tables(self.path)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that file names speak of."""
        return in_order(list(self._files))

    def _labels(self, files: list[Path]) -> pa.Table:
        """A table with the column of labels, if there is one; all of a text file, which is read as a whole anyway."""
        if files[0].suffix.lower() != ".parquet":
            return _joined([_read_text(file) for file in files], files[0].name)
        with _named(files[0]):
            names = pyarrow.parquet.read_schema(files[0]).names
        label = find_column(names, self.options.label_column, LABEL_NAMES, "labels", files[0].name)
        return _joined([_read_parquet(file, [label] if label else []) for file in files], files[0].name)

    def read(self, split: str) -> RawSplit:
        """One split, with the images still encoded."""
        if split not in self.splits:
            raise missing_split(self, split)
        files = self._files[split]
        names = class_names_of(
            {name: self._labels(files) for name, files in self._files.items()}, self.options, self.name
        )
        what = files[0].name if len(files) == 1 else f"{split} of {self.name}"
        image = _too_large(files, self.options, what)
        table = (
            _joined([_read_table(file) for file in files], what) if image is None else _with_paths_only(files, image)
        )
        raw = read_columns(
            table,
            split=split,
            names=names,
            options=self.options,
            root=files[0].parent,
            file=what,
            origin=f"table {self.path}",
        )
        if image is None or isinstance(raw.images, ArrayPixels):
            return raw
        shown = [raw.images.name(position) for position in range(len(table))]
        content = (data for file in files for data in _image_bytes(file, image))
        return dataclasses.replace(
            raw, images=write_blob(content, cache_home() / "blobs" / f"{_key(files)}.blob", shown)
        )


def _too_large(files: list[Path], options: SourceOptions, what: str) -> str | None:
    """The column of Parquet images that would take more than half of the memory limit; None if there is none."""
    if files[0].suffix.lower() != ".parquet":
        return None
    with _named(files[0]):
        schema = pyarrow.parquet.read_schema(files[0])
        column = find_column(schema.names, options.image_column, IMAGE_NAMES, "images", what)
        if column is None or not (
            pa.types.is_struct(schema.field(column).type) or _is_binary(schema.field(column).type)
        ):
            return None
        return column if sum(_column_bytes(file, column) for file in files) > options.memory_limit // 2 else None


def _with_paths_only(files: list[Path], image: str) -> pa.Table:
    """The table with the images' paths, where it has any, and no bytes."""
    kind = pyarrow.parquet.read_schema(files[0]).field(image).type
    table = _without_images(files, image)
    empty = pa.nulls(len(table), pa.binary())
    if not pa.types.is_struct(kind) or kind.get_field_index("path") < 0:
        return table.append_column(image, empty)
    paths = _joined([_read_parquet(file, [f"{image}.path"]) for file in files], files[0].name)[image].combine_chunks()
    cells = pa.StructArray.from_arrays([empty, pc.struct_field(paths, "path")], ["bytes", "path"])
    return table.append_column(image, cells)


def _is_binary(kind: Any) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _read_table(file: Path) -> pa.Table:
    return _read_parquet(file) if file.suffix.lower() == ".parquet" else _read_text(file)


def _read_text(file: Path) -> pa.Table:
    with _named(file):
        if file.suffix.lower() in (".csv", ".tsv"):
            delimiter = "\t" if file.suffix.lower() == ".tsv" else ","
            return pyarrow.csv.read_csv(
                file,
                # With one thread Arrow knows the number of a row that does not fit, and says it.
                read_options=pyarrow.csv.ReadOptions(use_threads=False),
                parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                convert_options=pyarrow.csv.ConvertOptions(null_values=[""], strings_can_be_null=True),
            )
        return pyarrow.json.read_json(file, pyarrow.json.ReadOptions(block_size=1 << 26))


def _read_parquet(file: Path, columns: list[str] | None = None) -> pa.Table:
    with _named(file), pyarrow.parquet.ParquetFile(file) as parquet:
        return parquet.read(columns=columns)


def _without_images(files: list[Path], image: str) -> pa.Table:
    """The other columns of Parquet files: a hundredth of their bytes."""
    tables = []
    for file in files:
        with _named(file):
            names = pyarrow.parquet.read_schema(file).names
        tables.append(_read_parquet(file, [name for name in names if name != image]))
    return _joined(tables, files[0].name)


def _joined(tables: list[pa.Table], what: str) -> pa.Table:
    try:
        return pa.concat_tables(tables)
    except pa.ArrowInvalid as error:
        raise DatasetError(
            f"The files of {what} have different columns ({error}).", expected="Expected the same in all."
        ) from error


def _column_bytes(file: Path, column: str | None) -> int:
    metadata = pyarrow.parquet.read_metadata(file)
    groups = (metadata.row_group(group) for group in range(metadata.num_row_groups))
    chunks = (group.column(i) for group in groups for i in range(group.num_columns))
    return sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema.split(".")[0] == column)


def _image_bytes(file: Path, column: str) -> Iterator[bytes | None]:
    """The encoded images of a Parquet file; one row group is in memory at a time."""
    with pyarrow.parquet.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(batch_size=256, columns=[column]):
            cells = batch.column(0)
            if pa.types.is_struct(cells.type):
                cells = pc.struct_field(cells, "bytes")
            for cell in cells:
                yield cell.as_py()


def _key(files: list[Path]) -> str:
    stats = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr(stats).encode()).hexdigest()


class _named:  # noqa: N801  # used like a function
    """Turn Arrow's and the system's errors into one that names the file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (pa.ArrowException, OSError)):
            raise DatasetError(
                f"{self._file} cannot be read as a table ({str(error).splitlines()[0]}).",
                expected=f"Expected a whole {self._file.suffix[1:].upper()} file, all rows with the same columns.",
                advice="Correct the row that is named, or export the file again.",
            ) from error
