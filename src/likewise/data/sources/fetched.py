"""CIFAR-10, CIFAR-100 and STL-10 by name: from the cache, from their authors' server, or from the hub.

What is looked for in ``LIKEWISE_HOME/NAME`` is the archive as its author gives it, or its unpacked files, however they
got there. A download is checked against the MD5 that the author (or, for STL-10, the loaders in common use) states.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from likewise.data.cache import cache_home, offline
from likewise.data.download import fetch, md5_is
from likewise.data.source import Source, SourceOptions
from likewise.data.sources.cifar import CifarSource, find_cifar
from likewise.data.sources.hub import HubSource
from likewise.data.sources.stl10 import Stl10Source, find_stl10
from likewise.errors import DatasetError

__all__ = ["CIFAR10", "CIFAR100", "STL10", "ArchiveSet", "find_archive_set"]


@dataclass(frozen=True)
class ArchiveSet:
    """A set that is one archive.

    Args:
        name: of the set and of its folder in the cache.
        archives: file names to look for; the first is the one that is downloaded.
        url: of the first.
        md5: of the first.
        found_in: whether a folder holds the unpacked files.
        reader: makes the source from a path, options and origin.
        hub: dataset id.
        hub_label: its column of labels, where it has several.
    """

    name: str
    archives: tuple[str, ...]
    url: str
    md5: str
    found_in: Callable[[Path], bool]
    reader: Callable[[Path, SourceOptions, str], Source]
    hub: str
    hub_label: str | None = None


def _cifar(classes: int) -> Callable[[Path], bool]:
    def found(folder: Path) -> bool:
        files = find_cifar(folder)
        return files is not None and files.classes == classes

    return found


CIFAR10 = ArchiveSet(
    "cifar10",
    ("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz"),
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    "c58f30108f718f92721af3b95e74349a",
    _cifar(10),
    CifarSource,
    "uoft-cs/cifar10",
)
CIFAR100 = ArchiveSet(
    "cifar100",
    ("cifar-100-python.tar.gz", "cifar-100-binary.tar.gz"),
    "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    "eb9058c3a382ffc7106e4002c42a8d85",
    _cifar(100),
    CifarSource,
    "uoft-cs/cifar100",
    "fine_label",
)
STL10 = ArchiveSet(
    "stl10",
    ("stl10_binary.tar.gz",),
    "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
    "91f7769df0f17e558f3565bffb0c7dfb",
    lambda folder: find_stl10(folder) is not None,
    Stl10Source,
    "tanganke/stl10",
)


def find_archive_set(wanted: ArchiveSet, options: SourceOptions) -> Source:
    """The set, from the first place that has it.

    Raises:
        DatasetError: no place has it; the message says which file to put where.
    """
    cache = cache_home() / wanted.name
    if cache.is_dir() and wanted.found_in(cache):
        return wanted.reader(cache, options, f"files in {cache}")
    for name in wanted.archives:
        if (cache / name).is_file():
            return wanted.reader(cache / name, options, f"archive {cache / name}")
    reasons = []
    try:
        archive = cache / wanted.archives[0]
        fetch([wanted.url], archive, md5_is(wanted.md5))
        return wanted.reader(archive, options, f"downloaded from {wanted.url}, checksum verified")
    except DatasetError as error:
        reasons.append(error.got.removesuffix("."))
    if not offline():
        try:
            source = HubSource(
                wanted.hub, dataclasses.replace(options, label_column=options.label_column or wanted.hub_label)
            )
            if source.splits:
                return source
        except DatasetError as error:
            reasons.append(error.got.removesuffix("."))
    raise DatasetError(
        f"{wanted.name} is not on this machine and could not be fetched ({'; '.join(reasons)}).",
        expected=f"Expected {' or '.join(wanted.archives)}, or its unpacked files, in {cache}.",
        advice=f"Fetch {wanted.url} elsewhere and put it there, or give the path of the archive as the source.",
    )
