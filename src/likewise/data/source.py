"""What every kind of source gives: its splits, and for one split the raw pixels with what is known about them.

A source (idx files, a folder, a table …) only finds and reads. What follows is the same for all: items without a label
are named or left out, encoded images are checked and decoded, and the result is one tensor or a stream (``load.py``).
So a new kind of source is one file in ``sources/`` and one row in ``registry.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from likewise.data.dataset import BadImage
from likewise.data.encoded import EncodedItems
from likewise.data.pixels import ArrayPixels
from likewise.errors import DatasetError

__all__ = [
    "UNLABELED",
    "OnBadImage",
    "RawSplit",
    "Source",
    "SourceOptions",
    "canonical_split",
    "missing_split",
    "row_ids",
]

OnBadImage = Literal["stop", "skip"]
UNLABELED = -1  # the label of an item that should have one and has none; the Hugging Face convention too

_SPLIT_WORDS = {
    "train": ("train", "training", "trn", "background"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "tst", "t10k", "eval", "evaluation"),
    "unlabeled": ("unlabeled", "unlabelled", "unsupervised"),
}


@dataclass(frozen=True)
class SourceOptions:
    """What a caller may say about how to read a source.

    Args:
        on_bad_image: "stop" at a bad item, or "skip" it and list it.
        memory_limit: bytes that decoded images may take.
        image_column, label_column, caption_column: of a table, where they are not among the usual names.
    """

    on_bad_image: OnBadImage = "stop"
    memory_limit: int = 1 << 62
    image_column: str | None = None
    label_column: str | None = None
    caption_column: str | None = None


@dataclass(frozen=True, eq=False)
class RawSplit:
    """One split as it lies in the source.

    Args:
        images: pixels, or encoded images that still have to be decoded.
        labels: (N,) int64, ``UNLABELED`` where an item has none; None where the split has no labels at all.
        class_names: the same for all splits of a source.
        captions: per image, or None.
        ids: unique names, stable between loads.
        bad: items that were left out while reading (only with on_bad_image="skip").
        positions: (N,) places of the items in the source, where some were left out; None: 0..N-1.
        incomplete: position → why an item that is there lacks what it needs ("without a caption").
        origin: one line.
    """

    images: ArrayPixels | EncodedItems
    labels: NDArray[np.int64] | None
    class_names: tuple[str, ...]
    ids: tuple[str, ...]
    origin: str
    captions: tuple[tuple[str, ...], ...] | None = None
    bad: tuple[BadImage, ...] = ()
    positions: NDArray[np.int64] | None = None
    incomplete: Mapping[int, str] = field(default_factory=dict)


class Source(Protocol):
    """A place where images come from."""

    @property
    def name(self) -> str:
        """Of the data set."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that ``read`` knows, "train" first where there is one."""

    def read(self, split: str) -> RawSplit:
        """One split; raises DatasetError where it is damaged."""


def canonical_split(word: str) -> str:
    """ "val", "dev" and "valid" are "validation", "t10k" is "test", and so on; other words stay as they are.

    Example:
        >>> canonical_split("Val"), canonical_split("t10k"), canonical_split("extra")
        ('validation', 'test', 'extra')
    """
    lowered = word.lower()
    for name, words in _SPLIT_WORDS.items():
        if lowered in words:
            return name
    return lowered


def split_in_name(stem: str) -> str | None:
    """The split that a file name speaks of: "fashion-mnist_test" gives "test"; None if it names none.

    Example:
        >>> split_in_name("fashion-mnist_test"), split_in_name("train-00000-of-00002"), split_in_name("contest")
        ('test', 'train', None)
    """
    known = {word: name for name, words in _SPLIT_WORDS.items() for word in words}
    for word in re.split(r"[^a-z0-9]+", stem.lower()):
        if word in known:
            return known[word]
    return None


def in_order(splits: Sequence[str]) -> tuple[str, ...]:
    """Splits in the order train, validation, test, unlabeled, then others by name."""
    usual = list(_SPLIT_WORDS)
    return tuple(sorted(set(splits), key=lambda name: (usual.index(name) if name in usual else len(usual), name)))


def missing_split(source: Source, split: str) -> DatasetError:
    """The error for a split that a source does not have."""
    return DatasetError(f"{source.name} has no split {split!r}.", expected=f"It has: {', '.join(source.splits)}.")


def row_ids(split: str, count: int) -> tuple[str, ...]:
    """Names for items that have none of their own: "train/00017"."""
    return tuple([f"{split}/{i:05d}" for i in range(count)])
