"""``likewise embed --engine ray``: the same file by the machines of a Ray cluster.

Ray Data hands ranges of positions to a pool of actors, each of which holds the model and opens the source itself; images do
not travel through the cluster, and embeddings go from the actor that made them straight into a part of the file. A part has
the name of its positions, so a range that Ray hands out twice, because a worker died over it, is written twice under one name:
nothing is lost and nothing is there twice. Batches are cut as in the plain engine; so either goes on where the other
stopped, and rows and their order are the same.

All machines must see the run and the source, and the folder of the file where that is not on object storage.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from likewise import errors
from likewise.cluster import Cluster, ray_cluster
from likewise.data.source import OnBadImage
from likewise.errors import Interrupted, LikewiseError, RunError
from likewise.index.embed_file import EmbeddedFile, identity_of, refuse
from likewise.index.parts import Parts, is_uri
from likewise.index.stream import feed_of_source
from likewise.models import load_model, place
from likewise.training.progress import StepProgress

__all__ = ["Embedder", "embed_on_ray", "ranges_of"]

logger = logging.getLogger("likewise")

#: Images of a part, about.
IMAGES_A_PART = 8192


class Embedder:
    """An actor: the model and the source, opened once, for any number of ranges."""

    def __init__(
        self,
        run: str,
        source: str,
        split: str | None,
        on_bad_image: OnBadImage,
        batch_size: int,
        device: str,
        threads: int,
        parts: Parts,
    ) -> None:
        import torch

        torch.set_num_threads(threads)
        self._batch_size, self._parts = batch_size, parts
        self._model = place(load_model(run), device)
        self._feed = feed_of_source(self._model, source, split=split, on_bad_image=on_bad_image)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Embed ranges; gives how many items each had, and what was wrong with it."""
        done, wrong = [], []
        for first, end in zip(batch["first"].tolist(), batch["end"].tolist(), strict=True):
            try:
                self._embed(first, end)
                wrong.append("")
            except LikewiseError as error:
                wrong.append(json.dumps([type(error).__name__, error.got, error.expected, error.advice]))
            done.append(end - first)
        return {"done": np.array(done), "error": np.array(wrong)}

    def _embed(self, first: int, end: int) -> None:
        if not self._parts.described():
            raise RunError(
                f"{platform.node()} does not see the beginning of the file in {self._parts.folder}.",
                expected="Expected a folder that all machines of the cluster share.",
                advice="Give an -o on a file system that all of them mount, or on object storage (s3://…).",
            )
        self._parts.write(first, list(self._feed.embedded(self._model, self._batch_size, first, end)))


def embed_on_ray(
    run: str | os.PathLike[str],
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    split: str | None = None,
    batch_size: int = 256,
    on_bad_image: OnBadImage = "stop",
    overwrite: bool = False,
    device: str = "auto",
    jobs: int | None = None,
    quiet: bool = False,
) -> EmbeddedFile:
    """Embed a source on a Ray cluster, from where an interrupted call left off, with this or with the plain engine.

    Args:
        run: folder of a finished run, or of a model.
        source, split, batch_size, on_bad_image, overwrite, device, quiet: as for ``likewise.verbs.embed``.
        out: a path, or a URI such as ``s3://bucket/x.parquet``, which becomes a folder of Parquet files.
        jobs: actors; by default one for each GPU of the cluster, or for each core where it has none.

    Raises:
        As ``likewise.verbs.embed``; RunError too where Ray is not installed or cannot be reached.
    """
    model = load_model(run)
    source = os.path.realpath(source) if os.path.exists(source) else os.fspath(source)  # noqa: PTH110
    feed = feed_of_source(model, source, split=split, on_bad_image=on_bad_image)
    out = os.fspath(out) if is_uri(out) else Path(out).absolute()
    parts = Parts(out, identity_of(model, feed, batch_size))
    refuse(parts, feed, overwrite=overwrite)
    parts.forget()
    began = time.perf_counter()
    with parts.held():
        parts.claim()
        ranges = ranges_of(parts.gaps(), feed.batch_ends(batch_size), max(1, IMAGES_A_PART // batch_size))
        start = feed.total - sum(end - first for first, end in ranges)
        if start:
            logger.info("going on: %s of %s images are done", f"{start:,}", f"{feed.total:,}")
        actor = (os.fspath(Path(run).absolute()), source, split, on_bad_image, batch_size, device)
        with StepProgress("embedding", feed.total, start=start, batch_size=1, unit="image", quiet=quiet) as shown:
            done = start
            with ray_cluster() as cluster, _stopping():
                try:
                    for count in _embedded(cluster, ranges, actor, parts, jobs):
                        done += count
                        shown.advance(None, count)
                except KeyboardInterrupt as error:
                    raise Interrupted(
                        f"Stopped after {done:,} of {feed.total:,} images.",
                        expected="What is done is kept.",
                        advice="Run the same command again to go on.",
                    ) from error
        bad = (*feed.bad, *parts.bad())
        listed = parts.list_bad(bad)
        rows = parts.finish()
    seconds = time.perf_counter() - began
    rate = round((feed.total - start) / seconds, 1)
    return EmbeddedFile(out, rows, model.embedding_dim, start, round(seconds, 3), rate, bad, listed)


def ranges_of(gaps: list[tuple[int, int]], ends: list[int], batches: int) -> list[tuple[int, int]]:
    """The gaps, cut at every so many batch ends."""
    cuts = ends[batches - 1 :: batches]
    ranges = []
    for first, end in gaps:
        inside = [cut for cut in cuts if first < cut < end]
        ranges += list(zip([first, *inside], [*inside, end], strict=True))
    return ranges


def _embedded(
    cluster: Cluster, ranges: list[tuple[int, int]], actor: tuple[Any, ...], parts: Parts, jobs: int | None
) -> Iterator[int]:
    """How many items each range had, as they are done, in any order."""
    if not ranges:
        return
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    wanted, takes = cluster.share(min(jobs or len(ranges), len(ranges)) if jobs else None)
    rows = [{"first": first, "end": end} for first, end in ranges]
    outcomes = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        Embedder,
        fn_constructor_args=(*actor, int(takes["num_cpus"]), parts),
        batch_size=1,
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(size=min(wanted, len(ranges))),
        **takes,
    )
    for row in outcomes.iter_rows():
        if row["error"]:
            kind, got, expected, advice = json.loads(row["error"])
            raise getattr(errors, kind)(got, expected=expected, advice=advice)
        yield int(row["done"])


@contextmanager
def _stopping() -> Iterator[None]:
    """While the block runs, SIGTERM is Ctrl-C."""

    def stop(number: int, frame: Any) -> NoReturn:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread, which alone gets signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
