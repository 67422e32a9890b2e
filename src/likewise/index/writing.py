"""Writing to the table of an index: in turn, a commit at a time, each row once.

LanceDB lets two processes commit at the same time and tells them apart afterwards, but two that add the same new id would
both be right. So whoever writes holds a lock on the folder for the length of one commit; it goes with the process.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from likewise.data import BadImage
from likewise.errors import Interrupted, SearchIndexError
from likewise.index._lance import LanceItems, quoted
from likewise.index.rows import items_of
from likewise.index.stream import Feed
from likewise.models import EmbeddingModel
from likewise.training.interruption import StopWish
from likewise.training.progress import StepProgress

__all__ = ["Added", "committing", "delete_rows", "known_ids", "not_writable", "tidy", "write_feed"]

COMMIT_ROWS = 8192
IDS_A_CONDITION = 1000


@dataclass(frozen=True)
class Added:
    """What ``add`` or ``upsert`` did.

    Args:
        written: rows that were added or replaced.
        kept: rows that were there already and were left alone.
        bad_images: what could not be decoded and was left out.
    """

    written: int
    kept: int
    bad_images: tuple[BadImage, ...]


@contextmanager
def committing(folder: Path, items: LanceItems) -> Iterator[None]:
    """Wait for other writers, go to their last commit, and hold the table for one of ours."""
    try:
        lock = (folder / ".lock").open("a")
    except OSError as error:
        raise not_writable(folder, error) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        items.refresh()
        try:
            yield
        except (OSError, RuntimeError) as error:
            raise not_writable(folder, error) from error


def not_writable(folder: Path, error: Exception) -> SearchIndexError:
    """The error for a folder that cannot be written."""
    return SearchIndexError(
        f"The index {folder} cannot be written ({str(error).splitlines()[0]}).",
        expected="Expected room and permission; the rows of the last commit are there.",
        advice="Free some space, then run the same command again.",
    )


def known_ids(items: LanceItems, ids: Sequence[str]) -> set[str]:
    """Those of ``ids`` that the table has."""
    items.refresh()
    there = items.columns(["id"])["id"]
    asked = pa.array(ids, pa.string())
    return set(asked.filter(pc.is_in(asked, value_set=there.combine_chunks())).to_pylist())


def write_feed(
    folder: Path,
    items: LanceItems,
    model: EmbeddingModel,
    feed: Feed,
    *,
    replace: bool,
    columns: Mapping[str, Sequence[Any]] | None = None,
    pictures: bool = True,
    batch_size: int = 256,
    quiet: bool = True,
) -> tuple[int, tuple[BadImage, ...]]:
    """Embed a feed and commit its rows, ``COMMIT_ROWS`` at a time; returns how many, and what was left out."""
    schema = items.schema
    further = dict(columns or {})
    _check_columns(schema, further, feed.total)
    place = {identity: i for i, identity in enumerate(feed.ids)} if further else {}
    waiting: list[pa.Table] = []
    written = at = 0
    bad = list(feed.bad)

    def commit() -> int:
        rows = pa.concat_tables(waiting)
        waiting.clear()
        with committing(folder, items):
            before = items.count()
            items.write(rows, replace=replace)
            return len(rows) if replace else items.count() - before

    with (
        StopWish() as stop,
        StepProgress("indexing", feed.total, start=0, batch_size=1, unit="image", quiet=quiet) as shown,
    ):
        for batch in feed.embedded(model, batch_size):
            chosen = {
                name: [values[place[identity]] for identity in batch.rows["id"]] for name, values in further.items()
            }
            waiting.append(items_of(batch, schema, source=feed.name, further=chosen, pictures=pictures))
            bad += batch.bad
            stopped = stop.number and batch.end < feed.total
            if sum(map(len, waiting)) >= (1 if stopped else COMMIT_ROWS):
                written += commit()
            if stopped:
                raise Interrupted(
                    f"{stop.wished} after image {batch.end:,} of {feed.total:,}.",
                    expected=f"The rows so far are in {folder}.",
                    advice='Run the same command again, or add with existing="keep", to go on.',
                )
            shown.advance(None, batch.end - at)
            at = batch.end
    if waiting:
        written += commit()
    return written, tuple(bad)


def _check_columns(schema: pa.Schema, given: Mapping[str, Sequence[Any]], total: int) -> None:
    expected = schema.names[schema.names.index("embedding") + 1 :]
    if set(expected) != set(given):
        raise SearchIndexError(
            f"The further columns given are {', '.join(given) or 'none'}.",
            expected=f"The index has {', '.join(expected) or 'none'}.",
            advice="Give columns={name: values} for each of them; Index.create decides which there are.",
        )
    for name, values in given.items():
        if len(values) != total:
            raise SearchIndexError(
                f"The column {name!r} has {len(values):,} values.",
                expected=f"Expected one for each of {total:,} images.",
            )


def tidy(folder: Path, items: LanceItems) -> int:
    """Join small files, take new rows into the indices, index captions where there are any; returns the number of rows."""
    with committing(folder, items):
        if "caption" not in items.indexed() and items.count("caption IS NOT NULL"):
            items.build_text_index()
        items.tidy()
        return items.count()


def delete_rows(folder: Path, items: LanceItems, ids: Sequence[str] | None, where: str | None) -> int:
    """Delete rows by id or by condition, in one commit a thousand ids; returns how many there were."""
    if (ids is None) == (where is None):
        raise SearchIndexError("delete was given no rows, or rows in two ways.", expected="Expected ids or filter.")
    conditions = [where] if where is not None else _conditions(list(ids or ()))
    with committing(folder, items):
        before = items.count()
        for condition in conditions:
            items.delete(condition)
        return before - items.count()


def _conditions(ids: list[str]) -> list[str]:
    return [
        f"id IN ({', '.join(map(quoted, ids[first : first + IDS_A_CONDITION]))})"
        for first in range(0, len(ids), IDS_A_CONDITION)
    ]
