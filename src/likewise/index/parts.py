"""An embedded file on its way: parts beside it, each whole or not there, each named by the positions that it covers.

The name of a part says what is done, so whoever goes on, in this process or on another machine, needs to know nothing else:
what no part covers is still to do. A local file appears when all parts are there and have been put together. On object
storage, where nothing can be renamed into place as a whole, the parts are the file: a folder of Parquet files in the order of
the source, which every reader of Parquet takes as one table, and which is complete when ``_likewise.json`` is in it.
"""

from __future__ import annotations

import csv
import io
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from likewise.data import BadImage
from likewise.errors import RunError
from likewise.index._lance import write_lance
from likewise.index.stream import EmbeddedBatch, embedding_column
from likewise.training.files import replacing
from likewise.training.run_folder import working_in

__all__ = ["Parts", "is_uri"]

_META = b"likewise"
_REPEATED = ["split", "class_name"]  # the others would be looked up in vain, number by number
_IDENTITY = "identity.json"
_COMPLETE = "_likewise.json"
_OF_LANCE = ("data", "_transactions", "_versions")


def is_uri(out: str | os.PathLike[str]) -> bool:
    """Whether ``out`` is on object storage or another file system that has a URI, such as ``s3://bucket/x.parquet``."""
    return "://" in os.fspath(out)


class Parts:
    """The parts of one embedded file.

    Args:
        out: a path or a URI; what ends in ``.lance`` becomes a Lance table, all else Parquet.
        identity: what the file is of; a beginning of another one is not gone on with.

    Raises:
        RunError: the URI cannot be used.
    """

    def __init__(self, out: str | os.PathLike[str], identity: Mapping[str, Any]) -> None:
        self.out, self.identity = os.fspath(out), dict(identity)
        self._lance = self.out.rstrip("/").endswith(".lance")
        if is_uri(out):
            try:
                self._files, place = fs.FileSystem.from_uri(self.out.rstrip("/"))
            except (OSError, ValueError, NotImplementedError) as error:
                raise RunError(
                    f"{self.out} cannot be written to ({error}).",
                    expected="Expected a path, or a URI such as s3://bucket/name.parquet, gs://… or file:///….",
                    advice="See the documentation of pyarrow.fs.FileSystem.from_uri for the schemes and their credentials.",
                ) from error
            self._path, self.folder = None, f"{place}.parts" if self._lance else place
        else:
            self._files, self._path = fs.LocalFileSystem(), Path(out)
            self.folder = str(self._path.with_name(f".{self._path.name}.parts"))

    def exists(self) -> bool:
        """Whether the file is there and complete."""
        if self._lance:
            return self._table_exists()
        return self._there(_COMPLETE) if self._path is None else self._path.exists()

    def _table_exists(self) -> bool:
        """Whether a Lance table is there, or what is none; not what a process left that was killed before its one commit."""
        place = self.folder.removesuffix(".parts") if self._path is None else str(self._path)
        if (kind := self._files.get_file_info(place).type) != fs.FileType.Directory:
            return bool(kind != fs.FileType.NotFound)
        if any(name.endswith(".manifest") for name in self._listed(f"{place}/_versions")):
            return True
        return any(name not in _OF_LANCE for name in self._listed(place))

    def forget(self) -> None:
        """Remove a complete folder of Parquet files, which is to be written anew; nothing else has to be out of the way."""
        if self._path is None and not self._lance and self.exists():
            self._files.delete_dir(self.folder)

    @contextmanager
    def held(self) -> Iterator[None]:
        """While the block runs, no other process of this machine writes the file, if it is one of this machine.

        Raises:
            RunError: another process writes it, or it cannot be written.
        """
        advice = "Free some space or choose another -o; what is done is kept for the next call."
        try:
            with working_in(Path(self.folder), advice) if self._path is not None else nullcontext():
                yield
        except OSError as error:
            raise RunError(
                f"{self.out} cannot be written ({error.strerror or error}).",
                expected="Expected a folder that can be written, with room for the file twice.",
                advice=advice,
            ) from error

    def claim(self) -> None:
        """Say what the parts are of.

        Raises:
            RunError: there are some, and they are of something else.
        """
        if not self._there(_IDENTITY):
            self._put(_IDENTITY, json.dumps(self.identity, indent=2).encode())
            return
        there = self.described()
        changed = sorted(key for key in self.identity if there.get(key) != self.identity[key])
        if changed:
            raise RunError(
                f"{self.folder} holds the beginning of another file: it differs in {', '.join(changed)}.",
                expected="A file is finished with the model, images and settings that it began with.",
                advice=f"Give the same ones, choose another -o, or remove {self.folder} to begin anew.",
            )

    def described(self) -> dict[str, Any]:
        """What ``claim`` wrote; empty where it is not seen from here."""
        if not self._there(_IDENTITY):
            return {}
        with self._files.open_input_stream(f"{self.folder}/{_IDENTITY}") as file:
            found: dict[str, Any] = json.loads(file.read())
        return found

    def gaps(self) -> list[tuple[int, int]]:
        """What is still to do, as ranges of positions."""
        gaps, end = [], 0
        for first, behind in self._ranges():
            if first > end:
                gaps.append((end, first))
            end = max(end, behind)
        total = self.identity["images"]
        return [*gaps, (end, total)] if end < total else gaps

    def write(self, first: int, batches: list[EmbeddedBatch]) -> int:
        """Write batches as one part; returns the position behind it."""
        end = batches[-1].end
        bad = [vars(item) for batch in batches for item in batch.bad]
        schema = _schema(self.identity["embedding_dim"], {"bad": bad})
        table = pa.Table.from_batches([_record_batch(batch, schema) for batch in batches], schema)
        written = pa.BufferOutputStream()
        pq.write_table(table, written, use_dictionary=_REPEATED)
        self._put(f"{first:012d}-{end:012d}.parquet", written.getvalue())
        return end

    def bad(self) -> list[BadImage]:
        """What the parts left out."""
        return [
            BadImage(**item)
            for name in self._names()
            for item in json.loads(pq.read_schema(f"{self.folder}/{name}", filesystem=self._files).metadata[_META])[
                "bad"
            ]
        ]

    def list_bad(self, bad: Sequence[BadImage]) -> Path | str | None:
        """Write what was left out into a CSV beside the file, if there is anything; returns its place."""
        if not bad:
            return None
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(("position", "item", "reason"))
        writer.writerows((item.position, item.item, item.reason) for item in bad)
        content = text.getvalue().encode()
        if self._path is not None:
            listed = self._path.with_name(f"{self._path.stem}.bad-images.csv")
            with replacing(listed) as beside:
                beside.write_bytes(content)
            return listed
        with self._files.open_output_stream(f"{self.folder.removesuffix('.parts')}.bad-images.csv") as stream:
            stream.write(content)
        return f"{self.out.rstrip('/')}.bad-images.csv"

    def finish(self) -> int:
        """Make the file of its parts; returns the number of rows."""
        schema = _schema(self.identity["embedding_dim"], self.identity)
        rows: int = sum(
            pq.read_metadata(f"{self.folder}/{name}", filesystem=self._files).num_rows for name in self._names()
        )
        if self._lance:
            write_lance(self.out, schema, self._batches(schema))
        elif self._path is None:
            self._put(_COMPLETE, json.dumps(self.identity | {"rows": rows}, indent=2).encode())
            self._files.delete_file(f"{self.folder}/{_IDENTITY}")
            return rows
        else:
            self._join(self._path, schema)
        self._files.delete_dir(self.folder)
        return rows

    def _join(self, path: Path, schema: pa.Schema) -> None:
        for unfinished in path.parent.glob(f".{path.name}.*.part"):
            unfinished.unlink()  # of a call that was killed right here: the lock says that none is at it now
        with replacing(path) as beside, pq.ParquetWriter(beside, schema, use_dictionary=_REPEATED) as writer:
            for batch in self._batches(schema):
                writer.write_table(pa.Table.from_batches([batch], schema))

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        for name in self._names():
            with self._files.open_input_file(f"{self.folder}/{name}") as file, pq.ParquetFile(file) as part:
                for batch in part.iter_batches(2**16):
                    yield batch.replace_schema_metadata(schema.metadata)

    def _names(self) -> list[str]:
        names = self._listed(self.folder)
        return sorted(name for name in names if name.endswith(".parquet") and name[0] not in "._")

    def _listed(self, folder: str) -> list[str]:
        return [info.base_name for info in self._files.get_file_info(fs.FileSelector(folder, allow_not_found=True))]

    def _ranges(self) -> list[tuple[int, int]]:
        cut = [name.removesuffix(".parquet").split("-") for name in self._names()]
        return [(int(first), int(end)) for first, end in cut]

    def _there(self, name: str) -> bool:
        return bool(self._files.get_file_info(f"{self.folder}/{name}").type == fs.FileType.File)

    def _put(self, name: str, content: bytes | pa.Buffer) -> None:
        """Write a file beside its name, then give it the name: who lists the folder sees it whole or not at all."""
        if self._path is not None:
            with replacing(Path(self.folder) / name) as beside:
                beside.write_bytes(content)
            return
        self._files.create_dir(self.folder)
        beside_it = f"{self.folder}/_{uuid.uuid4().hex}.part"
        with self._files.open_output_stream(beside_it) as stream:
            stream.write(content)
        self._files.move(beside_it, f"{self.folder}/{name}")


def _schema(dimension: int, metadata: dict[str, Any]) -> pa.Schema:
    return pa.schema(
        [
            ("id", pa.string()),
            ("split", pa.string()),
            ("label", pa.int64()),
            ("class_name", pa.string()),
            ("captions", pa.list_(pa.string())),
            ("embedding", pa.list_(pa.float32(), dimension)),
        ],
        {_META: json.dumps(metadata).encode()},
    )


def _record_batch(batch: EmbeddedBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [pa.array(batch.rows[field.name], field.type) for field in schema if field.name != "embedding"]
    return pa.RecordBatch.from_arrays([*columns, embedding_column(batch.embeddings)], schema=schema)
