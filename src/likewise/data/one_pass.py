"""One pass over a source in its order, in bounded memory: what embedding and indexing read.

``load_dataset`` looks at everything before it gives anything: it hashes the bytes, reads all headers, decides the shape.
A pass with a shape that is known beforehand needs none of that: images are decoded when their batch comes, a few batches
ahead on a pool of threads (Pillow decodes outside the interpreter's lock), and an image that cannot be decoded is met
there. Memory holds ``AHEAD`` batches of pixels beside the ids, labels and captions of a split.

The pixels are those of ``load_dataset`` with the same shape. Items without a label or caption count: they have pixels.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from likewise.data.dataset import BadImage
from likewise.data.decode import UnreadableImageError, decode, quiet_pillow
from likewise.data.decoded import bad_images_error
from likewise.data.encoded import EncodedItems
from likewise.data.load import default_memory_limit
from likewise.data.pixels import ArrayPixels
from likewise.data.registry import open_source
from likewise.data.source import UNLABELED, OnBadImage, RawSplit, SourceOptions, canonical_split, missing_split
from likewise.errors import DatasetError

__all__ = ["PassBatch", "SplitPass", "open_passes"]

AHEAD = 3  # batches that are decoded before they are asked for
MOST_BYTES = 2**30  # of encoded images of a table that may lie in memory
_CHUNK = 16  # images of one task

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class PassBatch:
    """Consecutive items of a split: those that could be decoded, and those that could not.

    Args:
        end: position behind the last item.
        positions: (B,) int64, ascending, of the images in ``pixels``.
        pixels: (B, C, H, W) uint8.
        bad: the items in between that are left out.
    """

    end: int
    positions: NDArray[np.int64]
    pixels: Tensor
    bad: tuple[BadImage, ...]


@dataclass(frozen=True)
class SplitPass:
    """One split of a source, to be gone through once.

    Args:
        split: its name.
        raw: what the source read.
        shape: (C, H, W) that images are brought to.
        on_bad_image: "stop" or "skip".
    """

    split: str
    raw: RawSplit
    shape: tuple[int, int, int]
    on_bad_image: OnBadImage

    def __len__(self) -> int:
        return len(self.raw.images)

    @property
    def bad(self) -> tuple[BadImage, ...]:
        """Items that were left out while reading, before any was decoded."""
        return self.raw.bad

    def labels(self, positions: NDArray[np.int64]) -> list[int | None]:
        """Of each item; None where it has none."""
        if self.raw.labels is None:
            return [None] * len(positions)
        return [None if label == UNLABELED else label for label in self.raw.labels[positions].tolist()]

    def class_names(self, labels: Sequence[int | None]) -> list[str | None]:
        """Of each label."""
        return [None if label is None else self.raw.class_names[label] for label in labels]

    def item(self, position: int) -> str:
        """What a person would look for."""
        images = self.raw.images
        return self.raw.ids[position] if isinstance(images, ArrayPixels) else images.name(position)

    def batches(self, batch_size: int, start: int = 0) -> Iterator[PassBatch]:
        """Items from ``start`` on, ``batch_size`` at a time.

        Raises:
            DatasetError: an item cannot be decoded, with "stop"; what stands before its batch has been given.
        """
        images = self.raw.images
        if isinstance(images, ArrayPixels):
            reader = images.shaped(self.shape)
            for first in range(start, len(self), batch_size):
                positions = np.arange(first, min(first + batch_size, len(self)))
                yield PassBatch(int(positions[-1]) + 1, positions, torch.from_numpy(reader.read(positions)), ())
            return
        for first, results in _decoded(images, self.shape, batch_size, start):
            bad = tuple(
                BadImage(first + offset, images.name(first + offset), found)
                for offset, found in enumerate(results)
                if isinstance(found, str)
            )
            if bad and self.on_bad_image == "stop":
                raise bad_images_error(bad, len(self))
            good = [offset for offset, found in enumerate(results) if not isinstance(found, str)]
            pixels = np.empty((len(good), *self.shape), np.uint8)
            for row, offset in enumerate(good):
                pixels[row] = results[offset]
            yield PassBatch(first + len(results), first + np.array(good, np.int64), torch.from_numpy(pixels), bad)


def _decoded(
    items: EncodedItems, shape: tuple[int, int, int], batch_size: int, start: int
) -> Iterator[tuple[int, list[Pixels | str]]]:
    """First position and, for each item of a batch, its pixels or why it has none."""

    def one(position: int) -> Pixels | str:
        try:
            return decode(items.read(position), *shape)
        except UnreadableImageError as error:
            return str(error)

    def chunk(first: int, end: int) -> list[Pixels | str]:
        return [one(position) for position in range(first, end)]

    pending: deque[tuple[int, list[Future[list[Pixels | str]]]]] = deque()
    with quiet_pillow(), ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for first in range(start, len(items), batch_size):
                end = min(first + batch_size, len(items))
                tasks = [pool.submit(chunk, at, min(at + _CHUNK, end)) for at in range(first, end, _CHUNK)]
                pending.append((first, tasks))
                if len(pending) > AHEAD:
                    yield _awaited(pending)
            while pending:
                yield _awaited(pending)
        finally:
            pool.shutdown(cancel_futures=True)


def _awaited(pending: deque[tuple[int, list[Future[list[Pixels | str]]]]]) -> tuple[int, list[Pixels | str]]:
    first, tasks = pending.popleft()
    return first, [found for task in tasks for found in task.result()]


def open_passes(
    source: str | os.PathLike[str],
    shape: tuple[int, int, int],
    *,
    split: str | None = None,
    on_bad_image: OnBadImage = "stop",
    memory_limit: int | None = None,
) -> list[SplitPass]:
    """The splits of a source, "train" first, each ready to be gone through.

    Args:
        source: as ``load_dataset`` takes it.
        shape: (C, H, W) that images are brought to, as ``load_dataset`` does it.
        split: one of them only.
        on_bad_image: "stop" raises at an item that cannot be decoded, "skip" leaves it out and names it.
        memory_limit: bytes; the images of a larger table are copied into one file of the cache, from where they are
            read one by one. Default 1 GiB, or half of the memory where that is less.

    Raises:
        DatasetError: no such source or split, or it is damaged.
    """
    if on_bad_image not in ("stop", "skip"):
        raise DatasetError(f"on_bad_image is {on_bad_image!r}.", expected='Expected "stop" or "skip".')
    limit = min(default_memory_limit(), MOST_BYTES) if memory_limit is None else memory_limit
    opened = open_source(source, SourceOptions(on_bad_image, limit))
    wanted = opened.splits if split is None else (canonical_split(split),)
    if split is not None and wanted[0] not in opened.splits:
        raise missing_split(opened, wanted[0])
    return [SplitPass(name, opened.read(name), shape, on_bad_image) for name in wanted]
