"""CSV files of pixels, ``label,pixel1,…,pixel784``, as Fashion-MNIST and MNIST are spread on Kaggle.

One row is one grey square image: a label and S² values 0..255, with a header or none. A file with S² columns and no
label (Kaggle's digit recognizer has one for its test) gives images without labels. In a folder the files whose names
speak of train and test are the splits. 60,000 rows (133 MB) take 3 s of processor time,
spread over all cores by Arrow's reader.

A row with too few or many values, or a value that is no number, not finite or outside 0..255, is a bad item, named
with its row (counted from 1 below the header). A label that is not a whole number in range always stops.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from likewise.data.dataset import BadImage
from likewise.data.pixels import ArrayPixels
from likewise.data.source import RawSplit, SourceOptions, in_order, missing_split, split_in_name
from likewise.data.sources.idx import FASHION_CLASSES, MNIST_CLASSES
from likewise.errors import DatasetError

__all__ = ["PixelCsvSource", "is_pixel_csv"]

HIGHEST_LABEL = 255  # of a set that is not known by name: what one byte holds, as in idx files


def is_pixel_csv(file: Path) -> bool:
    """Whether a CSV's first row looks like this layout: (a label and) S² values, S ≥ 4."""
    try:
        return _layout(file) is not None
    except (OSError, UnicodeDecodeError):
        return False


@dataclass(frozen=True)
class _Layout:
    """Columns, where the label is (None without labels), and whether the first line is a header."""

    columns: int
    label: int | None
    header: bool

    @property
    def side(self) -> int:
        return math.isqrt(self.columns - (self.label is not None))


def _layout(file: Path) -> _Layout | None:
    with file.open(encoding="utf-8-sig") as lines:
        first = [cell.strip().strip('"') for cell in lines.readline().split(",")]
    header = not all(_is_number(cell) for cell in first)
    named = [number for number, cell in enumerate(first) if cell.lower() in ("label", "class", "y", "target")]
    label = (named[0] if named else None) if header else 0
    for position in (label, None):
        layout = _Layout(len(first), position, header)
        if layout.side >= 4 and layout.side**2 + (position is not None) == len(first):
            return layout
    return None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class PixelCsvSource:
    """One CSV of pixels, or a folder with one for each split.

    Args:
        path: the file or folder.
        options: how to read.
    """

    path: Path
    options: SourceOptions

    @property
    def name(self) -> str:
        """Fashion-MNIST or MNIST where the file names say so, else the file's or folder's name."""
        words = " ".join(file.stem.lower() for file in self._files().values())
        if re.search(r"fashion[-_ ]?mnist", words):
            return "fashion-mnist"
        if re.search(r"(?<![a-z])mnist", words):
            return "mnist"
        return self.path.resolve().stem if self.path.is_file() else self.path.resolve().name

    @property
    def splits(self) -> tuple[str, ...]:
        """ "train" for a single file."""
        return in_order(list(self._files()))

    def _files(self) -> dict[str, Path]:
        if self.path.is_file():
            return {"train": self.path}
        files = {split_in_name(file.stem): file for file in sorted(self.path.glob("*.csv")) if is_pixel_csv(file)}
        if len(files) == 1:
            return {"train": next(iter(files.values()))}
        return {split: file for split, file in files.items() if split is not None}

    def read(self, split: str) -> RawSplit:
        """One split."""
        files = self._files()
        if split not in files:
            raise missing_split(self, split)
        file = files[split]
        layout = _layout(file)
        if layout is None:
            raise DatasetError(
                f"{file} is not a CSV of pixels.", expected="Expected a label and S × S values in each row."
            )
        values, rows, bad = _read(file, layout)
        labels = None if layout.label is None else self._labels(values[:, layout.label], rows, file)
        pixels = values if layout.label is None else np.delete(values, layout.label, axis=1)
        usable = np.isfinite(pixels) & (pixels >= 0) & (pixels <= 255)
        for position in np.flatnonzero(~usable.all(axis=1)).tolist():
            column = int((~usable[position]).argmax())
            value = pixels[position, column]
            kind = "outside 0 to 255" if np.isfinite(value) else "not finite or no number"
            bad.setdefault(int(rows[position]), f"not usable (pixel {column + 1} is {value:g}: {kind})")
        if bad and self.options.on_bad_image == "stop":
            first = min(bad)
            total = len(set(rows.tolist()) | set(bad))
            raise DatasetError(
                f"{file.name} row {first + 1} is {bad[first]}. {len(bad):,} of {total:,} rows.",
                expected=f"Expected {layout.columns} values per row, pixels from 0 to 255.",
                advice="Correct or remove it, or pass --on-bad-image skip to leave such rows out and list them.",
            )
        keep = ~np.isin(rows, list(bad))
        images = pixels[keep].astype(np.uint8).reshape(-1, 1, layout.side, layout.side)
        return RawSplit(
            ArrayPixels([images]),
            None if labels is None else labels[keep],
            () if labels is None else self._class_names(files, labels),
            tuple(f"{split}/{row:05d}" for row in rows[keep].tolist()),
            f"CSV file {file}",
            bad=tuple(BadImage(row, f"{file.name} row {row + 1}", bad[row]) for row in sorted(bad)),
            positions=rows[keep],
        )

    def _known_classes(self) -> tuple[str, ...]:
        return {"fashion-mnist": FASHION_CLASSES, "mnist": MNIST_CLASSES}.get(self.name, ())

    def _class_names(self, files: dict[str, Path], labels: NDArray[np.int64]) -> tuple[str, ...]:
        """The known names, else "0" to the highest label of any split."""
        if self._known_classes():
            return self._known_classes()
        highest = labels.max(initial=0)
        if len(files) > 1:
            highest = max(highest, *(_highest_label(file) for file in files.values()))
        return tuple(str(label) for label in range(int(highest) + 1))

    def _labels(self, column: NDArray[Any], rows: NDArray[np.int64], file: Path) -> NDArray[np.int64]:
        highest = len(self._known_classes()) - 1 if self._known_classes() else HIGHEST_LABEL
        wrong = ~((column >= 0) & (column <= highest) & (column == np.floor(column)))
        if wrong.any():
            first = int(wrong.argmax())
            raise DatasetError(
                f"{file.name} row {rows[first] + 1} has label {column[first]:g}.",
                expected=f"Expected a whole number from 0 to {highest}.",
                advice="Correct it, or check that the label stands in the first column or under the header 'label'.",
            )
        return column.astype(np.int64)


def _highest_label(file: Path) -> int:
    layout = _layout(file)
    if layout is None or layout.label is None:
        return 0
    column = _table(file, layout, pa.float32(), [f"c{layout.label}"], lambda row: "skip", threads=True).column(0)
    return int(pc.max(column).as_py() or 0)


def _read(file: Path, layout: _Layout) -> tuple[NDArray[Any], NDArray[np.int64], dict[int, str]]:
    """All rows of the right length.

    Returns:
        values: (M, columns) uint8 if all are whole and in range, else float32, NaN where a cell holds no number.
        rows: (M,) int64, place in the file, from 0.
        bad: place → reason, for rows of another length.
    """
    ragged: dict[int, str] = {}

    def noted(row: Any) -> str:
        ragged[row.number - 1 - layout.header] = (
            f"ragged ({row.actual_columns:,} values instead of {row.expected_columns:,})"
        )
        return "skip"

    try:
        values = _as_array(_table(file, layout, pa.uint8(), None, None, threads=True), np.uint8)
    except pa.ArrowInvalid:  # something is wrong, or the values are not whole: read again, with the numbers of the rows
        try:
            table = _table(file, layout, pa.float32(), None, noted, threads=False)
        except pa.ArrowInvalid:
            ragged.clear()
            table = _numbers(_table(file, layout, pa.string(), None, noted, threads=False))
        values = _as_array(table, np.float32)
    return values, np.delete(np.arange(len(values) + len(ragged)), list(ragged)), ragged


def _as_array(table: pa.Table, kind: type[np.uint8] | type[np.float32]) -> NDArray[Any]:
    """(rows, columns); raises ArrowInvalid for an empty cell that the type cannot hold."""
    values = np.empty((len(table), len(table.columns)), kind)
    first = 0
    for batch in table.to_batches():
        for number, column in enumerate(batch.columns):
            if column.null_count and kind is np.uint8:
                raise pa.ArrowInvalid("an empty cell")
            values[first : first + len(batch), number] = column.to_numpy(zero_copy_only=False)
        first += len(batch)
    return values


def _table(
    file: Path, layout: _Layout, kind: pa.DataType, only: list[str] | None, on_ragged: Any, *, threads: bool
) -> pa.Table:
    names = [f"c{number}" for number in range(layout.columns)]
    try:
        return pyarrow.csv.read_csv(
            file,
            pyarrow.csv.ReadOptions(
                use_threads=threads, column_names=names, skip_rows=int(layout.header), block_size=1 << 23
            ),
            pyarrow.csv.ParseOptions(invalid_row_handler=on_ragged),
            pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, kind), include_columns=only or []),
        )
    except OSError as error:
        raise DatasetError(f"{file} cannot be read ({error}).") from error


def _numbers(table: pa.Table) -> pa.Table:
    """Columns of text as float32, NaN where a cell holds no number: only for files that have such a cell."""

    def number(cell: str | None) -> float:
        return float(cell) if cell is not None and _is_number(cell) else math.nan

    columns = []
    for column in table.columns:
        try:
            columns.append(column.cast(pa.float32()))
        except pa.ArrowInvalid:
            columns.append(pa.chunked_array([pa.array([number(cell) for cell in column.to_pylist()], pa.float32())]))
    return pa.table(columns, names=table.column_names)
