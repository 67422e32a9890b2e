"""Looking through an index in a process of its own: ``python -m likewise.serve.look INDEX FOLDER``.

The server starts it and stays free for searches: this one yields to every other process, and can be ended at any moment. What
it finds goes into a file (``kept``), first all but the t-SNE map, then with it; a line on standard output says that a part is
there. It ends with the process that started it, which holds the other end of its standard input.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from likewise.errors import LikewiseError
from likewise.index import Index
from likewise.serve.findings import find, flat_map
from likewise.serve.kept import write_kept
from likewise.serve.snapshot import read_snapshot

__all__ = ["PARTS", "look_through"]

PARTS = ("neighbors", "map")


def look_through(index: Index, folder: Path, found: Callable[[str], None] = lambda part: None) -> None:
    """Find everything in the newest version of an index of at least two images and keep it in a folder.

    Args:
        index: to look through.
        folder: where ``explorer.safetensors`` is written.
        found: called with each of ``PARTS`` when it lies there.

    Raises:
        OSError: the folder cannot be written.
    """
    snapshot, distance = read_snapshot(index), index.manifest.distance
    findings = find(snapshot, distance)
    write_kept(folder, snapshot.version, findings, None)
    found(PARTS[0])
    if index.manifest.embedding_dim > 2:
        write_kept(folder, snapshot.version, findings, flat_map(snapshot, distance))
        found(PARTS[1])


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.nice(5)
    failed = 0
    try:
        look_through(Index.open(sys.argv[1]), Path(sys.argv[2]), lambda part: print(part, flush=True))
    except Exception as error:
        failed = 1
        said = " ".join(str(error).split())  # the page shows one line
        print(said if isinstance(error, LikewiseError) else f"{type(error).__name__}: {said}", file=sys.stderr)
    os._exit(failed)  # the other thread still reads, and an interpreter that shuts down beside it aborts
