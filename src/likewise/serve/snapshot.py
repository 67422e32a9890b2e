"""What the explorer page draws of an index: ids, classes, columns and embeddings of one version of its table.

Of a table of more than 200,000 rows that many are drawn at random, always the same ones of the same version. They are read
some thousand rows at a time, so that the rest of the table never lies in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from likewise.index import Index

__all__ = ["MOST_POINTS", "Categories", "Numbers", "Snapshot", "read_snapshot"]

MOST_POINTS = 200_000
MOST_NAMES = 1_000  # different texts of a column beyond which colours say nothing
_FEW_NUMBERS = 20  # different whole numbers up to which each gets a colour of its own
UNKNOWN = -1


@dataclass(frozen=True)
class Categories:
    """A column of names.

    Args:
        names: K different ones.
        codes: (N,) int32, place among the names, or -1 where it is not known.
    """

    names: tuple[str, ...]
    codes: NDArray[np.int32]


@dataclass(frozen=True)
class Numbers:
    """A column of numbers: (N,) float32, NaN where it is not known."""

    values: NDArray[np.float32]


Column = Categories | Numbers


@dataclass(frozen=True)
class Snapshot:
    """Rows of one version of an index.

    Args:
        version: of the table.
        total: rows of the table, drawn or not.
        ids: N.
        embeddings: (N, D) float32.
        classes: of the labels; None where no row has one.
        columns: further ones by name.
        captions: whether any image has one.
        model: name of the index's model.
        stamp: of the version (``Index.stamp``).
    """

    version: int
    total: int
    ids: pa.StringArray
    embeddings: NDArray[np.float32]
    classes: Categories | None
    columns: dict[str, Column]
    captions: bool = False
    model: str = ""
    stamp: str = ""

    def __len__(self) -> int:
        return len(self.ids)


def read_snapshot(index: Index, most: int = MOST_POINTS) -> Snapshot:
    """Read the newest version of an index."""
    further = list(index.manifest.columns)
    stamp = index.stamp  # first: were it of a later commit, older pictures would be kept under its name
    scan = index.scan(["id", "split", "label", "class_name", "source", "embedding", *further])
    chosen = np.ones(scan.rows, dtype=bool)
    if scan.rows > most:
        chosen[np.random.default_rng(0).permutation(scan.rows)[most:]] = False
    parts, at = [], 0
    for batch in scan.batches:
        parts.append(batch.filter(pa.array(chosen[at : at + len(batch)])))
        at += len(batch)
    dimension = index.manifest.embedding_dim
    if not parts:
        none = pa.array([], pa.string()), np.empty((0, dimension), np.float32)
        return Snapshot(scan.version, 0, *none, None, {}, model=index.manifest.model, stamp=stamp)
    table = pa.Table.from_batches(parts)
    embeddings = [chunk.flatten().to_numpy() for chunk in table["embedding"].chunks]
    columns = {name: _column(table[name]) for name in ("split", *further)}
    if isinstance(sources := _column(table["source"]), Categories):
        # Where on this machine the images lie is nobody's business.
        columns["source"] = Categories(tuple(PurePath(name).name or name for name in sources.names), sources.codes)
    return Snapshot(
        version=scan.version,
        total=scan.rows,
        ids=table["id"].combine_chunks(),
        embeddings=np.concatenate(embeddings).reshape(-1, dimension),
        classes=_classes(table["label"], table["class_name"]),
        columns={name: column for name, column in columns.items() if column is not None},
        captions=index.count("caption IS NOT NULL") > 0,
        model=index.manifest.model,
        stamp=stamp,
    )


def _classes(labels: pa.ChunkedArray, class_names: pa.ChunkedArray) -> Categories | None:
    """Classes by name, in the order of their numbers; a label without a name is called by its number."""
    named = pc.coalesce(class_names, pc.cast(labels, pa.string()))
    if named.null_count == len(named):
        return None
    first = pa.table({"name": named, "label": labels}).group_by("name").aggregate([("label", "min")])
    first = first.filter(pc.is_valid(first["name"])).sort_by([("label_min", "ascending"), ("name", "ascending")])
    return _coded(named, first["name"].combine_chunks())


def _column(values: pa.ChunkedArray) -> Column | None:
    """A column as the page can colour by it, or None where every row has another text or all have the same."""
    names = pc.drop_null(pc.unique(values))
    if len(names) == 0 or (len(names) == 1 and values.null_count == 0):
        return None
    if pa.types.is_boolean(values.type):
        return _coded(values, pa.array([False, True]), ("no", "yes"))
    if pa.types.is_floating(values.type) or (pa.types.is_integer(values.type) and len(names) > _FEW_NUMBERS):
        return Numbers(pc.cast(values, pa.float64()).to_numpy().astype(np.float32))
    return _coded(values, names.sort()) if len(names) <= MOST_NAMES else None


def _coded(values: pa.ChunkedArray, names: pa.Array, shown: tuple[str, ...] | None = None) -> Categories:
    codes = pc.fill_null(pc.index_in(values, names), UNKNOWN)
    return Categories(shown or tuple(map(str, names.to_pylist())), codes.to_numpy().astype(np.int32))
