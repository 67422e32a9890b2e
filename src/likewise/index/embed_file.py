"""``likewise embed``: a source of any size to one Parquet file, in bounded memory, and killed as often as you like.

The rows are written in parts beside the file (``.FILE.parts/``), each whole or not there; each knows the positions it covers
and the bad images among them. When the last is written they are put together into the file, which so appears complete
or not at all. A pass that is taken up again begins behind the last part, at a batch boundary: no row is lost, none is
there twice, and the embeddings are the same bits. A part is written twice a minute, or when it reaches 64 MB.
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from likewise.data import BadImage
from likewise.errors import Interrupted, RunError
from likewise.index.stream import EmbeddedBatch, Feed, embedding_column
from likewise.models import EmbeddingModel
from likewise.models.identity import model_id
from likewise.training.files import replacing
from likewise.training.interruption import StopWish
from likewise.training.progress import StepProgress
from likewise.training.run_folder import working_in

__all__ = ["EmbeddedFile", "embed_to_file"]

logger = logging.getLogger("likewise")

SECONDS_A_PART = 30.0
BYTES_A_PART = 64 * 2**20
_META = b"likewise"


@dataclass(frozen=True)
class EmbeddedFile:
    """What ``embed_to_file`` wrote.

    Args:
        path: the Parquet file.
        images: rows in it.
        embedding_dim: D.
        resumed_from: items that an earlier, interrupted call had done.
        seconds: of this call.
        images_per_second: items of this call over its seconds.
        bad_images: what was left out.
        bad_images_file: a CSV with them, where there are any.
    """

    path: Path
    images: int
    embedding_dim: int
    resumed_from: int
    seconds: float
    images_per_second: float
    bad_images: tuple[BadImage, ...]
    bad_images_file: Path | None


def embed_to_file(
    model: EmbeddingModel,
    feed: Feed,
    path: str | os.PathLike[str],
    *,
    batch_size: int = 256,
    overwrite: bool = False,
    quiet: bool = False,
) -> EmbeddedFile:
    """Embed a feed into a Parquet file, from where an interrupted call left off.

    Columns: id (string), split (string), label (int64 or null), class_name (string or null), captions (list of strings or
    null), embedding (list of D float32). The metadata of the file has ``likewise``: the model's id and the source.

    Args:
        model: on the device that is to embed.
        feed: the images.
        path: of the file.
        batch_size: images at a time.
        overwrite: replace a file that is there.
        quiet: no progress on standard error.

    Raises:
        RunError: the file is there already, or cannot be written, or another process writes it, or the beginning that
            lies there is of other images or another model.
        DatasetError: an image cannot be decoded (and the feed is to stop there); what came before is kept.
        Interrupted: SIGINT or SIGTERM came; what is done is kept.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise RunError(
            f"{path} is there already.",
            expected="Expected the name of a new file.",
            advice="Choose another -o, or pass --overwrite to replace it.",
        )
    if feed.total == 0:
        raise RunError(f"{feed.name} holds no images.", expected="Expected at least one.")
    parts = _Parts(path.with_name(f".{path.name}.parts"), _identity(model, feed, batch_size))
    began = time.perf_counter()
    with _writing(path), working_in(parts.folder):
        start = parts.resume()
        if start:
            logger.info("going on behind image %s of %s", f"{start:,}", f"{feed.total:,}")
        with (
            StopWish() as stop,
            StepProgress("embedding", feed.total, start=start, batch_size=1, unit="image", quiet=quiet) as shown,
        ):
            _embed_parts(model, feed, parts, batch_size, start, stop, shown)
        bad = (*feed.bad, *parts.bad())
        rows = parts.join_into(path)
        listed = _list_bad(path, bad)
        shutil.rmtree(parts.folder)
    seconds = time.perf_counter() - began
    return EmbeddedFile(
        path,
        rows,
        model.embedding_dim,
        start,
        round(seconds, 3),
        round((feed.total - start) / seconds, 1),
        bad,
        listed,
    )


def _embed_parts(
    model: EmbeddingModel,
    feed: Feed,
    parts: _Parts,
    batch_size: int,
    start: int,
    stop: StopWish,
    shown: StepProgress,
) -> None:
    waiting: list[EmbeddedBatch] = []
    written, since, size = start, time.monotonic(), 0
    try:
        for batch in feed.embedded(model, batch_size, start):
            shown.advance(None, batch.end - (waiting[-1].end if waiting else written))
            waiting.append(batch._replace(pixels=batch.pixels[:0]))
            size += batch.embeddings.nbytes
            if stop.number or size > BYTES_A_PART or time.monotonic() - since > SECONDS_A_PART:
                written, since, size = parts.write(written, waiting), time.monotonic(), 0
                waiting.clear()
            if stop.number and batch.end < feed.total:
                raise Interrupted(
                    f"{signal.Signals(stop.number).name} after image {batch.end:,} of {feed.total:,}.",
                    expected="What is done is kept.",
                    advice="Run the same command again to go on.",
                )
    finally:
        if waiting:
            parts.write(written, waiting)


class _Parts:
    """The parts of a file that is not finished: ``{first}-{end}.parquet``, contiguous from 0, and what they are of."""

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.folder = folder
        self.identity = identity

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.parquet"))

    def resume(self) -> int:
        """The position to go on from; 0 for a new file.

        Raises:
            RunError: the parts are of something else.
        """
        described = self.folder / "identity.json"
        if described.is_file():
            there = json.loads(described.read_text("utf-8"))
            changed = sorted(key for key in self.identity if there.get(key) != self.identity[key])
            if changed:
                raise RunError(
                    f"{self.folder} holds the beginning of another file: it differs in {', '.join(changed)}.",
                    expected="A file is finished with the model, images and settings that it began with.",
                    advice=f"Give the same ones, choose another -o, or remove {self.folder} to begin anew.",
                )
        else:
            with replacing(described) as beside:
                beside.write_text(json.dumps(self.identity, indent=2) + "\n", "utf-8")
        files = self._files()
        return int(files[-1].stem.partition("-")[2]) if files else 0

    def write(self, first: int, batches: list[EmbeddedBatch]) -> int:
        """Write batches as one part; returns the position behind it."""
        end = batches[-1].end
        bad = [vars(item) for batch in batches for item in batch.bad]
        schema = _schema(self.identity["embedding_dim"], {"bad": bad})
        table = pa.Table.from_batches([_record_batch(batch, schema) for batch in batches], schema)
        with replacing(self.folder / f"{first:012d}-{end:012d}.parquet") as beside:
            pq.write_table(table, beside)
        return end

    def bad(self) -> list[BadImage]:
        """What the parts left out."""
        return [
            BadImage(**item)
            for file in self._files()
            for item in json.loads(pq.read_schema(file).metadata[_META])["bad"]
        ]

    def join_into(self, path: Path) -> int:
        """Put all parts together into ``path``, a piece at a time; returns the number of rows."""
        schema, rows = _schema(self.identity["embedding_dim"], self.identity), 0
        for unfinished in path.parent.glob(f".{path.name}.*.part"):
            unfinished.unlink()  # of a call that was killed right here: the lock says that none is at it now
        with replacing(path) as beside, pq.ParquetWriter(beside, schema) as writer:
            for file in self._files():
                with pq.ParquetFile(file) as part:
                    for batch in part.iter_batches(2**16):
                        writer.write_table(pa.Table.from_batches([batch]).replace_schema_metadata(schema.metadata))
                        rows += len(batch)
        return rows


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


def _identity(model: EmbeddingModel, feed: Feed, batch_size: int) -> dict[str, Any]:
    return {
        "model": model_id(model),
        "embedding_dim": model.embedding_dim,
        "source": feed.name,
        "images": feed.total,
        "ids": hashlib.sha256("\0".join(feed.ids).encode()).hexdigest(),
        "batch_size": batch_size,
    }


def _list_bad(path: Path, bad: tuple[BadImage, ...]) -> Path | None:
    if not bad:
        return None
    listed = path.with_name(f"{path.stem}.bad-images.csv")
    with replacing(listed) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("position", "item", "reason"))
        writer.writerows((item.position, item.item, item.reason) for item in bad)
    return listed


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{path} cannot be written ({error.strerror or error}).",
            expected="Expected a folder that can be written, with room for the file twice.",
            advice="Free some space or choose another -o; what is done is kept for the next call.",
        ) from error
