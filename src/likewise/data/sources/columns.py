"""From the columns of an Arrow table to images, labels and captions: the part that files and the hub share.

Columns are found by the names people use (``image``, ``img``, ``path``, ``file`` …; ``label``, ``class`` …;
``caption``, ``captions``, ``text`` …) or by those the caller gives. An image is the Hugging Face struct
``{bytes, path}``, plain bytes, or a path. A label is an integer (named by the schema's ClassLabel, if it has one) or a
string. Classes are the same for all splits: the union of the splits' names, so that label 3 means one thing.
A table with one row per caption (Flickr8k's own layout) is folded to one row per image.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from likewise.data.encoded import ColumnItems, EncodedItems, FileItems
from likewise.data.source import UNLABELED, RawSplit, SourceOptions, row_ids
from likewise.errors import DatasetError

__all__ = ["CAPTION_NAMES", "IMAGE_NAMES", "LABEL_NAMES", "class_names_of", "find_column", "read_columns"]

IMAGE_NAMES = ("image", "img", "path", "file", "file_name", "filename", "image_path", "filepath")
LABEL_NAMES = ("label", "labels", "class", "class_name", "category", "target", "fine_label")
CAPTION_NAMES = ("captions", "caption", "texts", "text", "sentences", "description")


def find_column(names: Sequence[str], given: str | None, usual: Sequence[str], what: str, file: str) -> str | None:
    """The name of a column: the one the caller gave, else the first usual one (whatever its case), else None.

    Raises:
        DatasetError: the column that the caller gave is not there.
    """
    if given is not None:
        if given not in names:
            raise DatasetError(
                f"{file} has no column {given!r} for the {what}.", expected=f"It has: {', '.join(names)}."
            )
        return given
    lowered = {name.strip().lower(): name for name in reversed(names)}
    return next((lowered[name] for name in usual if name in lowered), None)


def class_names_of(tables: Mapping[str, pa.Table], options: SourceOptions, file: str) -> tuple[str, ...]:
    """The classes of all splits together.

    ClassLabel names keep their order, names that only a later split has follow; strings and bare integers are sorted.
    """
    declared: list[str] = []
    strings: set[str] = set()
    numbers: set[int] = set()
    for table in tables.values():
        column = find_column(table.column_names, options.label_column, LABEL_NAMES, "labels", file)
        if column is None:
            continue
        names = _declared_names(table, column)
        if names:
            declared += [name for name in names if name not in declared]
            continue
        for value in pc.unique(_plain(table[column], column, file)).to_pylist():
            if isinstance(value, str) and value:
                strings.add(value)
            elif isinstance(value, int) and value != UNLABELED:
                numbers.add(value)
    if numbers and strings:
        raise DatasetError(
            f"{file} has labels that are numbers in one split and words in another.", expected="Expected one kind."
        )
    found = sorted(strings) or [str(number) for number in sorted(numbers)]
    return tuple(declared + [name for name in found if name not in declared])


def read_columns(
    table: pa.Table,
    *,
    split: str,
    names: tuple[str, ...],
    options: SourceOptions,
    root: Path | None,
    file: str,
    origin: str,
) -> RawSplit:
    """One split from its table.

    Args:
        table: one row per image, or one row per caption.
        split: its name.
        names: the classes of the source.
        options: column names.
        root: the folder that image paths start from; None where they cannot be relative.
        file: what to call the table in messages.
        origin: where it came from.
    """
    columns = table.column_names
    image = find_column(columns, options.image_column, IMAGE_NAMES, "images", file)
    if image is None:
        raise DatasetError(
            f"{file} has no column of images; it has: {', '.join(columns)}.",
            expected=f"Expected one of {', '.join(IMAGE_NAMES)}.",
            advice="Rename it, or name it with image_column.",
        )
    label = find_column(columns, options.label_column, LABEL_NAMES, "labels", file)
    caption = find_column(columns, options.caption_column, CAPTION_NAMES, "captions", file)
    captions = None if caption is None else _captions(table[caption], caption, file)
    rows = np.arange(len(table))
    if captions is not None and _is_path(table[image].type):
        rows, captions = _fold(table[image], captions)
        table = table.take(rows)
    items, paths = _items(table[image], root, [f"{file} row {row + 1}" for row in rows.tolist()], image, file)
    labels = None if label is None else _labels(table, label, names, file, rows)
    incomplete: dict[int, str] = {}
    if captions is not None and not any(captions):
        captions = None
    elif captions is not None and labels is None:
        incomplete = {position: "without a caption" for position, given in enumerate(captions) if not given}
    unique = paths is not None and len(set(paths)) == len(paths)
    ids = tuple(paths) if unique and paths else row_ids(split, len(table))
    return RawSplit(
        items, labels, names, ids, origin, None if captions is None else tuple(captions), incomplete=incomplete
    )


def _declared_names(table: pa.Table, column: str) -> list[str]:
    """ClassLabel names from the ``huggingface`` schema metadata, or the values of a dictionary column."""
    metadata = (table.schema.metadata or {}).get(b"huggingface")
    if metadata:
        feature = json.loads(metadata).get("info", {}).get("features", {}).get(column, {})
        if isinstance(feature, dict) and isinstance(feature.get("names"), list):
            return [str(name) for name in feature["names"]]
    return []


def _plain(column: Any, name: str, file: str) -> Any:
    """A label column as integers or strings; whole-number floats (a CSV with gaps) become integers."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_boolean(kind):
        return column.cast(pa.int64())
    if pa.types.is_floating(kind):
        whole = pc.if_else(pc.is_nan(column), None, column)
        if not pc.all(pc.equal(pc.floor(whole), whole), min_count=0).as_py():
            raise DatasetError(
                f"Column {name!r} of {file} holds fractions.", expected="Expected labels: integers or words."
            )
        return whole.cast(pa.int64())
    if pa.types.is_integer(kind):
        return column.cast(pa.int64())
    if (
        pa.types.is_null(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
    ):
        return column.cast(pa.string())
    raise DatasetError(
        f"Column {name!r} of {file} holds {kind}.",
        expected="Expected labels: one integer or word per image.",
        advice="Name another column with label_column.",
    )


def _labels(
    table: pa.Table, column: str, names: tuple[str, ...], file: str, rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(N,) int64 positions in ``names``; ``UNLABELED`` for null, "" and -1."""
    plain = _plain(table[column], column, file)
    own = _declared_names(table, column)
    index = {name: number for number, name in enumerate(names)}
    if pa.types.is_string(plain.type):
        values = pc.fill_null(plain, "").to_pylist()
        return np.array([index[value] if value else UNLABELED for value in values], np.int64)
    numbers: NDArray[np.int64] = pc.fill_null(plain, UNLABELED).to_numpy()
    wrong = (numbers < UNLABELED) | ((numbers >= len(own)) if own else False)
    if wrong.any():
        position = int(wrong.argmax())
        raise DatasetError(
            f"{file} row {int(rows[position]) + 1} has label {numbers[position]}.",
            expected=f"Expected 0 to {len(own) - 1}: the table has {len(own)} classes."
            if own
            else "Expected 0 or more.",
            advice="Correct the label; -1 or an empty cell means that it is not known.",
        )
    found, place = np.unique(numbers, return_inverse=True)
    lookup = [
        index.get(own[number] if own else str(number), UNLABELED) if number >= 0 else UNLABELED
        for number in found.tolist()
    ]
    return np.array(lookup, np.int64)[place]


def _is_path(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _items(
    column: Any, root: Path | None, rows: list[str], name: str, file: str
) -> tuple[EncodedItems, list[str] | None]:
    """The images of a column, and their paths where it has paths for all."""
    kind = column.type
    if (
        pa.types.is_struct(kind)
        and {"bytes", "path"} >= {field.name for field in kind}
        and kind.get_field_index("bytes") >= 0
    ):
        content = pc.struct_field(column, "bytes")
        given = pc.struct_field(column, "path").to_pylist() if kind.get_field_index("path") >= 0 else []
        paths = [str(path) for path in given] if given and None not in given else None
        if content.null_count == len(content) and paths is not None:
            return FileItems(
                root or Path(), paths, [f"{row} ({path})" for row, path in zip(rows, paths, strict=True)]
            ), paths
        return ColumnItems(
            content, [f"{row} ({path})" if path else row for row, path in zip(rows, given or rows, strict=True)]
        ), paths
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return ColumnItems(column, rows), None
    if _is_path(kind):
        paths = [path or "" for path in column.to_pylist()]
        return FileItems(
            root or Path(), paths, [f"{row} ({path})" for row, path in zip(rows, paths, strict=True)]
        ), paths
    raise DatasetError(
        f"Column {name!r} of {file} holds {kind}.",
        expected="Expected encoded images: a struct {bytes, path}, bytes, or paths.",
        advice="Name another column with image_column.",
    )


def _captions(column: Any, name: str, file: str) -> list[tuple[str, ...]]:
    def texts(cell: Any) -> tuple[str, ...]:
        cells = cell if isinstance(cell, list) else [cell]
        return tuple(text.strip() for text in cells if text is not None and text.strip())

    try:
        return [texts(cell) for cell in column.to_pylist()]
    except AttributeError as error:
        raise DatasetError(
            f"Column {name!r} of {file} holds {column.type}.",
            expected="Expected captions: a text or a list of texts per image.",
        ) from error


def _fold(paths: Any, captions: list[tuple[str, ...]]) -> tuple[NDArray[np.int64], list[tuple[str, ...]]]:
    """Rows of the same image as one: the first row's position, and all captions in order."""
    folded: dict[str, list[str]] = {}
    first: list[int] = []
    for row, (path, texts) in enumerate(zip(paths.to_pylist(), captions, strict=True)):
        key = path if path else f"\0{row}"  # rows without a path stay apart: each is named as bad
        if key not in folded:
            folded[key] = []
            first.append(row)
        folded[key] += texts
    return np.array(first, np.int64), [tuple(texts) for texts in folded.values()]
