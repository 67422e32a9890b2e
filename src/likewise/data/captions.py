"""The captions of a data set as index arithmetic: which caption is of which image, and which pairs of a batch are alike.

Two pictures that carry one same caption, or are the same pixels, belong together. Left to themselves two such pairs in
one batch are each other's negatives, and the loss pushes apart what is equal. ``Captions`` finds them: for a batch as
equal ids (a loss that takes ids then counts them as positives), or for a whole epoch as batches that hold no two of them.
"""

from __future__ import annotations

import hashlib
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from likewise.data.dataset import ImageDataset
from likewise.errors import DatasetError

__all__ = ["Captions", "image_digests"]

_CHUNK = 512


def image_digests(data: ImageDataset) -> list[bytes]:
    """A digest of each image's pixels: equal for equal images. 1 GB of pixels takes about a second."""
    digests: list[bytes] = []
    for _, images in data.batches(torch.arange(len(data)).split(_CHUNK)):
        rows = np.ascontiguousarray(images.cpu().numpy())
        digests += [hashlib.blake2b(row.data, digest_size=16).digest() for row in rows]
    return digests


class Captions:
    """Captions of a data set.

    Args:
        data: every image with at least one caption.

    Attributes:
        texts: the different captions, in the order of their first occurrence.
        text: (T,) int64, caption → its place in ``texts``.
        image: (T,) int64, caption → its image.
        first: (N + 1,) int64; the captions of image i are ``first[i]`` to ``first[i + 1] - 1``.

    Raises:
        DatasetError: there are no captions, or an image has none.

    Example:
        >>> from likewise.data import load_dataset
        >>> captions = Captions(load_dataset("shapes", "validation"))
        >>> len(captions.image), captions.texts[0]
        (1440, 'a blue circle on the left')
    """

    def __init__(self, data: ImageDataset) -> None:
        if data.captions is None:
            raise DatasetError(
                f"{data.name} has no captions.",
                expected="Learning from images and texts needs at least one caption for every image.",
                advice="Give a table with a caption column, or make captions of the class names with "
                "data.caption_templates.",
            )
        counts = np.array([len(given) for given in data.captions], np.int64)
        if len(counts) and counts.min() == 0:
            missing = np.flatnonzero(counts == 0)
            raise DatasetError(
                f"{data.ids[missing[0]]} has no caption. {len(missing):,} of {len(counts):,} images.",
                expected="Expected at least one caption for every image.",
                advice="Write one, or pass --on-bad-image skip to leave such images out.",
            )
        places: dict[str, int] = {}
        self.text = torch.tensor(
            [places.setdefault(caption, len(places)) for given in data.captions for caption in given], dtype=torch.int64
        )
        self.texts = tuple(places)
        self.first = torch.from_numpy(np.concatenate([[0], np.cumsum(counts)]))
        self.image = torch.from_numpy(np.repeat(np.arange(len(counts)), counts))
        self._data = data

    def __len__(self) -> int:
        """Number of images."""
        return len(self.first) - 1

    @cached_property
    def _copies(self) -> NDArray[np.int64]:
        """(N,) equal numbers for images of equal pixels; a stream, which would have to be decoded, is taken as distinct."""
        if self._data.streamed:
            return np.arange(len(self))
        return np.unique(image_digests(self._data), return_inverse=True)[1].astype(np.int64)

    @cached_property
    def repeats(self) -> bool:
        """Whether any two images share a caption or their pixels."""
        own = len(torch.stack([self.image, self.text]).unique(dim=1)[0])
        return own > len(self.texts) or len(np.unique(self._copies)) < len(self)

    def draw(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """One caption of each image at random: positions (M,) int64 among all captions."""
        first, count = self.first[images], self.first[images + 1] - self.first[images]
        share = torch.rand(len(images), generator=generator, dtype=torch.float64)
        return first + torch.minimum((share * count).long(), count - 1)

    def alike(self, images: Tensor) -> Tensor | None:
        """Equal ids (M,) int64 for those of ``images`` that share a caption or their pixels; None where no two do.

        Chains count: where a shares a caption with b and b another one with c, all three are alike.
        """
        if not self.repeats:
            return None
        chosen = images.numpy()
        first, last = self.first.numpy()[chosen], self.first.numpy()[chosen + 1]
        counts = last - first
        rows = np.repeat(np.arange(len(chosen)), counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        texts = self.text.numpy()[first[rows] + within]
        # texts and pixel groups are nodes of their own beside the rows, so that no pair is ever formed
        nodes = np.unique(np.concatenate([texts, len(self.texts) + self._copies[chosen]]), return_inverse=True)[1]
        rows = np.concatenate([rows, np.arange(len(chosen))])
        size = len(chosen) + int(nodes.max()) + 1
        graph = coo_array((np.ones(len(rows), np.int8), (rows, len(chosen) + nodes)), shape=(size, size))
        ids = connected_components(graph, directed=False)[1][: len(chosen)]
        return None if len(np.unique(ids)) == len(ids) else torch.from_numpy(ids.astype(np.int64))

    def batches_apart(self, batch_size: int, generator: torch.Generator) -> list[Tensor]:
        """Batches in which no two images are alike: as many in an epoch as a plain shuffle has.

        Images that are alike take turns: each turn of the epoch holds one of each kind, drawn anew, and is cut into full
        batches.

        Raises:
            DatasetError: there are fewer kinds than a batch is to hold.
        """
        found = self.alike(torch.arange(len(self)))
        kinds = np.arange(len(self)) if found is None else found.numpy()
        distinct = len(np.unique(kinds))
        if distinct < min(batch_size, len(self)):
            raise DatasetError(
                f"Batches of {batch_size} images that are all different were asked for.",
                expected=f"Expected {distinct:,} at most: so many different kinds of image and caption there are.",
                advice="Lower training.batch_size, or set objective.duplicates=positives.",
            )
        wanted = max(1, len(self) // batch_size)
        batches: list[Tensor] = []
        while len(batches) < wanted:
            shuffled = torch.randperm(len(self), generator=generator).numpy()
            turn = np.argsort(_rank_of(kinds[shuffled]), kind="stable")
            for members in np.split(shuffled[turn], np.cumsum(np.bincount(_rank_of(kinds[shuffled])))[:-1]):
                full = len(members) // min(batch_size, distinct) * min(batch_size, distinct)
                mixed = members[torch.randperm(len(members), generator=generator).numpy()][:full]
                batches += list(torch.from_numpy(mixed).split(batch_size)) if full else []
        return batches[:wanted]


def _rank_of(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many equal values stand before each."""
    order = np.argsort(values, kind="stable")
    sorted_values = values[order]
    starts = np.flatnonzero(np.concatenate([[True], sorted_values[1:] != sorted_values[:-1]]))
    lengths = np.diff(np.concatenate([starts, [len(values)]]))
    rank = np.empty(len(values), np.int64)
    rank[order] = np.arange(len(values)) - np.repeat(starts, lengths)
    return rank
