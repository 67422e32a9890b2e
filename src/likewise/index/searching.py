"""Answering from the table of an index: nearest embeddings, exact or approximate, and words in captions."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from likewise.data.decode import UnreadableImageError, decode, quiet_pillow
from likewise.errors import DatasetError, SearchIndexError
from likewise.index._lance import LanceItems
from likewise.index.manifest import Manifest
from likewise.index.rows import Hit
from likewise.index.vectors import MOST_BYTES, RowIds, Vectors
from likewise.models import EmbeddingModel

__all__ = ["ImageLike", "Searcher", "embed_image", "fused"]

FUSED = 50  # hits of each ranking that are fused
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


def fused(alike: list[Hit], worded: list[Hit], k: int) -> list[Hit]:
    """Two rankings as one: each hit's score is the sum of 1 / (60 + rank) over those that have it (Cormack et al. 2009)."""
    scores: dict[str, float] = {}
    hits: dict[str, Hit] = {}
    for ranking in (worded, alike):  # the latter knows the distance
        for rank, hit in enumerate(ranking, start=1):
            scores[hit.id] = scores.get(hit.id, 0.0) + 1 / (60 + rank)
            hits[hit.id] = hit
    best = sorted(hits, key=lambda identity: (-scores[identity], identity))[:k]
    return [dataclasses.replace(hits[identity], score=scores[identity]) for identity in best]


class Searcher:
    """Reads a table.

    Args:
        items: the table.
        manifest: of its index.
    """

    def __init__(self, items: LanceItems, manifest: Manifest) -> None:
        self._items = items
        self._manifest = manifest
        self._vectors: Vectors | None = None

    def nearest(
        self, queries: ArrayLike, k: int, where: str | None, exact: bool | None
    ) -> tuple[list[RowIds], list[NDArray[np.float32]]]:
        """Row ids and distances of the k nearest rows of each query (Q, D), at the newest version."""
        asked = self._checked(queries, k)
        version = self._items.refresh()
        approximate = self._manifest.approximate if not exact else None
        size = self._items.count() * self._manifest.embedding_dim * 4
        if approximate is None and size <= MOST_BYTES:
            if self._vectors is None or self._vectors.version != version:
                self._vectors = Vectors.read(self._items, version, self._manifest.embedding_dim)
            among = None if where is None else self._items.row_ids(where)
            all_ids, all_distances = self._vectors.nearest(asked, k, self._manifest.distance, among)
            return list(all_ids), list(all_distances)
        probes = None if approximate is None else approximate.probes
        found = []
        for query in asked:
            row_ids, distances = self._items.nearest(query, k, probes=probes, where=where)
            if probes is not None and len(row_ids) < k:
                # The partitions looked into hold too few rows that meet the condition.
                row_ids, distances = self._items.nearest(query, k, probes=None, where=where)
            found.append((row_ids, distances))
        return [row_ids for row_ids, _ in found], [distances for _, distances in found]

    def hits(
        self, row_ids: RowIds, *, distances: NDArray[np.float32] | None, scores: NDArray[np.float32] | None
    ) -> list[Hit]:
        """What is known about the rows found."""
        names = [name for name in self._items.schema.names if name != "embedding"]
        own = ("id", "label", "class_name", "caption", "split", "source", "item", "thumbnail")
        return [
            Hit(
                **{name: row[name] for name in own},
                distance=None if distances is None else float(distances[rank]),
                score=None if scores is None else float(scores[rank]),
                columns={name: row[name] for name in self._manifest.columns},
            )
            for rank, row in enumerate(self._items.rows(row_ids, names))
        ]

    def by_text(self, model: EmbeddingModel, text: str, k: int, where: str | None, exact: bool | None) -> list[Hit]:
        """Rows for words: by the model's text tower where it has one, in captions where there are any, both fused."""
        if model.text is None:
            return self.in_captions(text, k, where)
        self._items.refresh()
        captions = "caption" in self._items.indexed()
        deep = max(k, FUSED) if captions else k
        row_ids, distances = self.nearest(model.embed_text([text]), deep, where, exact)
        alike = self.hits(row_ids[0], distances=distances[0], scores=None)
        return fused(alike, self.in_captions(text, deep, where), k) if captions else alike

    def in_captions(self, text: str, k: int, where: str | None) -> list[Hit]:
        """Rows whose captions have the words of a text, best first (BM25)."""
        self._items.refresh()
        if "caption" not in self._items.indexed():
            raise SearchIndexError(
                "The images of this index have no captions.",
                expected="A search for words reads captions where the model has no text tower.",
                advice="Search by image, index a source with captions, or use a model that was trained with texts.",
            )
        row_ids, scores = self._items.matching(text, k, where)
        return self.hits(row_ids, distances=None, scores=scores)

    def names(self, row_ids: list[RowIds]) -> list[list[str]]:
        """Ids of the rows found by each query, in the order given; each row is read once."""
        distinct = np.unique(np.concatenate(row_ids))
        known = dict(zip(distinct.tolist(), self._items.rows(distinct, ["id"]), strict=True))
        return [[known[row_id]["id"] for row_id in found.tolist()] for found in row_ids]

    def _checked(self, queries: ArrayLike, k: int) -> NDArray[np.float32]:
        asked = np.asarray(queries, np.float32)
        if asked.ndim != 2 or asked.shape[1] != self._manifest.embedding_dim or not np.isfinite(asked).all():
            raise SearchIndexError(
                f"The query has shape {asked.shape}{'' if np.isfinite(asked).all() else ' and values that are not finite'}.",
                expected=f"Expected embeddings of {self._manifest.embedding_dim} finite numbers.",
                advice="Embed the query with the model of the index: index.model.embed(images).",
            )
        if k < 1:
            raise SearchIndexError(f"k is {k}.", expected="Expected 1 or more.")
        return asked
