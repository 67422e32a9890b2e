"""One split of a data set: images as one uint8 tensor, labels, captions and stable ids.

A batch is an index. Images that fit in memory are a single (N, C, H, W) uint8 tensor (Fashion-MNIST: 47 MB, CIFAR-10:
154 MB), and ``take`` is one ``index_select``: about 0.04 ms for 128 images. Images that do not fit are a
``StreamedImages`` with the same ``shape``, ``take`` and ``batches``, so that no code after loading asks which it is.

Invariants, checked when an object is made: images are uint8 and 4-D, labels are int64 in 0..K-1, and labels, captions
and ids have one entry per image; ids are unique.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from likewise.data.streamed import StreamedImages
from likewise.errors import DatasetError
from likewise.models.device import to_device

__all__ = ["BadImage", "ImageDataset"]


@dataclass(frozen=True)
class BadImage:
    """An item that could not be used, and why.

    Args:
        position: place in the source's split, counted from 0.
        item: what a person would look for: a file name, or "train.csv row 17" (rows counted from 1 below the header).
        reason: the end of a sentence that starts with the item's name and "is": "not a readable image (…)".
    """

    position: int
    item: str
    reason: str


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Images with what is known about each of them.

    Args:
        name: of the data set, "fashion-mnist".
        split: "train", "validation", "test", "unlabeled" or the source's own word.
        images: (N, C, H, W) uint8, 0..255; a tensor, or ``StreamedImages``.
        labels: (N,) int64, 0..K-1, or None.
        class_names: K names, K being the number of classes of the whole source; () without labels.
        captions: one tuple of captions per image, or None.
        ids: one unique, stable name per image: "train/00017" or the file's relative path.
        fingerprint: sha256 (64 hex digits) over content, labels and decoding settings.
        origin: one line that says where the data came from.
        bad_images: items of the source that were left out.

    Raises:
        DatasetError: one of the invariants above does not hold.

    Example:
        >>> images = torch.zeros(4, 1, 2, 2, dtype=torch.uint8)
        >>> data = ImageDataset("toy", "train", images, torch.tensor([0, 1, 0, 1]), ("cat", "dog"), None,
        ...                     ("a", "b", "c", "d"), "0" * 64, "made by hand")
        >>> len(data), data.image_shape, data.num_classes
        (4, (1, 2, 2), 2)
        >>> data.subset(torch.tensor([3, 0])).ids
        ('d', 'a')
    """

    name: str
    split: str
    images: Tensor | StreamedImages
    labels: Tensor | None
    class_names: tuple[str, ...]
    captions: tuple[tuple[str, ...], ...] | None
    ids: tuple[str, ...]
    fingerprint: str
    origin: str
    bad_images: tuple[BadImage, ...] = ()

    def __post_init__(self) -> None:
        shape = tuple(self.images.shape)
        if len(shape) != 4 or self.images.dtype != torch.uint8:
            raise DatasetError(
                f"The images of {self.name} have shape {shape} and type {self.images.dtype}.",
                expected="Expected (N, C, H, W) and torch.uint8.",
            )
        for what, given in (("labels", self.labels), ("captions", self.captions), ("ids", self.ids)):
            if given is not None and len(given) != shape[0]:
                raise DatasetError(
                    f"{self.name} has {len(given):,} {what} for {shape[0]:,} images.", expected="Expected one each."
                )
        if len(set(self.ids)) != len(self.ids):
            raise DatasetError(f"Two images of {self.name} have the same id.", expected="Expected unique ids.")
        if self.labels is not None:
            self._check_labels(self.labels)

    def _check_labels(self, labels: Tensor) -> None:
        if labels.dtype != torch.int64 or labels.ndim != 1:
            raise DatasetError(
                f"The labels of {self.name} have shape {tuple(labels.shape)} and type {labels.dtype}.",
                expected="Expected (N,) and torch.int64.",
            )
        wrong = (labels < 0) | (labels >= len(self.class_names))
        if bool(wrong.any()):
            position = int(wrong.nonzero()[0])
            raise DatasetError(
                f"Image {self.ids[position]} (position {position:,}) has label {int(labels[position])}.",
                expected=f"Expected 0 to {len(self.class_names) - 1}: {self.name} has {len(self.class_names)} classes.",
                advice="Correct the label or the list of classes.",
            )

    def __len__(self) -> int:
        return int(self.images.shape[0])

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        _, channels, height, width = self.images.shape
        return int(channels), int(height), int(width)

    @property
    def num_classes(self) -> int:
        """How many classes the source has; 0 without labels."""
        return len(self.class_names)

    @property
    def streamed(self) -> bool:
        """Whether the images are decoded on demand instead of held in memory."""
        return isinstance(self.images, StreamedImages)

    def subset(self, indices: Tensor, split: str | None = None) -> ImageDataset:
        """The images at ``indices``, in that order.

        Args:
            indices: (M,) int64, each in 0..N-1.
            split: a new name of the split; default: the present one.

        Raises:
            DatasetError: an index is out of range, or occurs twice.
        """
        indices = indices.to("cpu", torch.int64)
        if indices.numel() and (int(indices.min()) < 0 or int(indices.max()) >= len(self)):
            raise DatasetError(
                f"A subset of {self.name} asks for image {int(indices.max())} (lowest {int(indices.min())}).",
                expected=f"Expected indices from 0 to {len(self) - 1}.",
            )
        chosen = indices.tolist()
        images = self.images.select(indices) if isinstance(self.images, StreamedImages) else self.take(indices)
        digest = hashlib.sha256(self.fingerprint.encode() + indices.contiguous().numpy().tobytes())
        return dataclasses.replace(
            self,
            split=split or self.split,
            images=images,
            labels=None if self.labels is None else self.labels[indices.to(self.labels.device)],
            captions=None if self.captions is None else tuple(self.captions[i] for i in chosen),
            ids=tuple(self.ids[i] for i in chosen),
            fingerprint=digest.hexdigest(),
        )

    def take(self, indices: Tensor) -> Tensor:
        """One batch: the images at ``indices`` as (B, C, H, W) uint8, on the device where the images are."""
        if isinstance(self.images, StreamedImages):
            return self.images.take(indices)
        device = self.images.device
        return self.images.index_select(0, to_device(indices, device, torch.int64))

    def batches(self, index_batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Go through batches in the order given.

        Streamed images are decoded ahead by worker processes; the order and the pixels are those of ``take``.

        Args:
            index_batches: (B,) int64 tensors, as ``shuffled_batches`` makes them.

        Yields:
            (indices, images): the (B,) tensor given and (B, C, H, W) uint8.
        """
        if isinstance(self.images, StreamedImages):
            yield from self.images.batches(index_batches)
        else:
            for indices in index_batches:
                yield indices, self.take(indices)

    def to(self, device: torch.device | str) -> ImageDataset:
        """The same data with images and labels on ``device``; streamed images stay where they are."""
        images = self.images if isinstance(self.images, StreamedImages) else self.images.to(device)
        return dataclasses.replace(self, images=images, labels=None if self.labels is None else self.labels.to(device))
