"""MNIST and Fashion-MNIST by name: found on this machine or fetched, and in both cases checked.

Places, in order: the cache (``LIKEWISE_HOME/NAME``); ``/usr/share/datasets/NAME`` where Debian's package is installed;
that package, fetched without root; public mirrors over https; the Hugging Face hub. Whatever the way, what is kept in
the cache are the four idx files, and the truth is the sha256 of their unpacked content: how a file was compressed, or
whether it came as idx or as PNG in Parquet, makes no difference.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch

from likewise.data.cache import cache_home, make_folder, replace_when_complete
from likewise.data.download import fetch
from likewise.data.source import SourceOptions
from likewise.data.sources.debian import DebianError, fetch_package
from likewise.data.sources.idx import IdxSource
from likewise.errors import DatasetError, LikewiseError

__all__ = ["FASHION_MNIST", "MNIST", "IdxSet", "find_idx_set"]

SYSTEM_FOLDER = Path("/usr/share/datasets")


@dataclass(frozen=True)
class IdxSet:
    """A set of idx files.

    Args:
        name: of the set and of its folder in the cache.
        sha256: file name without .gz → sha256 of the unpacked content.
        debian: name of the package that holds the files, or "".
        mirrors: https addresses that end with "/"; the file names with .gz are added.
        hub: dataset id on the Hugging Face hub whose rows are in the original order.
    """

    name: str
    sha256: dict[str, str] = field(repr=False)
    debian: str
    mirrors: tuple[str, ...]
    hub: str


FASHION_MNIST = IdxSet(
    "fashion-mnist",
    {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
    "dataset-fashion-mnist",
    ("https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",),
    "zalando-datasets/fashion_mnist",
)
MNIST = IdxSet(
    "mnist",
    {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "",
    ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    "ylecun/mnist",
)


def find_idx_set(wanted: IdxSet, options: SourceOptions) -> IdxSource:
    """The set, from the first place that has it.

    Raises:
        DatasetError: no place has it; the message says which files to put where, and why each way failed.
    """
    cache = cache_home() / wanted.name
    if _complete(wanted, cache):
        return _source(wanted, cache, options, _remembered(cache))
    installed = SYSTEM_FOLDER / wanted.name
    if _complete(wanted, installed):
        return _source(wanted, installed, options, f"installed in {installed}")
    ways: list[tuple[str, Callable[[IdxSet, Path], str]]] = [("mirrors", _from_mirrors), ("hub", _from_hub)]
    if wanted.debian:
        # The issue of trust is the same for all: the checksums. Debian's mirror network is the least likely to be down.
        ways = [("Debian package", _from_debian), ("hub", _from_hub), ("mirrors", _from_mirrors)]
    failed = []
    for title, way in ways:
        try:
            origin = way(wanted, cache)
        except LikewiseError as error:
            failed.append(f"{title}: {error.got.removesuffix('.')}")
        except (DebianError, OSError) as error:
            failed.append(f"{title}: {error}")
        else:
            with replace_when_complete(cache / "origin.txt") as beside:
                beside.write_text(origin, "utf-8")
            return _source(wanted, cache, options, origin)
    raise DatasetError(
        f"{wanted.name} is not on this machine and could not be fetched ({'; '.join(failed)}).",
        expected=f"Expected {', '.join(f'{name}.gz' for name in wanted.sha256)} in {cache}.",
        advice="Put them there (unpacked is fine too), or give the folder that holds them as the source.",
    )


def verify(path: Path, expected: str) -> str | None:
    """None if the unpacked content of ``path`` has this sha256, else what is wrong."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        return f"it is a damaged gzip file ({error})"
    return None if found == expected else f"its unpacked content has sha256 {found}, expected {expected}"


def _complete(wanted: IdxSet, folder: Path) -> bool:
    return all((folder / name).exists() or (folder / f"{name}.gz").exists() for name in wanted.sha256)


def _remembered(cache: Path) -> str:
    try:
        return (cache / "origin.txt").read_text("utf-8")
    except OSError:
        return f"files in {cache}"


def _source(wanted: IdxSet, folder: Path, options: SourceOptions, origin: str) -> IdxSource:
    return IdxSource(folder, options, wanted.name, f"{origin}, checksums verified", wanted.sha256)


def _from_debian(wanted: IdxSet, cache: Path) -> str:
    with tempfile.TemporaryDirectory(dir=make_folder(cache_home()), prefix=".package-") as scratch:
        version = fetch_package(wanted.debian, Path(scratch))
        for name, expected in wanted.sha256.items():
            found = next(Path(scratch).rglob(f"{name}*"), None)
            wrong = "it is not in the package" if found is None else verify(found, expected)
            if found is None or wrong:
                raise DebianError(f"{name}: {wrong}")
            with replace_when_complete(cache / found.name) as beside:
                shutil.copyfile(found, beside)
    return f"Debian package {wanted.debian} {version}"


def _from_mirrors(wanted: IdxSet, cache: Path) -> str:
    for name, expected in wanted.sha256.items():
        if not (cache / name).exists():
            addresses = [f"{mirror}{name}.gz" for mirror in wanted.mirrors]
            fetch(addresses, cache / f"{name}.gz", partial(verify, expected=expected))
    return f"downloaded from {wanted.mirrors[0]} (or a copy of it)"


def _from_hub(wanted: IdxSet, cache: Path) -> str:
    """The hub's PNG images as the idx files that they once were; the checksum proves that they are the same."""
    from likewise.data.load import LoadSettings, load_split
    from likewise.data.sources.hub import HubSource

    source = HubSource(wanted.hub, SourceOptions())
    for split, prefix in (("train", "train"), ("test", "t10k")):
        data = load_split(source, split, LoadSettings(channels=1))
        count, (_, height, width) = len(data), data.image_shape
        pixels = data.take(torch.arange(count)).numpy()
        labels = b"" if data.labels is None else data.labels.numpy().astype(np.uint8).tobytes()
        for name, header, content in (
            (f"{prefix}-images-idx3-ubyte", struct.pack(">IIII", 0x803, count, height, width), pixels.tobytes()),
            (f"{prefix}-labels-idx1-ubyte", struct.pack(">II", 0x801, count), labels),
        ):
            found = hashlib.sha256(header + content).hexdigest()
            if found != wanted.sha256[name]:
                raise DatasetError(f"{wanted.hub} gives other images or labels for {name}: sha256 {found}.")
            with replace_when_complete(cache / name) as beside:
                beside.write_bytes(header + content)
    return f"Hugging Face hub {wanted.hub}"
