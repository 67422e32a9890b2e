"""``--format atlas``: a Parquet file that Embedding Atlas opens, with projection, neighbours and pictures.

Its command line takes columns by name: ``--x projection_x --y projection_y --neighbors neighbors --image image``.
``neighbors`` is ``{"ids": [...], "distances": [...]}`` with zero-based rows; a picture is ``{bytes, path}`` (its
documentation, "Command Line Tool" and "Data Formats", of version 0.24). The pictures are declared as the Hugging Face
library does, so ``datasets`` opens the file too.

Images stream through the model once. Memory holds the embeddings (a million of 64 dimensions: 256 MB) and what is computed of
them; rows with pictures wait on the disk beside the file.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from likewise.errors import RunError
from likewise.export.neighbours import Neighbours, neighbours_of_all
from likewise.export.new_folder import Exported, refuse_existing
from likewise.export.plane import places_in_plane
from likewise.index import Feed
from likewise.index.stream import EmbeddedBatch
from likewise.index.thumbnails import thumbnails
from likewise.models import EmbeddingModel
from likewise.models.identity import model_id
from likewise.training.files import replacing
from likewise.training.progress import StepProgress

__all__ = ["COMMAND", "export_atlas"]

logger = logging.getLogger("likewise")
COMMAND = "embedding-atlas {} --x projection_x --y projection_y --neighbors neighbors --image image"
_NEIGHBOURS = 15
_ROW_GROUP = 4096

_PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_KNOWN = [("id", pa.string()), ("split", pa.string()), ("label", pa.string()), ("caption", pa.string())]
_FOUND = [
    ("projection_x", pa.float32()),
    ("projection_y", pa.float32()),
    ("neighbors", pa.struct([("ids", pa.list_(pa.int64())), ("distances", pa.list_(pa.float32()))])),
]


def export_atlas(
    model: EmbeddingModel,
    feed: Feed,
    path: str | os.PathLike[str],
    *,
    projection: str = "tsne",
    columns: Mapping[str, Mapping[str, str]] | None = None,
    batch_size: int = 256,
    seed: int = 0,
    quiet: bool = False,
) -> Exported:
    """Embed a feed into a Parquet file for Embedding Atlas.

    Columns: ``id``, ``split``, ``label`` (the class's name), ``caption``, those given, ``image``, ``projection_x``,
    ``projection_y``, ``neighbors``.

    Args:
        model: on the device that is to embed.
        feed: the images.
        path: of the file, new.
        projection: ``tsne``, ``umap`` or ``pca``; see ``places_in_plane``.
        columns: further columns: name → id of an image → text.
        batch_size: images at a time.
        seed: of projection and neighbours.
        quiet: no progress on standard error.

    Raises:
        RunError: there are fewer than two images, or the file is there already or cannot be written.
        DatasetError: an image cannot be decoded (and the feed is to stop there).
        EvaluationError: there is no such projection.
    """
    path = Path(path)
    refuse_existing(path)
    columns = columns or {}
    distance = "euclidean" if model.normalize == "never" else "cosine"
    waiting = path.with_name(f".{path.name}.{os.getpid()}.rows")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as beside:
            try:
                embeddings = _write_rows(model, feed, waiting, columns, batch_size, quiet)
                if len(embeddings) < 2:
                    raise RunError(f"{feed.name} holds {len(embeddings)} images.", expected="Expected at least two.")
                logger.info("laying out %s images and finding their neighbours", f"{len(embeddings):,}")
                places = places_in_plane(embeddings, projection, distance=distance, seed=seed)
                found = neighbours_of_all(embeddings, _NEIGHBOURS, distance=distance, seed=seed)
                _join(waiting, beside, columns, places, found, model_id(model))
            finally:
                waiting.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(
            f"{path} cannot be written ({error.strerror or error}).",
            expected="Expected a folder that can be written, with room for the pictures twice.",
            advice="Free some space or choose another -o.",
        ) from error
    exact = "exact" if found.recall == 1.0 else f"recall {found.recall:.3f}, measured on a sample"
    return Exported(
        path,
        (
            f"{len(embeddings):,} images, {projection} projection, {found.ids.shape[1]} neighbours each ({exact})",
            f"open it with: {COMMAND.format(path)}",
        ),
        {"images": len(embeddings), "projection": projection, "distance": distance, "neighbour_recall": found.recall},
    )


def _row_schema(columns: Sequence[str]) -> pa.Schema:
    return pa.schema([*_KNOWN, *((name, pa.string()) for name in columns), ("image", _PICTURE)])


def _schema(columns: Sequence[str], model: str) -> pa.Schema:
    features = {"info": {"features": {"image": {"_type": "Image"}}}}
    metadata = {"huggingface": json.dumps(features), "likewise": json.dumps({"model": model})}
    return pa.schema([*_row_schema(columns), *_FOUND], metadata)


def _write_rows(
    model: EmbeddingModel,
    feed: Feed,
    file: Path,
    columns: Mapping[str, Mapping[str, str]],
    batch_size: int,
    quiet: bool,
) -> NDArray[np.float32]:
    """Write what is known of each image, with its picture; returns the embeddings (N, D)."""
    schema = _row_schema(list(columns))
    embeddings, rows = np.empty((feed.total, model.embedding_dim), np.float32), 0
    with (
        pq.ParquetWriter(file, schema) as writer,
        StepProgress("embedding", feed.total, start=0, batch_size=1, unit="image", quiet=quiet) as shown,
    ):
        before = 0
        for batch in feed.embedded(model, batch_size):
            shown.advance(None, batch.end - before)
            before = batch.end
            if len(batch.embeddings):
                writer.write_table(_rows(batch, schema, columns))
                embeddings[rows : rows + len(batch.embeddings)] = batch.embeddings
                rows += len(batch.embeddings)
    return embeddings[:rows]


def _rows(batch: EmbeddedBatch, schema: pa.Schema, columns: Mapping[str, Mapping[str, str]]) -> pa.Table:
    ids = batch.rows["id"]
    captions = [None if given is None else "\n".join(given) for given in batch.rows["captions"]]
    values: dict[str, Any] = {
        "id": ids,
        "split": batch.rows["split"],
        "label": batch.rows["class_name"],
        "caption": captions,
        "image": [
            {"bytes": data, "path": f"{identity}.jpg"}
            for data, identity in zip(thumbnails(batch.pixels), ids, strict=True)
        ],
    }
    values |= {name: [known.get(identity) for identity in ids] for name, known in columns.items()}
    return pa.Table.from_arrays([pa.array(values[field.name], field.type) for field in schema], schema=schema)


def _join(
    rows: Path,
    path: Path,
    columns: Mapping[str, Mapping[str, str]],
    places: NDArray[np.float32],
    found: Neighbours,
    model: str,
) -> None:
    schema = _schema(list(columns), model)
    with pq.ParquetWriter(path, schema) as writer:
        start = 0
        for batch in _batches(rows):
            part = slice(start, start + len(batch))
            further = [pa.array(places[part, 0]), pa.array(places[part, 1]), _neighbours(found, part)]
            writer.write_table(pa.Table.from_arrays([*batch.columns, *further], schema=schema))
            start += len(batch)


def _batches(file: Path) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(file) as opened:
        yield from opened.iter_batches(_ROW_GROUP)


def _neighbours(found: Neighbours, part: slice) -> pa.StructArray:
    ids, distances = found.ids[part], found.distances[part]
    offsets = pa.array(np.arange(0, ids.size + 1, ids.shape[1], dtype=np.int32))
    return pa.StructArray.from_arrays(
        [
            pa.ListArray.from_arrays(offsets, pa.array(ids.ravel())),
            pa.ListArray.from_arrays(offsets, pa.array(distances.ravel())),
        ],
        fields=list(_FOUND[2][1]),
    )
