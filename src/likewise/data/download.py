"""Fetch a file so that it is either whole or not there: progress, resume, checksum, then one rename.

Bytes go to ``NAME.part``. A connection that ends early leaves it, and the next attempt (five per call, or the next run)
asks the server for the rest with a Range request; a server that ignores Range starts over. Only when length and
checksum agree is the file renamed to ``NAME``. A second process that wants the same file waits for the first.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from likewise.data.cache import make_folder, offline
from likewise.data.progress import Progress
from likewise.errors import DatasetError

__all__ = ["fetch", "md5_is"]

CONNECT_SECONDS = 20
ATTEMPTS = 5
_PIECE = 1 << 18


class _CutOffError(Exception):
    """The connection ended before the whole file was there."""


def md5_is(expected: str) -> Callable[[Path], str | None]:
    """A check for ``fetch``: None if the file's MD5 is ``expected``, else what is wrong."""

    def check(path: Path) -> str | None:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        return None if found == expected else f"its MD5 is {found}, expected {expected}"

    return check


def fetch(urls: Sequence[str], target: Path, check: Callable[[Path], str | None]) -> str:
    """Download one file from the first address that gives it.

    Args:
        urls: addresses of the same file, tried in order.
        target: where the whole file will be; if it exists nothing is done.
        check: given the downloaded file, None if it is right, else what is wrong with it.

    Returns:
        The address that served it ("" if it was there).

    Raises:
        DatasetError: no address gave the right file; the message has a line for each. What came of it is kept.
    """
    if target.exists():
        return ""
    if offline():
        raise DatasetError(f"{target.name} was not fetched: LIKEWISE_OFFLINE or HF_HUB_OFFLINE is set.")
    make_folder(target.parent)
    part = target.with_name(target.name + ".part")
    reasons = []
    with _only_one(part):
        if target.exists():
            return ""
        for url in urls:
            try:
                _download(url, part)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise DatasetError(
                        f"The disk is full: {target.parent} cannot take {target.name}.",
                        advice="Make room, or set LIKEWISE_HOME.",
                    ) from error
                reasons.append(f"{url}: {error.reason if isinstance(error, urllib.error.URLError) else error}")
                continue
            except (_CutOffError, http.client.HTTPException) as error:
                reasons.append(f"{url}: {error or type(error).__name__}")
                continue
            wrong = check(part)
            if wrong is None:
                part.replace(target)
                return url
            part.unlink()
            reasons.append(f"{url}: {wrong}")
    raise DatasetError(f"{target.name} could not be fetched ({'; '.join(reasons)}).")


def _download(url: str, part: Path) -> None:
    """Bring ``part`` to the full length that the server states, over several connections if need be."""
    for attempt in range(ATTEMPTS):
        before = part.stat().st_size if part.exists() else 0
        try:
            _one_connection(url, part, before)
            return
        except (_CutOffError, TimeoutError, ConnectionError, http.client.IncompleteRead):
            grown = part.exists() and part.stat().st_size > before
            if not grown or attempt == ATTEMPTS - 1:
                raise


def _one_connection(url: str, part: Path, have: int) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "likewise", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=CONNECT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        error.close()
        if error.headers.get("Content-Range", "").endswith(f"/{have}"):
            return  # nothing is missing: the last run ended between the last byte and the rename
        part.unlink()
        _one_connection(url, part, 0)
        return
    with response:
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT and response.headers.get(
            "Content-Range", ""
        ).startswith(f"bytes {have}-")
        start = have if resumed else 0
        stated = response.headers.get("Content-Length")
        total = start + int(stated) if stated is not None else 0
        received = start
        with part.open("ab" if resumed else "wb") as file, Progress(f"Fetching {part.stem}", total, start) as progress:
            while piece := response.read(_PIECE):
                file.write(piece)
                received += len(piece)
                progress.advance(len(piece))
    if stated is not None and received != total:
        raise _CutOffError(f"the connection ended after {received:,} of {total:,} bytes")


@contextlib.contextmanager
def _only_one(part: Path) -> Iterator[None]:
    """Wait until no other process downloads the same file."""
    try:
        import fcntl
    except ImportError:  # Windows: there two downloads at once would fight over .part, and one would fail its check
        yield
        return
    path = part.with_name(part.name + ".lock")
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
