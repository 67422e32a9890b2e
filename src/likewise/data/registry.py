"""From what a caller names (``"mnist"``, a path, a hub id) to the source that reads it.

Order: a known name; then an existing file or folder, whose content decides the kind; then, for "owner/name" and
"hub:name", the Hugging Face hub. ("./mnist" is a path where "mnist" is the known set.) A new kind of source is one
file in ``sources/`` and one row in ``_NAMED`` or ``_KINDS``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from likewise.data.archive import ARCHIVE_SUFFIXES, unpacked
from likewise.data.source import Source, SourceOptions
from likewise.data.sources.cifar import CifarSource, find_cifar
from likewise.data.sources.coco import CocoSource, KarpathySource, find_coco, find_karpathy
from likewise.data.sources.csv_pixels import PixelCsvSource, is_pixel_csv
from likewise.data.sources.digits import DigitsSource
from likewise.data.sources.fetched import CIFAR10, CIFAR100, STL10, find_archive_set
from likewise.data.sources.flickr import FlickrSource, find_flickr
from likewise.data.sources.folder import FolderSource, has_images
from likewise.data.sources.hub import HubSource
from likewise.data.sources.idx import IdxSource, find_idx_files
from likewise.data.sources.named import FASHION_MNIST, MNIST, find_idx_set
from likewise.data.sources.shapes import ShapesSource
from likewise.data.sources.stl10 import Stl10Source, find_stl10
from likewise.data.sources.table import TableSource, find_tables
from likewise.data.sources.webdataset import WebDatasetSource, find_shards
from likewise.errors import DatasetError

__all__ = ["KNOWN_NAMES", "open_source"]

_NAMED: dict[str, Callable[[SourceOptions], Source]] = {
    "mnist": partial(find_idx_set, MNIST),
    "fashion-mnist": partial(find_idx_set, FASHION_MNIST),
    "cifar10": partial(find_archive_set, CIFAR10),
    "cifar100": partial(find_archive_set, CIFAR100),
    "stl10": partial(find_archive_set, STL10),
    "digits": DigitsSource,
    "shapes": ShapesSource,
}
_OTHER_SPELLINGS = {"fashionmnist": "fashion-mnist", "cifar-10": "cifar10", "cifar-100": "cifar100", "stl-10": "stl10"}
KNOWN_NAMES = tuple(_NAMED)


def _has_pixel_csv(folder: Path) -> bool:
    return any(is_pixel_csv(file) for file in sorted(folder.glob("*.csv")))


_Kinds = tuple[tuple[Callable[[Path], object], Callable[[Path, SourceOptions], Source]], ...]
# Captions and shards: a folder of them, or their file, which stands for the folder it lies in.
_LISTS: _Kinds = (
    (find_karpathy, KarpathySource),
    (find_coco, CocoSource),
    (find_flickr, FlickrSource),
    (find_shards, WebDatasetSource),
)

# Kinds of folder, most particular first: a folder of class folders may also hold a stray table.
_KINDS: _Kinds = (
    (find_idx_files, IdxSource),
    (find_cifar, CifarSource),
    (find_stl10, Stl10Source),
    (_has_pixel_csv, PixelCsvSource),
    *_LISTS,
    (find_tables, TableSource),
    (has_images, FolderSource),
)


def open_source(source: str | os.PathLike[str], options: SourceOptions) -> Source:
    """The source that a name or path means.

    Raises:
        DatasetError: it means nothing, or what it means is damaged.
    """
    given = os.fspath(source)
    spelled = given.lower().replace("_", "-") if isinstance(source, str) else ""
    known = _NAMED.get(_OTHER_SPELLINGS.get(spelled, spelled))
    if known is not None:
        return known(options)
    path = Path(given).expanduser()
    if given and path.exists():
        return _open_path(path, options)
    if given.startswith("hub:"):
        return HubSource(given.removeprefix("hub:"), options)
    if isinstance(source, str) and re.fullmatch(r"[\w][\w.-]*/[\w][\w.-]*(:[\w.-]+)?", given) and not path.suffix:
        return HubSource(given, options)
    raise DatasetError(
        f"There is no data set {given!r}: it is no known name, and no file or folder here.",
        expected=f"Known names: {', '.join(KNOWN_NAMES)}.",
        advice="Give one of them, the path of a folder, table or archive, or a hub id (owner/name or hub:name).",
    )


def _open_path(path: Path, options: SourceOptions) -> Source:
    if path.is_dir():
        for found, reader in _KINDS:
            if found(path):
                return reader(path, options)
        archive = next((file for file in sorted(path.iterdir()) if _is_archive(file)), None)
        if archive is not None:
            return _open_path(archive, options)
        inner = [entry for entry in path.iterdir() if entry.name[0] not in "._"]
        raise DatasetError(
            f"{path} holds {len(inner):,} entries, and none that is a data set.",
            expected="Expected one sub-folder of images per class, a table, or idx, CIFAR or STL-10 files.",
            advice="Give the folder that holds them.",
        )
    for found, reader in _LISTS:
        if found(path):
            return reader(path, options)
    if _is_archive(path):
        return _open_path(_only_folder(unpacked(path)), options)
    if find_idx_files(path.parent) and re.search(r"idx[13]-ubyte(\.gz)?$", path.name):
        return IdxSource(path.parent, options)
    if path.suffix.lower() == ".csv" and is_pixel_csv(path):
        return PixelCsvSource(path, options)
    if find_tables(path):
        return TableSource(path, options)
    raise DatasetError(
        f"{path} is of no kind that can be read.",
        expected="Expected a folder, a table (.csv, .tsv, .jsonl, .parquet), an archive (.tar.gz, .zip), or idx files.",
    )


def _is_archive(file: Path) -> bool:
    return file.is_file() and file.name.lower().endswith(ARCHIVE_SUFFIXES)


def _only_folder(folder: Path) -> Path:
    """The folder inside, where an archive holds nothing else: photos.zip with photos/cat/…"""
    inner = [entry for entry in folder.iterdir() if entry.name[0] not in "._"]
    return (
        inner[0]
        if len(inner) == 1 and inner[0].is_dir() and not find_cifar(folder) and not find_stl10(folder)
        else folder
    )
