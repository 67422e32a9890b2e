"""Where Likewise keeps what it fetched or decoded, and the one way it writes there.

Everything lives under ``LIKEWISE_HOME`` (default ``~/.cache/likewise``): a folder per named set, and ``decoded/``.
A file is written beside its final name and moved into place when it is complete (``os.replace`` is atomic on one file
system), so a name that exists always holds a whole file: a killed process leaves only a ``.part`` behind.
"""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from likewise.errors import DatasetError

__all__ = ["cache_home", "make_folder", "offline", "replace_when_complete"]


def cache_home() -> Path:
    """The folder of downloads and decoded sets: ``LIKEWISE_HOME`` or ``~/.cache/likewise``.

    Example:
        >>> from unittest import mock
        >>> with mock.patch.dict(os.environ, LIKEWISE_HOME="/data/likewise"):
        ...     cache_home().as_posix()
        '/data/likewise'
    """
    given = os.environ.get("LIKEWISE_HOME")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "likewise"


def offline() -> bool:
    """Whether ``LIKEWISE_OFFLINE`` or ``HF_HUB_OFFLINE`` forbids every use of the network."""
    return any(
        os.environ.get(name, "").lower() in {"1", "true", "yes", "on"}
        for name in ("LIKEWISE_OFFLINE", "HF_HUB_OFFLINE")
    )


def make_folder(folder: Path) -> Path:
    """Make a folder of the cache, with those above it.

    Raises:
        DatasetError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(folder, error) from error
    return folder


@contextlib.contextmanager
def replace_when_complete(target: Path) -> Iterator[Path]:
    """Give a path to write to, and move it to ``target`` only if the block ends without an exception.

    Args:
        target: the final name; its folder is made if it is missing.

    Yields:
        A path beside ``target`` that no other process uses.

    Raises:
        DatasetError: the disk is full, or may not be written to.
    """
    beside = make_folder(target.parent) / f".{target.name}.{uuid.uuid4().hex}.part"
    try:
        yield beside
        beside.replace(target)
    except OSError as error:
        if error.errno in _NOT_WRITABLE:
            raise _not_writable(target, error) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


_NOT_WRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


def _not_writable(path: Path, error: OSError) -> DatasetError:
    return DatasetError(
        f"{path} cannot be written ({error.strerror or error}).",
        expected="Expected room and permission in Likewise's cache.",
        advice="Make room, or set LIKEWISE_HOME to a folder on another disk.",
    )
