"""``load_dataset``: one split of any source as an ``ImageDataset``, in memory or streamed.

What happens to every split, in this order: read; items without a label named or left out; encoded images inspected and
decoded (or prepared for decoding); a fingerprint taken over content, labels and settings. Fashion-MNIST's 60,000
images take 0.6 s, most of it gzip.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from likewise.data.cache import cache_home
from likewise.data.dataset import BadImage, ImageDataset
from likewise.data.decoded import (
    DecodedPixels,
    Geometry,
    bad_images_error,
    check_all,
    content_digest,
    decode_all,
    inspect,
)
from likewise.data.encoded import EncodedItems, SelectedItems, on_disk
from likewise.data.pixels import ArrayPixels
from likewise.data.prompts import caption_by_class
from likewise.data.registry import open_source
from likewise.data.source import UNLABELED, OnBadImage, RawSplit, Source, SourceOptions, canonical_split
from likewise.data.streamed import StreamedImages
from likewise.errors import DatasetError
from likewise.launch import launched_here

__all__ = ["LoadSettings", "available_splits", "default_memory_limit", "following", "load_dataset", "load_split"]


@dataclass(frozen=True)
class LoadSettings:
    """How the images of a split are to come out.

    Args:
        on_bad_image: "stop" or "skip".
        memory_limit: bytes; a larger split is streamed.
        image_size: side of the square that images are brought to; None keeps a shared size.
        channels: 1, 3 or None for what the images have.
        geometry: (C, H, W) decided before, for the splits that must agree with train.
    """

    on_bad_image: OnBadImage = "stop"
    memory_limit: int = 1 << 62
    image_size: int | None = None
    channels: int | None = None
    geometry: Geometry | None = None


def default_memory_limit() -> int:
    """Half of the machine's memory, or of what the container may use, in bytes; shared by the processes of a run."""
    total = int(psutil.virtual_memory().total)
    # There is no such file outside Linux containers, and "max" in it where there is no limit.
    with contextlib.suppress(OSError, ValueError):
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text("ascii")))
    return total // 2 // launched_here()


def load_dataset(
    source: str | os.PathLike[str],
    split: str = "train",
    *,
    image_size: int | None = None,
    on_bad_image: OnBadImage = "stop",
    memory_limit: int | None = None,
    channels: int | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    caption_column: str | None = None,
    caption_templates: Sequence[str] = (),
) -> ImageDataset:
    """Load one split of a data set.

    Args:
        source: a known name ("mnist", "fashion-mnist", "cifar10", "cifar100", "stl10", "digits"); a path (idx files,
            a CIFAR or STL-10 archive, a pixel CSV, a folder with one sub-folder per class, a CSV, JSONL or Parquet
            table); or a Hugging Face hub id ("owner/name" or "hub:name").
        split: "train", "validation", "test", "unlabeled", or what the source has ("val" and "dev" mean validation).
        image_size: side in pixels; the shorter side is resized to it and the centre cut out. Default: the images' own
            size if they share one, else the median shorter side, at most 224.
        on_bad_image: "stop" raises at items that are unreadable or without a label; "skip" leaves them out and lists
            them in ``bad_images``.
        memory_limit: bytes; images that need more when decoded are streamed. Default half of the memory.
        channels: 1 (grey) or 3 (RGB). Default 1 if all images are grey, else 3.
        image_column, label_column, caption_column: of a table, where they are not among the usual names.
        caption_templates: sentences with ``{}`` for the class name, to be the captions of images that have labels.

    Returns:
        The split, with uint8 images (N, C, H, W).

    Raises:
        DatasetError: no such source or split; it cannot be had; it is damaged; or an item is bad.

    Example:
        >>> data = load_dataset("digits")
        >>> data.images.shape, data.labels.dtype, data.class_names[3]
        (torch.Size([1797, 1, 8, 8]), torch.int64, '3')
    """
    settings, options = prepare(
        image_size,
        on_bad_image,
        memory_limit,
        channels,
        image_column=image_column,
        label_column=label_column,
        caption_column=caption_column,
    )
    data = load_split(open_source(source, options), canonical_split(split), settings)
    return caption_by_class(data, caption_templates) if caption_templates else data


def available_splits(source: str | os.PathLike[str]) -> tuple[str, ...]:
    """The splits that a source has, "train" first.

    Raises:
        DatasetError: no such source.

    Example:
        >>> available_splits("digits")
        ('train',)
    """
    return open_source(source, SourceOptions()).splits


def prepare(
    image_size: int | None,
    on_bad_image: OnBadImage,
    memory_limit: int | None,
    channels: int | None,
    *,
    image_column: str | None = None,
    label_column: str | None = None,
    caption_column: str | None = None,
) -> tuple[LoadSettings, SourceOptions]:
    """Check what a caller asked for; the error names the argument."""
    if on_bad_image not in ("stop", "skip"):
        raise DatasetError(f"on_bad_image is {on_bad_image!r}.", expected='Expected "stop" or "skip".')
    if image_size is not None and not 1 <= image_size <= 4096:
        raise DatasetError(f"image_size is {image_size}.", expected="Expected 1 to 4096 pixels.")
    if channels not in (None, 1, 3):
        raise DatasetError(f"channels is {channels}.", expected="Expected 1 (grey), 3 (RGB) or None.")
    if memory_limit is not None and memory_limit < 0:
        raise DatasetError(f"memory_limit is {memory_limit} bytes.", expected="Expected 0 or more.")
    limit = default_memory_limit() if memory_limit is None else memory_limit
    options = SourceOptions(on_bad_image, limit, image_column, label_column, caption_column)
    return LoadSettings(on_bad_image, limit, image_size, channels), options


def load_split(source: Source, split: str, settings: LoadSettings) -> ImageDataset:
    """One split of an opened source."""
    raw = source.read(split)
    total = len(raw.images) + len(raw.bad)
    if total == 0:
        raise DatasetError(f"The split {split!r} of {source.name} holds no images.", expected="Expected at least one.")
    raw = _without_incomplete(raw, settings, total)
    if isinstance(raw.images, ArrayPixels):
        images, fingerprint = _from_arrays(raw.images, raw, settings)
    else:
        raw, images, fingerprint = _from_encoded(raw.images, raw, settings, total)
    if len(images) == 0:
        raise bad_images_error(raw.bad, total)
    return ImageDataset(
        name=source.name,
        split=split,
        images=images,
        labels=None if raw.labels is None else torch.from_numpy(raw.labels),
        class_names=() if raw.labels is None else raw.class_names,
        captions=raw.captions,
        ids=raw.ids,
        fingerprint=fingerprint,
        origin=raw.origin,
        bad_images=raw.bad,
    )


def following(settings: LoadSettings, loaded: ImageDataset) -> LoadSettings:
    """Settings for the next split of the same source: the same shape, and the memory that is left."""
    used = 0 if loaded.streamed else len(loaded) * math.prod(loaded.image_shape)
    left = max(0, settings.memory_limit - used)
    return dataclasses.replace(settings, geometry=Geometry(*loaded.image_shape), memory_limit=left)


def _without_incomplete(raw: RawSplit, settings: LoadSettings, total: int) -> RawSplit:
    """Deal with items that are there but have no label or caption; a split in which no item has a label has none."""
    reasons = dict(raw.incomplete)
    if raw.labels is not None:
        missing = np.flatnonzero(raw.labels == UNLABELED).tolist()
        if len(missing) == len(raw.labels):
            raw = dataclasses.replace(raw, labels=None)
        else:
            reasons |= dict.fromkeys(missing, "without a label")
    if not reasons:
        return raw
    name = (lambda i: raw.ids[i]) if isinstance(raw.images, ArrayPixels) else raw.images.name
    bad = [BadImage(position, name(position), reasons[position]) for position in sorted(reasons)]
    if settings.on_bad_image == "stop":
        raise bad_images_error(bad, total, "items")
    return _leave_out(raw, bad)


def _leave_out(raw: RawSplit, bad: Sequence[BadImage]) -> RawSplit:
    """The split without the items at the places of ``bad``, which join its list with their places in the source."""
    keep = np.delete(np.arange(len(raw.images)), [item.position for item in bad])
    chosen = keep.tolist()
    positions = np.arange(len(raw.images)) if raw.positions is None else raw.positions
    moved = [dataclasses.replace(item, position=int(positions[item.position])) for item in bad]
    return dataclasses.replace(
        raw,
        images=raw.images.keep(keep) if isinstance(raw.images, ArrayPixels) else SelectedItems(raw.images, keep),
        labels=None if raw.labels is None else raw.labels[keep],
        ids=tuple(raw.ids[i] for i in chosen),
        captions=None if raw.captions is None else tuple(raw.captions[i] for i in chosen),
        bad=tuple(sorted((*raw.bad, *moved), key=lambda item: item.position)),
        positions=positions[keep],
        incomplete={},
    )


def _from_arrays(
    pixels: ArrayPixels, raw: RawSplit, settings: LoadSettings
) -> tuple[torch.Tensor | StreamedImages, str]:
    channels, height, width = pixels.shape[1:]
    if settings.geometry is not None:
        channels, height, width = dataclasses.astuple(settings.geometry)
    elif settings.image_size is not None:
        height = width = settings.image_size
    pixels = pixels.shaped((settings.channels or channels, height, width))
    digest = hashlib.sha256()
    pixels.update(digest)
    fingerprint = _fingerprint(digest.hexdigest(), raw, pixels.shape[1:])
    if math.prod(pixels.shape) > settings.memory_limit:
        return StreamedImages(pixels), fingerprint
    return torch.from_numpy(pixels.read_all()), fingerprint


def _from_encoded(
    items: EncodedItems, raw: RawSplit, settings: LoadSettings, total: int
) -> tuple[RawSplit, torch.Tensor | StreamedImages, str]:
    content = content_digest(items)
    geometry = settings.geometry
    bad: tuple[BadImage, ...] = ()
    if geometry is None:
        inspection = inspect(items, content, settings.image_size, settings.channels)
        geometry, bad = inspection.geometry, inspection.bad
    shape = dataclasses.astuple(geometry)
    decoded: NDArray[np.uint8] | None = None
    if len(items) * math.prod(shape) <= settings.memory_limit:
        decoded, bad = decode_all(items, content, geometry)
    elif settings.on_bad_image == "skip":
        bad = check_all(items, content, geometry)
    if bad and settings.on_bad_image == "stop":
        raise bad_images_error(bad, total)
    kept = _leave_out(raw, bad) if bad else raw
    fingerprint = _fingerprint(content, kept, shape)
    if decoded is not None:
        return kept, torch.from_numpy(decoded), fingerprint
    if items.in_memory:
        items = on_disk(items, cache_home() / "blobs" / f"{content}.blob")
    if bad:
        items = SelectedItems(items, np.delete(np.arange(len(items)), [item.position for item in bad]))
    return kept, StreamedImages(DecodedPixels(items, geometry)), fingerprint


def _fingerprint(content: str, raw: RawSplit, shape: tuple[int, ...]) -> str:
    digest = hashlib.sha256(f"{content}|{shape}|{raw.class_names}".encode())
    if raw.labels is not None:
        digest.update(np.ascontiguousarray(raw.labels).tobytes())
    if raw.captions is not None:
        digest.update(repr(raw.captions).encode())
    for item in raw.bad:
        digest.update(f"|{item.position}".encode())
    return digest.hexdigest()
