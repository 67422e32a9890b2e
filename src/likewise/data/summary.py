"""What is in a source, for a person who wants to know before training: ``likewise data SOURCE``.

Every split is loaded with the settings that training would use, so a summary without complaints means that a run will
not stop for its data. Bad items are listed here instead of stopping.
"""

from __future__ import annotations

import dataclasses
import math
import os
from dataclasses import dataclass
from typing import Any

import torch

from likewise.data.dataset import BadImage, ImageDataset
from likewise.data.load import following, load_split, prepare
from likewise.data.registry import open_source
from likewise.data.source import OnBadImage

__all__ = ["DatasetSummary", "SplitSummary", "describe"]


@dataclass(frozen=True)
class SplitSummary:
    """One split in numbers.

    Args:
        split: its name.
        images: how many can be used.
        image_shape: (C, H, W).
        class_counts: class name → images, in the order of the labels; {} without labels.
        without_label: images of a split that has no labels.
        captions: how many there are in all.
        bad_images: items that would be left out, or stop a run.
        bytes: of the decoded images.
        streamed: whether they are too many for the memory limit.
        fingerprint: sha256 over content, labels and settings.
        origin: one line that says where it came from.
    """

    split: str
    images: int
    image_shape: tuple[int, int, int]
    class_counts: dict[str, int]
    without_label: int
    captions: int
    bad_images: tuple[BadImage, ...]
    bytes: int
    streamed: bool
    fingerprint: str
    origin: str


@dataclass(frozen=True)
class DatasetSummary:
    """A source in numbers: its name and its splits."""

    name: str
    splits: tuple[SplitSummary, ...]

    def as_dict(self) -> dict[str, Any]:
        """The same as dictionaries, lists, numbers and text: what JSON can hold."""
        splits = []
        for split in self.splits:
            fields = dataclasses.asdict(split)
            splits.append(fields | {"image_shape": list(split.image_shape), "bad_images": list(fields["bad_images"])})
        return {"name": self.name, "splits": splits}


def describe(
    source: str | os.PathLike[str],
    *,
    image_size: int | None = None,
    on_bad_image: OnBadImage = "skip",
    memory_limit: int | None = None,
    channels: int | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    caption_column: str | None = None,
) -> DatasetSummary:
    """Load every split of a source and say what is in it.

    Args:
        source, image_size, memory_limit, channels, image_column, label_column, caption_column: as for ``load_dataset``.
        on_bad_image: "skip" lists bad items; "stop" raises at them.

    Raises:
        DatasetError: as ``load_dataset``.

    Example:
        >>> summary = describe("digits")
        >>> summary.splits[0].images, summary.splits[0].class_counts["3"]
        (1797, 183)
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
    opened = open_source(source, options)
    splits = []
    for split in opened.splits:
        data = load_split(opened, split, settings)
        settings = dataclasses.replace(following(settings, data), memory_limit=settings.memory_limit)
        splits.append(_summary(data))
    return DatasetSummary(opened.name, tuple(splits))


def _summary(data: ImageDataset) -> SplitSummary:
    counts: dict[str, int] = {}
    if data.labels is not None:
        per_class = torch.bincount(data.labels, minlength=data.num_classes).tolist()
        counts = dict(zip(data.class_names, per_class, strict=True))
    return SplitSummary(
        split=data.split,
        images=len(data),
        image_shape=data.image_shape,
        class_counts=counts,
        without_label=len(data) if data.labels is None else 0,
        captions=sum(map(len, data.captions or ())),
        bad_images=data.bad_images,
        bytes=len(data) * math.prod(data.image_shape),
        streamed=data.streamed,
        fingerprint=data.fingerprint,
        origin=data.origin,
    )
