"""One index as the explorer page sees it: rows and a first map at once, findings and a better map when they are there.

Rows are read in a thread; what takes long is done by another process (``look``), so that searches are not held up. Who asks
for points waits for the rows only. When somebody has committed to the index, the next question begins anew, and what was
there is shown until the new rows are read. What has failed is tried again after a while, which doubles each time.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from likewise.errors import LikewiseError, ServeError
from likewise.index import Index
from likewise.serve.findings import Findings, pca_map
from likewise.serve.kept import read_kept
from likewise.serve.look import PARTS
from likewise.serve.snapshot import Snapshot, read_snapshot

__all__ = ["STAGES", "Explored", "Picture"]

STAGES = ("reading", *PARTS, "done")
_WAIT = 20.0  # seconds that a question waits for the first reading; the page then asks again
_REST, _MOST_REST = 10.0, 600.0  # seconds from the first failure, and at most from any, to the next attempt

logger = logging.getLogger("likewise")


@dataclass(frozen=True)
class Picture:
    """What there is to show of one version of an index.

    Args:
        snapshot: its rows, without their embeddings: those were needed for ``pca`` alone.
        dimension: of the embeddings.
        pca: (N, 2) principal components, or the embedding itself.
        findings: None until they are found, and for fewer than two images.
        tsne: (N, 2), None until it is drawn, and for embeddings of two dimensions.
    """

    snapshot: Snapshot
    dimension: int
    pca: NDArray[np.float32]
    findings: Findings | None = None
    tsne: NDArray[np.float32] | None = None


class Explored:
    """Reads an index and has it looked through.

    Args:
        index: it is opened a second time, so that searches are not disturbed.
    """

    def __init__(self, index: Index) -> None:
        folder = index.folder.resolve()
        of_run = folder.name == "index" and (folder.parent / "recipe.yaml").is_file()
        self.name = folder.parent.name if of_run else folder.name
        self._index = Index.open(folder)
        self._lock = threading.Lock()
        self._read = threading.Event()
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[str] | None = None
        self._picture: Picture | None = None
        self._stage = STAGES[0]
        self._failed = ""
        self._tried: int | None = None
        self._failures = 0  # one after the other
        self._again = 0.0  # when to try again, after a failure
        self._closed = False

    def picture(self) -> Picture:
        """What there is by now.

        Raises:
            ServeError: the index cannot be read, or has not been yet.
        """
        self._begin_if_new()
        self._read.wait(_WAIT)
        if self._picture is None:
            failed = self._failed
            raise ServeError(
                f"The index {self.name} {'could not be read' if failed else 'is still being read'}.",
                expected="Expected its rows.",
                advice="What happened stands in the log of the server." if failed else "Ask again in a moment.",
                status=500 if failed else 503,
            )
        return self._picture

    def state(self) -> dict[str, Any]:
        """How far it is, for the page to show."""
        self._begin_if_new()
        picture = self._picture
        return {
            "name": self.name,
            "version": None if picture is None else picture.snapshot.version,
            "found": picture is not None and picture.findings is not None,
            "tsne": picture is not None and picture.tsne is not None,
            "stage": self._stage,
            "failed": self._failed,
        }

    def close(self) -> None:
        """End what is under way."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.terminate()
        if self._thread is not None:
            self._thread.join()

    def _begin_if_new(self) -> None:
        with self._lock:
            if self._closed or (self._thread is not None and self._thread.is_alive()):
                return
            version = self._index.version
            if version == self._tried and not (self._failures and time.monotonic() >= self._again):
                return
            if version != self._tried:
                self._failures = 0
            self._tried, self._failed = version, ""
            if self._picture is None:
                self._read.clear()
            self._thread = threading.Thread(target=self._work, name=f"explore {self.name}", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        try:
            self._go_through()
            self._failures = 0
        except LikewiseError as error:
            self._fail()
            logger.warning("the explorer page cannot show all of %s: %s", self.name, error)
        except Exception:
            self._fail()
            logger.exception("the explorer page cannot show all of %s", self.name)
        finally:
            self._stage = STAGES[-1]
            self._read.set()

    def _fail(self) -> None:
        # What is wrong, and where, is for whoever runs the server: it goes to the log.
        self._failed = "It could not be looked through: what happened stands in the log of the server."
        self._failures += 1
        self._again = time.monotonic() + min(_REST * 2.0 ** min(self._failures - 1, 16), _MOST_REST)

    def _go_through(self) -> None:
        self._stage = STAGES[0]
        snapshot = read_snapshot(self._index)
        pca = pca_map(snapshot, self._index.manifest.distance)
        dimension = self._index.manifest.embedding_dim
        # Held on, they would lie in memory beside those that searches look through.
        snapshot = replace(snapshot, embeddings=np.empty((0, dimension), np.float32))
        first = Picture(snapshot, dimension, pca)
        self._take(first, self._index.folder)
        done = self._picture is not None and (self._picture.tsne is not None or dimension <= 2)
        if len(snapshot) < 2 or (done and self._picture is not None and self._picture.findings is not None):
            return
        self._stage = PARTS[0]
        if os.access(self._index.folder, os.W_OK):
            self._have_looked(first, self._index.folder)
            return
        logger.warning("%s cannot be written: what is found in it is forgotten with the server", self._index.folder)
        with tempfile.TemporaryDirectory() as folder:
            self._have_looked(first, Path(folder))

    def _take(self, first: Picture, folder: Path) -> None:
        """Show the rows, with what a folder keeps of them."""
        kept = read_kept(folder, first.snapshot.version, len(first.snapshot))
        self._picture = first if kept is None else replace(first, findings=kept[0], tsne=kept[1])
        self._read.set()

    def _have_looked(self, first: Picture, folder: Path) -> None:
        """Let another process look, and take what it has found."""
        with tempfile.TemporaryFile("w+") as errors:
            with self._lock:
                if self._closed:
                    return
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "likewise.serve.look", str(self._index.folder), str(folder)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                )
            with self._process as process:
                assert process.stdout is not None
                for line in process.stdout:
                    self._take(first, folder)
                    self._stage = STAGES[STAGES.index(line.strip()) + 1]
            if process.returncode and not self._closed:
                errors.seek(0)
                said = errors.read().strip().splitlines() or [f"exit code {process.returncode}"]
                raise ServeError(f"{self.name} could not be looked through: {said[-1]}")
