"""``likewise embed``: a source of any size to one Parquet file, in bounded memory, and killed as often as you like.

The rows are written in parts beside the file (see ``Parts``). A pass that is taken up again does what no part covers, from a
batch boundary on: no row is lost, none is there twice, and the embeddings are the same bits. A part is written twice a
minute, or when it reaches 64 MB.
"""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from likewise.data import BadImage
from likewise.errors import Interrupted, RunError
from likewise.index.parts import Parts, is_uri
from likewise.index.stream import EmbeddedBatch, Feed
from likewise.models import EmbeddingModel
from likewise.models.identity import model_id
from likewise.training.interruption import StopWish
from likewise.training.progress import StepProgress

__all__ = ["EmbeddedFile", "embed_to_file", "identity_of", "refuse"]

logger = logging.getLogger("likewise")

SECONDS_A_PART = 30.0
BYTES_A_PART = 64 * 2**20


@dataclass(frozen=True)
class EmbeddedFile:
    """What ``embed_to_file`` wrote.

    Args:
        path: the file, or its URI.
        images: rows in it.
        embedding_dim: D.
        resumed_from: items that an earlier, interrupted call had done.
        seconds: of this call.
        images_per_second: items of this call over its seconds.
        bad_images: what was left out.
        bad_images_file: a CSV with them, where there are any.
    """

    path: Path | str
    images: int
    embedding_dim: int
    resumed_from: int
    seconds: float
    images_per_second: float
    bad_images: tuple[BadImage, ...]
    bad_images_file: Path | str | None


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
        path: of the file; one that ends in ``.lance`` becomes a Lance table with the same columns.
        batch_size: images at a time.
        overwrite: replace a file that is there.
        quiet: no progress on standard error.

    Raises:
        RunError: the file is there already, or cannot be written, or another process writes it, or the beginning that
            lies there is of other images or another model.
        DatasetError: an image cannot be decoded (and the feed is to stop there); what came before is kept.
        Interrupted: SIGINT or SIGTERM came; what is done is kept.
    """
    if is_uri(path):
        raise RunError(
            f"{path} is a URI.",
            expected="Expected a path on this machine.",
            advice="Embed on a cluster, which writes to object storage: --engine ray.",
        )
    parts = Parts(path, identity_of(model, feed, batch_size))
    refuse(parts, feed, overwrite=overwrite)
    began = time.perf_counter()
    with parts.held():
        parts.claim()
        gaps = parts.gaps()
        start = feed.total - sum(end - first for first, end in gaps)
        if start:
            logger.info("going on: %s of %s images are done", f"{start:,}", f"{feed.total:,}")
        with (
            StopWish() as stop,
            StepProgress("embedding", feed.total, start=start, batch_size=1, unit="image", quiet=quiet) as shown,
        ):
            for first, end in gaps:
                _embed_gap(model, feed, parts, batch_size, first, end, stop, shown)
        bad = (*feed.bad, *parts.bad())
        listed = parts.list_bad(bad)
        rows = parts.finish()
    seconds = time.perf_counter() - began
    return EmbeddedFile(
        Path(path),
        rows,
        model.embedding_dim,
        start,
        round(seconds, 3),
        round((feed.total - start) / seconds, 1),
        bad,
        listed,
    )


def refuse(parts: Parts, feed: Feed, *, overwrite: bool) -> None:
    """Stop before anything is embedded where there is nothing to embed, or the file is there and is to stay.

    Raises:
        RunError: either.
    """
    if parts.exists() and not overwrite:
        raise RunError(
            f"{parts.out} is there already.",
            expected="Expected the name of a new file.",
            advice="Choose another -o, or pass --overwrite to replace it.",
        )
    if feed.total == 0:
        raise RunError(f"{feed.name} holds no images.", expected="Expected at least one.")


def _embed_gap(
    model: EmbeddingModel,
    feed: Feed,
    parts: Parts,
    batch_size: int,
    first: int,
    end: int,
    stop: StopWish,
    shown: StepProgress,
) -> None:
    waiting: list[EmbeddedBatch] = []
    written, since, size = first, time.monotonic(), 0
    try:
        for batch in feed.embedded(model, batch_size, first, end):
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


def identity_of(model: EmbeddingModel, feed: Feed, batch_size: int) -> dict[str, Any]:
    """What an embedded file is of: a beginning is finished with the same alone."""
    return {
        "model": model_id(model),
        "embedding_dim": model.embedding_dim,
        "source": feed.name,
        "images": feed.total,
        "ids": hashlib.sha256("\0".join(feed.ids).encode()).hexdigest(),
        "batch_size": batch_size,
    }
