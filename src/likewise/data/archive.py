"""Unpack an archive once, into the cache, and only if all of it stays inside its folder.

Every member is looked at before the first is written: an absolute path, a ``..``, a link or a device refuses the whole
archive (such names are how an archive overwrites files elsewhere), and so does a size that the disk cannot hold. The
files go into a folder beside the final one, which is renamed when all are there.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from likewise.data.cache import cache_home, make_folder
from likewise.errors import DatasetError

__all__ = ["ARCHIVE_SUFFIXES", "unpacked"]

ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tar.xz", ".zip")


def unpacked(archive: Path) -> Path:
    """The folder with the content of a tar or zip archive, in the cache; unpacked on the first call.

    Raises:
        DatasetError: the archive is damaged, would write outside its folder, or does not fit on the disk.
    """
    stat = archive.stat()
    key = hashlib.sha256(f"{archive.resolve()}|{stat.st_size}|{stat.st_mtime_ns}".encode()).hexdigest()[:16]
    target = cache_home() / "unpacked" / f"{archive.name.split('.')[0]}-{key}"
    if target.exists():
        return target
    make_folder(target.parent)
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    try:
        with _members(archive) as members:
            _check(archive, [(name, size) for name, size, _ in members])
            for name, _, opener in members:
                place = beside / name
                place.parent.mkdir(parents=True, exist_ok=True)
                with opener() as content, place.open("wb") as file:
                    shutil.copyfileobj(content, file, 1 << 20)
        try:
            beside.rename(target)
        except OSError:  # another process was faster; its folder holds the same
            if not target.exists():
                raise
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, OSError) as error:
        raise DatasetError(
            f"{archive} could not be unpacked ({error}).",
            expected=f"Expected a whole archive, and room for its content in {target.parent}.",
            advice="Fetch it again, make room, or set LIKEWISE_HOME to another disk.",
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return target


def _check(archive: Path, members: list[tuple[str, int]]) -> None:
    for name, _ in members:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0]):
            raise DatasetError(
                f"{archive} would write outside its folder: {name!r}.",
                expected="Expected relative paths without '..'.",
                advice="Do not use this archive; nothing of it was unpacked.",
            )
    needed, free = sum(size for _, size in members), shutil.disk_usage(cache_home()).free
    if needed > free:
        raise DatasetError(
            f"{archive} unpacks to {needed / 1e9:,.1f} GB, and {cache_home()} has {free / 1e9:,.1f} GB free.",
            expected="Expected room for it.",
            advice="Make room, or set LIKEWISE_HOME to another disk.",
        )


@contextmanager
def _members(archive: Path) -> Iterator[list[tuple[str, int, Any]]]:
    """(name, unpacked size, function that opens the content) of every file; a link or device is refused by name."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            infos = [info for info in packed.infolist() if not info.is_dir()]
            yield [(info.filename, info.file_size, partial(packed.open, info)) for info in infos]
        return
    with tarfile.open(archive) as packed_tar:
        members = packed_tar.getmembers()
        for member in members:
            if not (member.isreg() or member.isdir()):
                raise DatasetError(
                    f"{archive} holds {member.name!r}, which is a link or a device.",
                    expected="Expected files only.",
                    advice="Do not use this archive; nothing of it was unpacked.",
                )
        _check(archive, [(member.name, 0) for member in members if member.isdir()])
        files = [member for member in members if member.isreg()]
        yield [(member.name, member.size, partial(_extracted, packed_tar, member)) for member in files]


def _extracted(packed: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = packed.extractfile(member)
    if content is None:
        raise tarfile.TarError(f"{member.name} has no content")
    return content
