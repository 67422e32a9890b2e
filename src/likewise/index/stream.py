"""From a source or a data set to rows with embeddings, a batch at a time: what a Parquet file and an index are made of.

Batches are cut at multiples of the batch size from the start of each split, so that a pass that is taken up again in the
middle embeds the same images together and gives the same bits.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from likewise.data import BadImage, ImageDataset
from likewise.data.one_pass import SplitPass, open_passes
from likewise.data.source import OnBadImage
from likewise.models import EmbeddingModel

__all__ = [
    "EmbeddedBatch",
    "Feed",
    "Images",
    "PixelRows",
    "embedding_column",
    "feed_of",
    "feed_of_dataset",
    "feed_of_source",
]


class PixelRows(NamedTuple):
    """One batch before it is embedded.

    ``end`` is the position of the whole pass behind it; ``rows`` has a list each for id, split, label, class_name,
    captions and item, with None where a thing is not known; ``pixels`` is (B, C, H, W) uint8; ``bad`` was left out.
    """

    end: int
    rows: dict[str, list[Any]]
    pixels: Tensor
    bad: tuple[BadImage, ...]


class EmbeddedBatch(NamedTuple):
    """``PixelRows`` with their embeddings (B, D) float32."""

    end: int
    rows: dict[str, list[Any]]
    pixels: Tensor
    bad: tuple[BadImage, ...]
    embeddings: NDArray[np.float32]


@dataclass(frozen=True)
class Feed:
    """Images to embed.

    Args:
        name: for messages and for the ``source`` column: a path in full, or a name.
        total: items there are.
        ids: of all items, in order.
        bad: items that were left out while opening.
        open: batches of a size, from a position on.
        lengths: items of each split, in order; by default all are one.
    """

    name: str
    total: int
    ids: tuple[str, ...]
    bad: tuple[BadImage, ...]
    open: Callable[[int, int], Iterator[PixelRows]]
    lengths: tuple[int, ...] = ()

    def batch_ends(self, batch_size: int) -> list[int]:
        """Positions behind each batch: multiples of the batch size from the start of each split, and the split's own end."""
        ends, before = [], 0
        for length in self.lengths or (self.total,):
            ends += [*range(before + batch_size, before + length, batch_size), before + length]
            before += length
        return ends

    def without(self, ids: set[str]) -> Feed:
        """The same without the images of these ids, which are then not embedded."""
        if not ids:
            return self

        def others(batch_size: int, start: int) -> Iterator[PixelRows]:
            for batch in self.open(batch_size, start):
                chosen = [row for row, identity in enumerate(batch.rows["id"]) if identity not in ids]
                rows = {name: [values[row] for row in chosen] for name, values in batch.rows.items()}
                yield batch._replace(rows=rows, pixels=batch.pixels[chosen])

        return dataclasses.replace(self, open=others)

    def embedded(
        self, model: EmbeddingModel, batch_size: int, start: int = 0, end: int | None = None
    ) -> Iterator[EmbeddedBatch]:
        """Embed everything from one position to another, at both of which a batch ended."""
        for batch in self.open(batch_size, start):
            embeddings = model.embed(batch.pixels, batch_size=batch_size) if len(batch.pixels) else _none_of(model)
            yield EmbeddedBatch(*batch, embeddings)
            if batch.end == end:
                return


def feed_of_source(
    model: EmbeddingModel,
    source: str | os.PathLike[str],
    *,
    split: str | None = None,
    on_bad_image: OnBadImage = "stop",
) -> Feed:
    """The images of a source, decoded to the shape that the model takes.

    Raises:
        DatasetError: no such source or split, or it is damaged.
    """
    shape = (model.input.channels, model.input.height, model.input.width)
    passes = open_passes(source, shape, split=split, on_bad_image=on_bad_image)

    def batches(batch_size: int, start: int) -> Iterator[PixelRows]:
        before = 0
        for part in passes:
            inside = max(0, start - before)
            if inside < len(part):
                for batch in part.batches(batch_size, inside):
                    rows = _rows_of(part, batch.positions)
                    yield PixelRows(before + batch.end, rows, batch.pixels, batch.bad)
            before += len(part)

    named = os.fspath(source)
    return Feed(
        os.path.realpath(named) if os.path.exists(named) else named,  # noqa: PTH110
        sum(map(len, passes)),
        tuple(identity for part in passes for identity in part.raw.ids),
        tuple(item for part in passes for item in part.bad),
        batches,
        tuple(map(len, passes)),
    )


def feed_of_dataset(data: ImageDataset) -> Feed:
    """The images of a data set, as they are; the model brings them to its shape."""

    def batches(batch_size: int, start: int) -> Iterator[PixelRows]:
        if start >= len(data):
            return  # torch splits no rows into one batch of none
        for indices, pixels in data.batches(torch.arange(start, len(data)).split(batch_size)):
            chosen = indices.tolist()
            labels = [None] * len(chosen) if data.labels is None else data.labels[indices].tolist()
            rows: dict[str, list[Any]] = {
                "id": [data.ids[i] for i in chosen],
                "split": [data.split] * len(chosen),
                "label": labels,
                "class_name": [None if label is None else data.class_names[label] for label in labels],
                "captions": [None if data.captions is None else list(data.captions[i]) for i in chosen],
                "item": [data.ids[i] for i in chosen],
            }
            yield PixelRows(chosen[-1] + 1, rows, pixels.cpu(), ())

    return Feed(data.name, len(data), data.ids, data.bad_images, batches)


Images = ImageDataset | Feed | str | os.PathLike[str]
"""What holds images: a data set, a feed, or a source as ``load_dataset`` takes it."""


def feed_of(model: EmbeddingModel, data: Images, split: str | None, on_bad_image: OnBadImage) -> Feed:
    """A feed of whatever holds images; ``split`` and ``on_bad_image`` are of a source."""
    if isinstance(data, Feed):
        return data
    if isinstance(data, ImageDataset):
        return feed_of_dataset(data)
    return feed_of_source(model, data, split=split, on_bad_image=on_bad_image)


def _rows_of(part: SplitPass, positions: NDArray[np.int64]) -> dict[str, list[Any]]:
    captions, labels, chosen = part.raw.captions, part.labels(positions), positions.tolist()
    return {
        "id": [part.raw.ids[i] for i in chosen],
        "split": [part.split] * len(chosen),
        "label": labels,
        "class_name": part.class_names(labels),
        "captions": [None if captions is None else list(captions[i]) for i in chosen],
        "item": [part.item(i) for i in chosen],
    }


def _none_of(model: EmbeddingModel) -> NDArray[np.float32]:
    return np.empty((0, model.embedding_dim), np.float32)


def embedding_column(embeddings: NDArray[np.float32]) -> pa.FixedSizeListArray:
    """(N, D) as an Arrow column of lists of D float32."""
    return pa.FixedSizeListArray.from_arrays(
        pa.array(np.ascontiguousarray(embeddings).ravel(), pa.float32()), embeddings.shape[1]
    )
