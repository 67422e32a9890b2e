"""What a row of an index is: from batches to Arrow tables, and from what was found to hits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa

from likewise.errors import SearchIndexError
from likewise.index.stream import EmbeddedBatch, embedding_column
from likewise.index.thumbnails import thumbnails

__all__ = ["TYPES", "Hit", "Scan", "item_schema", "items_of"]

TYPES: dict[str, pa.DataType] = {"int": pa.int64(), "float": pa.float64(), "str": pa.string(), "bool": pa.bool_()}


@dataclass(frozen=True)
class Hit:
    """One row that a search found.

    Args:
        id: of the image.
        distance: to the query, in the index's distance; None for what only the words of a caption found.
        score: higher is better: BM25 of a search in captions, or of two rankings fused; else None.
        label: number of the class, or None.
        class_name: name of the class, or None.
        caption: captions, one a line, or None.
        split: of the source.
        source: where the image came from.
        item: file, or row of a table, inside the source.
        thumbnail: JPEG bytes, or None.
        columns: further columns by name.
    """

    id: str
    distance: float | None
    score: float | None
    label: int | None
    class_name: str | None
    caption: str | None
    split: str | None
    source: str
    item: str
    thumbnail: bytes | None = field(repr=False)
    columns: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, without the thumbnail."""
        values = {key: value for key, value in vars(self).items() if key not in ("thumbnail", "columns")}
        return values | self.columns


class Scan(NamedTuple):
    """All rows of one version of a table.

    Args:
        version: of the table.
        rows: in it.
        batches: of some thousand rows each.
    """

    version: int
    rows: int
    batches: Iterator[pa.RecordBatch]


def item_schema(dimension: int, columns: Mapping[str, str]) -> pa.Schema:
    """Schema of the table.

    Raises:
        SearchIndexError: a further column has a name that is taken, or a type that is not known.
    """
    own = [
        ("id", pa.string()),
        ("split", pa.string()),
        ("label", pa.int64()),
        ("class_name", pa.string()),
        ("caption", pa.string()),
        ("source", pa.string()),
        ("item", pa.string()),
        ("thumbnail", pa.binary()),
        ("embedding", pa.list_(pa.float32(), dimension)),
    ]
    for name, kind in columns.items():
        if name in dict(own) or name.startswith("_") or kind not in TYPES:
            raise SearchIndexError(
                f"The column {name!r} of type {kind!r} cannot be made.",
                expected=f"Expected a name other than {', '.join(dict(own))}, and one of {', '.join(TYPES)}.",
            )
    return pa.schema([*own, *((name, TYPES[kind]) for name, kind in columns.items())])


def items_of(
    batch: EmbeddedBatch, schema: pa.Schema, *, source: str, further: Mapping[str, Sequence[Any]], pictures: bool
) -> pa.Table:
    """Rows of the table out of one batch."""
    captions = [None if given is None else "\n".join(given) for given in batch.rows["captions"]]
    values: dict[str, Any] = batch.rows | dict(further)
    values["caption"] = captions
    values["source"] = [source] * len(captions)
    values["thumbnail"] = thumbnails(batch.pixels) if pictures else [None] * len(captions)
    columns = [
        embedding_column(batch.embeddings) if field.name == "embedding" else pa.array(values[field.name], field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
