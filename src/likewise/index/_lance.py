"""The only code that calls LanceDB: one table of a folder, its commits, its indices and its queries.

A commit is a new manifest that is renamed into place, so that a reader sees the table before it or after it, and a
process that is killed leaves files that no version names. Its distances are squared for Euclidean ones; here they are not.
"""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from likewise.errors import DamagedIndexError, SearchIndexError

__all__ = ["Distance", "LanceItems", "quoted", "write_lance"]

TABLE = "items"
SETTLED_NS = 10**9  # a folder's time that is older stands for one state of it
Distance = Literal["cosine", "euclidean"]


def _lancedb() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            import lancedb
    except ImportError as error:
        raise SearchIndexError(
            f"LanceDB cannot be imported ({error}).",
            expected="An index is a LanceDB table.",
            advice='Install it: pip install "likewise[index]".',
        ) from error
    return lancedb


def quoted(text: str) -> str:
    """A string as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def write_lance(out: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Write a Lance table of its own, ``out`` being its folder or URI, in one commit; one that is there is replaced.

    Raises:
        SearchIndexError: LanceDB is not installed.
    """
    place, _, name = out.rstrip("/").rpartition("/")
    rows = pa.RecordBatchReader.from_batches(schema, batches)
    _lancedb().connect(place or ".").create_table(name.removesuffix(".lance"), rows, mode="overwrite")


class LanceItems:
    """The table of an index.

    Args:
        folder: of the index.
        distance: ``cosine`` or ``euclidean``.
    """

    def __init__(self, folder: Path, distance: Distance) -> None:
        self._metric: Literal["cosine", "l2"] = "cosine" if distance == "cosine" else "l2"
        self._folder = folder
        self._versions = folder / f"{TABLE}.lance" / "_versions"
        self._seen: int | None = None
        self._stamped = (-1, "")
        try:
            self._table = _lancedb().connect(str(folder)).open_table(TABLE)
        except (OSError, ValueError, RuntimeError) as error:
            raise DamagedIndexError(
                f"The table of the index {folder} cannot be read ({str(error).splitlines()[0]}).",
                expected=f"Expected the folder {TABLE}.lance that LanceDB wrote.",
                advice="Copy the folder again, or make the index anew.",
            ) from error
        self._version = int(self._table.version)

    @staticmethod
    def create(folder: Path, schema: pa.Schema) -> None:
        """Make an empty table."""
        _lancedb().connect(str(folder)).create_table(TABLE, schema=schema)

    def refresh(self) -> int:
        """Go to the newest version that any process has committed; returns its number."""
        self._asked(self._table.checkout_latest)
        self._version = int(self._table.version)
        return self._version

    def follow(self) -> int:
        """``refresh`` where a commit may have come since the last call: what a reader asks before each search.

        A commit renames a file into the folder of versions, so one look at the time of that folder tells. Two commits within
        a tick of the clock share a time, so one that is younger than a second is not relied on.
        """
        try:
            changed = self._versions.stat().st_mtime_ns
        except OSError:
            return self.refresh()
        if changed != self._seen:
            self._seen = changed if time.time_ns() - changed > SETTLED_NS else None
            self.refresh()
        return self._version

    def stamp(self) -> str:
        """Of this version, and of no other one of this or of any other table: its number, and when it was committed.

        A folder that is deleted, copied or made again begins with the same numbers, and its ids may be the same too.
        """
        if self._stamped[0] != self._version:
            try:
                committed = max(file.stat().st_mtime_ns for file in self._versions.glob("*.manifest"))
            except (OSError, ValueError):
                committed = time.time_ns()  # unknown: a stamp that nobody else has
            self._stamped = self._version, f"{self._version}-{committed:x}"
        return self._stamped[1]

    def count(self, where: str | None = None) -> int:
        """Rows, all or those that match."""
        return int(self._asked(lambda: self._table.count_rows(where), where))

    @cached_property
    def schema(self) -> pa.Schema:
        """Of the table."""
        return self._table.schema

    def write(self, rows: pa.Table, *, replace: bool) -> None:
        """Commit rows: those whose id is not there are added, those whose id is there are replaced or left alone."""
        merge = self._table.merge_insert("id").when_not_matched_insert_all()
        if replace:
            merge = merge.when_matched_update_all()
        merge.execute(rows)

    def delete(self, where: str) -> None:
        """Commit the table without the rows that match."""
        self.count(where)  # so that what is wrong with the condition is not taken for what is wrong with the writing
        self._table.delete(where)

    def tidy(self) -> None:
        """Join small files, take new rows into the indices."""
        self._table.optimize()

    def columns(self, names: list[str], where: str | None = None) -> pa.Table:
        """Columns of all rows, or of those that match, and their row ids as ``_rowid``."""
        query = self._table.search().select(names).with_row_id(True)
        found: pa.Table = self._asked((query.where(where) if where else query).to_arrow, where)
        return found

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Columns of all rows of this version, some thousand rows at a time, in the order in which they lie."""
        reader = self._asked(self._table.search().select(self._checked(names)).to_batches)

        def read() -> Iterator[pa.RecordBatch]:
            while (batch := self._asked(lambda: next(reader, None))) is not None:
                yield batch

        return read()

    def row_ids(self, where: str) -> NDArray[np.uint64]:
        """Row ids of the rows that match."""
        found: NDArray[np.uint64] = self.columns(["id"], where)["_rowid"].to_numpy()
        return found

    def rows(self, row_ids: NDArray[np.uint64], columns: list[str]) -> list[dict[str, Any]]:
        """Rows by row id, in the order given."""
        if not len(row_ids):
            return []
        taken = self._asked(self._table.take_row_ids(row_ids.tolist()).select(columns).with_row_id().to_arrow)
        at = {row_id: place for place, row_id in enumerate(taken["_rowid"].to_pylist())}
        records: list[dict[str, Any]] = taken.select(columns).to_pylist()
        return [records[at[row_id]] for row_id in row_ids.tolist()]

    def by_id(self, ids: Sequence[str], columns: Sequence[str]) -> list[dict[str, Any] | None]:
        """Rows by their ids, in the order given; None for an id that is not there."""
        if not ids:
            return []
        asked = f"id IN ({', '.join(map(quoted, ids))})"
        names = ["id", *(name for name in self._checked(columns) if name != "id")]
        found = self._asked(self._table.search().select(names).where(asked).to_arrow)
        at = dict(zip(found["id"].to_pylist(), found.to_pylist(), strict=True))
        return [at.get(identity) for identity in ids]

    def build_vector_index(self, partitions: int) -> None:
        """An inverted file of whole vectors (IVF_FLAT) over ``embedding``, in place of an earlier one."""
        from lancedb.index import IvfFlat

        config = IvfFlat(distance_type=self._metric, num_partitions=partitions)
        self._table.create_index("embedding", config=config, replace=True)

    def build_text_index(self) -> None:
        """A full-text index over ``caption``."""
        from lancedb.index import FTS

        self._table.create_index("caption", config=FTS(), replace=True)

    def indexed(self) -> set[str]:
        """Columns that have an index."""
        return {column for index in self._asked(self._table.list_indices) for column in index.columns}

    def nearest(
        self, query: NDArray[np.float32], k: int, *, probes: int | None, where: str | None = None
    ) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
        """Row ids and distances of the nearest rows: approximate by ``probes`` partitions, or exact with ``None``."""
        search = self._table.search(query, vector_column_name="embedding").distance_type(self._metric)
        search = search.bypass_vector_index() if probes is None else search.nprobes(probes)
        search = search.select(["_distance"]).with_row_id(True).limit(k)
        found = self._asked((search.where(where, prefilter=True) if where else search).to_arrow, where)
        distances = found["_distance"].to_numpy()
        return found["_rowid"].to_numpy(), np.sqrt(distances) if self._metric == "l2" else distances

    def matching(self, text: str, k: int, where: str | None = None) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
        """Row ids and BM25 scores of the rows whose caption has the words of a text, best first."""
        search = self._table.search(text, query_type="fts", fts_columns="caption")
        search = search.select(["_score"]).with_row_id(True).limit(k)
        found = self._asked((search.where(where, prefilter=True) if where else search).to_arrow, where)
        return found["_rowid"].to_numpy(), found["_score"].to_numpy()

    def _checked(self, columns: Sequence[str]) -> list[str]:
        """Columns by name, all of which the table has."""
        missing = [name for name in columns if name not in self.schema.names]
        if missing:
            raise SearchIndexError(
                f"The index has no column {', '.join(missing)}.",
                expected=f"Columns: {', '.join(self.schema.names)}.",
            )
        return list(columns)

    def _asked(self, call: Callable[[], Any], where: str | None = None) -> Any:
        """Read; what LanceDB says of a filter becomes an error that names it, and what it says of its files one of those."""
        try:
            # What stands behind a semicolon would not be run, but it would not be said either.
            if where is not None and ";" in re.sub(r"'[^']*'", "", where):
                raise ValueError("it has more than one statement")
            return call()
        except (ValueError, RuntimeError, OSError) as error:
            said = (str(error).splitlines() or [type(error).__name__])[0]
            # A filter that cannot be planned is a ValueError; one that fails at a row, as a division by zero, says so.
            if where is not None and (isinstance(error, ValueError) or "filter expression" in said):
                raise SearchIndexError(
                    f"The filter {where!r} cannot be used ({said}).",
                    expected=f'Expected SQL over the columns {", ".join(self.schema.names)}, such as "label = 3".',
                    advice="Put texts into single quotes and check the names of the columns.",
                ) from error
            if isinstance(error, ValueError):
                raise
            raise DamagedIndexError(
                f"The index {self._folder} is damaged ({said}).",
                expected=f"Expected all files of {TABLE}.lance that LanceDB wrote.",
                advice="Copy the folder again, or make the index anew.",
            ) from error
