"""``Index``: embeddings of one model with what is known about each image, to be searched.

A folder: ``index.json`` (which model, which distance), ``model/`` (the model itself, so that a picture can be searched for
with nothing else at hand), ``items.lance`` (the rows). Every few thousand rows are one commit: a process that dies leaves
those of the last, and a second writer waits for its turn. Up to 1 GB of embeddings are searched exactly in memory; larger
tables through an approximate index whose recall was measured.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError

from likewise.data.source import OnBadImage
from likewise.errors import SearchIndexError
from likewise.index._lance import LanceItems
from likewise.index.approximate import build_approximate, check_recall, outgrown
from likewise.index.creating import make_folder
from likewise.index.manifest import RECALL, Approximate, Distance, Manifest, ManifestFile
from likewise.index.queries import Query, answer, query_of
from likewise.index.rows import Hit, Scan
from likewise.index.searching import ImageLike, Searcher
from likewise.index.stream import Feed, Images, feed_of
from likewise.index.writing import Added, delete_rows, known_ids, not_writable, tidy, write_feed
from likewise.models import EmbeddingModel, load_model

__all__ = ["Index"]


class Index:
    """Images by their embeddings, on disk; made by ``Index.create`` or opened by ``Index.open``.

    Attributes:
        folder: where it lies.
    """

    def __init__(self, folder: Path, manifest: Manifest, model: EmbeddingModel | None) -> None:
        self.folder = folder
        self._file = ManifestFile(folder, manifest)
        self._model = model
        self._items = LanceItems(folder, manifest.distance)  # read in turn; who writes opens the table for itself
        self._turn = threading.RLock()
        self._reader = Searcher(self._items, manifest, folder, self._turn)

    @classmethod
    def create(
        cls,
        folder: str | os.PathLike[str],
        model: EmbeddingModel | str | os.PathLike[str],
        *,
        distance: Distance | None = None,
        columns: Mapping[str, type | str] | None = None,
    ) -> Index:
        """Make an empty index.

        Args:
            folder: a new one.
            model: that embeds images and queries, or its run or model folder; a copy is kept in the index.
            distance: ``cosine`` or ``euclidean``; by default the one that the model was trained for: Euclidean where its
                embeddings are not normalised.
            columns: further columns by name, each ``int``, ``float``, ``str`` or ``bool``.

        Raises:
            SearchIndexError: the folder is there already or cannot be written, or a column cannot be made.
            ModelError: there is no such model.
        """
        folder = Path(folder)
        manifest, model = make_folder(folder, model, distance, columns or {})
        return cls(folder, manifest, model)

    @classmethod
    def open(cls, folder: str | os.PathLike[str], model: EmbeddingModel | None = None) -> Index:
        """Open an index that is there.

        Args:
            folder: of the index.
            model: the model to search with; by default the copy in the index.

        Raises:
            SearchIndexError: there is none, it is damaged, or the model is another one.
        """
        folder = Path(folder)
        manifest = Manifest.read(folder)
        if model is not None:
            manifest.require(model, folder)
        return cls(folder, manifest, model)

    @property
    def manifest(self) -> Manifest:
        """Model, distance, columns, and the approximate index as whoever built it last has left it."""
        return self._file.now()

    @property
    def model(self) -> EmbeddingModel:
        """The model of the index."""
        if self._model is None:
            model = load_model(self.folder)
            self.manifest.require(model, self.folder)
            self._model = model
        return self._model

    def __len__(self) -> int:
        return self.count()

    def count(self, filter: str | None = None) -> int:
        """Rows, all or those that match an SQL condition, such as ``"class_name = 'boot' AND split = 'test'"``."""
        with self._turn:
            self._items.follow()
            return self._items.count(filter)

    @property
    def version(self) -> int:
        """Number of the newest commit that any process has made; each commit has a larger one."""
        with self._turn:
            return self._items.follow()

    @property
    def stamp(self) -> str:
        """Names the newest commit as no other one of any index is named: what is read of it may be kept under that name."""
        with self._turn:
            self._items.follow()
            return self._items.stamp()

    def scan(self, columns: Sequence[str]) -> Scan:
        """Go through columns of all rows in bounded memory, in the order in which they lie.

        Args:
            columns: of ``id``, ``split``, ``label``, ``class_name``, ``caption``, ``source``, ``item``, ``thumbnail``,
                ``embedding`` and the further ones.
        """
        with self._turn:
            return Scan(self._items.refresh(), self._items.count(), self._items.batches(columns))

    def add(
        self,
        data: Images,
        *,
        existing: Literal["refuse", "keep"] = "refuse",
        recall: float | None = None,
        **options: Any,
    ) -> Added:
        """Embed images and add them, a few thousand a commit.

        Args:
            data: a data set; or a source as ``load_dataset`` takes it, or a ``Feed`` of one, which is gone through in
                bounded memory.
            existing: what to do where an id is in the index already: ``refuse`` before anything is embedded, or
                ``keep`` the row that is there and go on, which finishes an ``add`` that was killed.
            recall: ``build`` the approximate index for it at the end, whatever the size.
            options: see ``upsert``.

        Raises:
            SearchIndexError: ids are there already, or the columns are not those of the index.
            DatasetError: the images cannot be had, or one cannot be decoded.
            Interrupted: SIGINT or SIGTERM came; the rows so far are there.
        """
        if recall is not None:
            check_recall(recall)
        feed = feed_of(self.model, data, options.pop("split", None), options.pop("on_bad_image", "stop"))
        there = known_ids(self._writer(), feed.ids)
        if there and existing == "refuse":
            raise SearchIndexError(
                f"{len(there):,} of the {feed.total:,} ids are in the index already ({', '.join(sorted(there)[:3])} …).",
                expected="Expected new ones.",
                advice='Use upsert to replace them, or existing="keep" to add the others only.',
            )
        return self._write(feed.without(there), len(there), replace=False, recall=recall, **options)

    def upsert(
        self,
        data: Images,
        *,
        split: str | None = None,
        on_bad_image: OnBadImage = "stop",
        **options: Any,
    ) -> Added:
        """Embed images and add them; a row with the same id is replaced.

        Args:
            data: as for ``add``.
            split: of a source; by default all.
            on_bad_image: ``stop``, or ``skip`` what cannot be decoded and list it.
            options: ``columns``, a mapping from the names of the index's further columns to one value for each image;
                ``pictures=False`` to store no thumbnails; ``batch_size``; ``quiet=False`` for progress on standard error.
        """
        return self._write(feed_of(self.model, data, split, on_bad_image), 0, replace=True, **options)

    def delete(self, *, ids: Sequence[str] | None = None, filter: str | None = None) -> int:
        """Delete rows by id or by an SQL condition; returns how many there were.

        Raises:
            SearchIndexError: neither or both are given, or the condition cannot be used.
        """
        return delete_rows(self.folder, self._writer(), ids, filter)

    def build(self, recall: float | None = None) -> Approximate:
        """Build the approximate index (again), so that it finds this share of the true 10 nearest.

        ``add`` does it by itself when the table reaches 200,000 rows and when it has doubled since.

        Args:
            recall: in (0, 1]; by default the one that was asked for the last time, at first 0.98.
        """
        built = self.manifest.approximate
        recall = (RECALL if built is None else built.asked) if recall is None else recall
        check_recall(recall)
        try:
            found = build_approximate(
                self.folder, self._writer(), self.manifest.embedding_dim, recall, self.manifest.distance
            )
            self.manifest.model_copy(update={"approximate": found}).write(self.folder)
        except (OSError, RuntimeError, SafetensorError) as error:
            raise not_writable(self.folder, error) from error
        return found

    def search(
        self,
        *,
        image: ImageLike | None = None,
        text: str | None = None,
        embedding: ArrayLike | None = None,
        k: int = 5,
        filter: str | None = None,
        exact: bool | None = None,
    ) -> list[Hit]:
        """The k images that are most alike to one image, text or embedding, nearest first.

        Args:
            image: a file, its bytes, a Pillow image or pixels (H, W) or (C, H, W) in 0 … 255.
            text: words: embedded by a model that was trained with texts, looked for in captions where there are any; where
                both can be done, the two rankings are fused.
            embedding: (D,) numbers of the index's model.
            k: at least 1.
            filter: an SQL condition that hits must meet, such as ``"label = 3"``.
            exact: look at every embedding even where there is an approximate index.

        Raises:
            SearchIndexError: not exactly one query, one that does not fit, or a condition that cannot be used.
            DatasetError: the image cannot be read.
        """
        query = query_of(lambda: self.model, image=image, text=text, embedding=embedding, k=k, filter=filter)
        return answer(self._searcher, [query], exact=exact)[0]

    def search_many(
        self, queries: Sequence[Query], *, exact: bool | None = None, pictures: bool = True
    ) -> list[list[Hit]]:
        """Many searches at once: one pass over the embeddings for all that have one filter.

        Args:
            queries: see ``Query``.
            exact: as for ``search``.
            pictures: read the thumbnails of the hits.
        """
        return answer(self._searcher, queries, exact=exact, pictures=pictures)

    def lookup(self, ids: Sequence[str], columns: Sequence[str]) -> list[dict[str, Any] | None]:
        """What is known about images by their ids, in that order; None for one that is not there.

        Args:
            ids: any.
            columns: of the table: those of a hit, ``embedding``, and the further ones.
        """
        with self._turn:
            self._items.follow()
            return self._items.by_id(ids, columns)

    def neighbors(
        self, embeddings: ArrayLike, k: int = 10, *, filter: str | None = None, exact: bool | None = None
    ) -> tuple[list[list[str]], list[NDArray[np.float32]]]:
        """Ids and distances of the k nearest images of many queries at once.

        Args:
            embeddings: (Q, D) of the index's model.
            k, filter, exact: as for ``search``.

        Returns:
            For each query its ids, nearest first, and their distances.
        """
        with self._turn:
            searcher = self._searcher
            searcher.refresh()
            row_ids, distances = searcher.nearest(embeddings, k, filter, exact)
            return searcher.names(row_ids), distances

    @property
    def _searcher(self) -> Searcher:
        """What reads the table by the approximate index as it is now."""
        manifest = self.manifest
        with self._turn:
            if self._reader.manifest is not manifest:
                self._reader = Searcher(self._items, manifest, self.folder, self._turn)
            return self._reader

    def _writer(self) -> LanceItems:
        """The table at its newest version, for one that writes: it goes on to its own commits while others read."""
        return LanceItems(self.folder, self.manifest.distance)

    def _write(self, feed: Feed, kept: int, *, replace: bool, recall: float | None = None, **options: Any) -> Added:
        added, bad = write_feed(self.folder, self._writer(), self.model, feed, replace=replace, **options)
        rows = tidy(self.folder, self._writer()) if added else 0
        if recall is not None or outgrown(rows, self.manifest):
            self.build(recall)
        return Added(added, kept, bad)

    def __repr__(self) -> str:
        return f"Index({str(self.folder)!r}, {len(self):,} images, {self.manifest.distance})"
