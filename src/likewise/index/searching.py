"""Answering from the table of an index: nearest embeddings, exact or approximate, and words in captions."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from likewise.data.decode import UnreadableImageError, decode, quiet_pillow
from likewise.errors import DatasetError, SearchIndexError
from likewise.index._lance import LanceItems
from likewise.index.centres import Centres
from likewise.index.manifest import Manifest
from likewise.index.rows import Hit
from likewise.index.vectors import MOST_BYTES, RowIds, Vectors
from likewise.models import EmbeddingModel

__all__ = ["ImageLike", "Searcher", "embed_image"]

ImageLike = str | os.PathLike[str] | bytes | Image.Image | Tensor | NDArray[np.uint8]


def embed_image(model: EmbeddingModel, image: ImageLike) -> NDArray[np.float32]:
    """Embedding (1, D) of one image: a file or its bytes, a Pillow image, or (H, W) or (C, H, W) pixels in 0 … 255.

    Raises:
        DatasetError: the file is not there or not a readable image.
    """
    if isinstance(image, (Tensor, np.ndarray)):
        pixels = torch.as_tensor(image)
        return model.embed(pixels[None, None] if pixels.ndim == 2 else pixels[None])
    if isinstance(image, Image.Image):
        return model.embed([image])
    name = "The image" if isinstance(image, bytes) else os.fspath(image)
    try:
        data = image if isinstance(image, bytes) else Path(image).read_bytes()
        with quiet_pillow():
            pixels_of_file = decode(data, model.input.channels, model.input.height, model.input.width)
    except OSError as error:
        raise DatasetError(
            f"{name} cannot be read ({error.strerror or error}).", expected="Expected an image file."
        ) from error
    except UnreadableImageError as error:
        raise DatasetError(f"{name} is {error}.", expected="Expected an image file.") from error
    return model.embed(torch.from_numpy(pixels_of_file.copy())[None])


class Searcher:
    """Reads a table.

    Args:
        items: the table.
        manifest: of its index.
        folder: of its index.
        turn: of all that read the same ``items``.

    Attributes:
        turn: held from ``refresh`` to the last look at what was found, so that no other thread moves the table on between.
    """

    def __init__(
        self,
        items: LanceItems,
        manifest: Manifest,
        folder: Path,
        turn: threading.RLock,
    ) -> None:
        self.turn = turn
        self.manifest = manifest
        self._items = items
        held = manifest.approximate is not None and manifest.approximate.held == "memory"
        self._centres = Centres.read(folder, manifest.distance) if held else None
        self._version = 0
        self._held: tuple[int, Vectors | None] = (-1, None)

    def refresh(self) -> None:
        """Go to the newest version. Row ids mean something in one version only, so a search stays in that of its beginning."""
        self._version = self._items.follow()

    def nearest(
        self, queries: ArrayLike, k: int, where: str | None, exact: bool | None
    ) -> tuple[list[RowIds], list[NDArray[np.float32]]]:
        """Row ids and distances of the k nearest rows of each query (Q, D)."""
        asked = self._checked(queries, k)
        vectors = self._vectors()
        if vectors is None:
            return self._on_disk(asked, k, where, exact)
        approximate = self.manifest.approximate
        if vectors.centres is None or approximate is None or exact or where is not None:
            among = None if where is None else self._items.row_ids(where)
            places, all_distances = vectors.nearest(asked, k, among)
            return list(vectors.row_ids(places)), list(all_distances)
        found = [vectors.nearly(query, k, approximate.probes) for query in asked]
        # The partitions looked into may hold fewer rows than were asked for.
        short = [row for row, (near, _) in enumerate(found) if len(near) < min(k, len(vectors))]
        if short:
            for row, near, distances in zip(short, *vectors.nearest(asked[short], k), strict=True):
                found[row] = near, distances
        return [vectors.row_ids(near) for near, _ in found], [distances for _, distances in found]

    def _vectors(self) -> Vectors | None:
        """The embeddings of this version, or None where they are too many to be held."""
        if self._held[0] != self._version:
            dimension, distance = self.manifest.embedding_dim, self.manifest.distance
            fits = self._items.count() * dimension * 4 <= MOST_BYTES
            vectors = Vectors.read(self._items, dimension, distance, self._centres) if fits else None
            self._held = self._version, vectors
        return self._held[1]

    def _on_disk(
        self, asked: NDArray[np.float32], k: int, where: str | None, exact: bool | None
    ) -> tuple[list[RowIds], list[NDArray[np.float32]]]:
        approximate = self.manifest.approximate if not exact else None
        probes = None if approximate is None or approximate.held == "memory" else approximate.probes
        found = []
        for query in asked:
            row_ids, distances = self._items.nearest(query, k, probes=probes, where=where)
            if probes is not None and len(row_ids) < k:
                # The partitions looked into hold too few rows that meet the condition.
                row_ids, distances = self._items.nearest(query, k, probes=None, where=where)
            found.append((row_ids, distances))
        return [row_ids for row_ids, _ in found], [distances for _, distances in found]

    def hits(self, row_ids: RowIds, *, pictures: bool = True) -> dict[int, Hit]:
        """What is known about rows, by row id, without distance and score; each row is read once."""
        left_out = ("embedding",) if pictures else ("embedding", "thumbnail")
        names = [name for name in self._items.schema.names if name not in left_out]
        own = ("id", "label", "class_name", "caption", "split", "source", "item")
        distinct = np.unique(row_ids)
        return {
            row_id: Hit(
                **{name: row[name] for name in own},
                thumbnail=row.get("thumbnail"),
                distance=None,
                score=None,
                columns={name: row[name] for name in self.manifest.columns},
            )
            for row_id, row in zip(distinct.tolist(), self._items.rows(distinct, names), strict=True)
        }

    def has_captions(self) -> bool:
        """Whether words can be looked for in captions."""
        return "caption" in self._items.indexed()

    def in_captions(self, text: str, k: int, where: str | None) -> tuple[RowIds, NDArray[np.float32]]:
        """Row ids and scores of the rows whose captions have the words of a text, best first (BM25)."""
        if not self.has_captions():
            raise SearchIndexError(
                "The images of this index have no captions.",
                expected="A search for words reads captions where the model has no text tower.",
                advice="Search by image, index a source with captions, or use a model that was trained with texts.",
            )
        return self._items.matching(text, k, where)

    def names(self, row_ids: list[RowIds]) -> list[list[str]]:
        """Ids of the rows found by each query, in the order given; each row is read once."""
        vectors = self._vectors()
        if vectors is not None:
            return [vectors.ids(vectors.places(found)) for found in row_ids]
        distinct = np.unique(np.concatenate(row_ids))
        known = dict(zip(distinct.tolist(), self._items.rows(distinct, ["id"]), strict=True))
        return [[known[row_id]["id"] for row_id in found.tolist()] for found in row_ids]

    def _checked(self, queries: ArrayLike, k: int) -> NDArray[np.float32]:
        asked = np.asarray(queries, np.float32)
        if asked.ndim != 2 or asked.shape[1] != self.manifest.embedding_dim or not np.isfinite(asked).all():
            raise SearchIndexError(
                f"The query has shape {asked.shape}{'' if np.isfinite(asked).all() else ' and values that are not finite'}.",
                expected=f"Expected embeddings of {self.manifest.embedding_dim} finite numbers.",
                advice="Embed the query with the model of the index: index.model.embed(images).",
            )
        if k < 1:
            raise SearchIndexError(f"k is {k}.", expected="Expected 1 or more.")
        return asked
