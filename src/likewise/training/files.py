"""Writing so that a reader never meets half a file: beside, to the disk, then renamed over the old one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from likewise.errors import RunError

__all__ = ["ELSEWHERE", "read_json", "replacing", "write_json", "write_text", "writing_to"]


ELSEWHERE = "Change its permissions or free some space; or work in a copy of it, or in a new folder."


@contextmanager
def writing_to(folder: Path, advice: str = ELSEWHERE) -> Iterator[None]:
    """Around what is written into a folder of the user's; ``advice`` is what to do where it cannot be.

    Raises:
        RunError: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        at = f": {error.filename}" if error.filename and str(error.filename) != str(folder) else ""
        raise RunError(
            f"{folder} cannot be written ({error.strerror or error}{at}).",
            expected="Expected a folder that can be made and written, with room.",
            advice=advice,
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it when the block ends well and vanishes when it does not."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield beside
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replace the content of ``path`` in one step."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Replace ``path`` by ``value`` as indented JSON; NaN and infinity are refused, since JSON has neither."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """The value in a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
