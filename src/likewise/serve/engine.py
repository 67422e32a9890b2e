"""An index and its model behind queues: one thread computes, two read, and the event loop never waits for either.

Images, texts and searches have a queue each and one thread together, so that the model and the table see one caller, and
what waits for its turn grows into the next batch. Files are decoded by two other threads, one file each at a time, which
bounds the memory of pictures that are large.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import torch
from fastapi import UploadFile
from numpy.typing import NDArray

from likewise.errors import ServeError
from likewise.index import Hit, Index, Manifest, Query
from likewise.serve.batching import Batcher
from likewise.serve.limits import Limits
from likewise.serve.metrics import Metrics
from likewise.serve.uploads import pixels_of

__all__ = ["Engine"]

READERS = 2
Result = TypeVar("Result")
Vector = NDArray[np.float32]


class Engine:
    """Answers requests from an index.

    Args:
        index: opened; its model is loaded.
        limits: of the server.
        metrics: where the sizes of batches are counted.
    """

    def __init__(self, index: Index, limits: Limits, metrics: Metrics) -> None:
        self.limits = limits
        self.manifest = index.manifest
        self.model = index.model
        # Handles of its own: each stays at one version of the table for the length of one search, whoever else reads.
        self._table, self._rows = (Index.open(index.folder, self.model) for _ in range(2))
        self._computing = ThreadPoolExecutor(1, "likewise-model")
        self._reading = ThreadPoolExecutor(READERS, "likewise-reader")

        def batcher(kind: str, work: Callable[[list[Any]], Any]) -> Batcher[Any, Any]:
            seen = metrics.batch.labels(kind).observe
            waiting = limits.waiting + limits.items
            return Batcher(work, self._computing, most=limits.batch, waiting=waiting, seen=seen)

        self._images: Batcher[NDArray[np.uint8], Vector] = batcher("image", self._embed_images)
        self._texts: Batcher[str, Vector] = batcher("text", self.model.embed_text)
        self._searches: Batcher[Query, list[Hit]] = batcher("search", self._search)

    def close(self) -> None:
        """Let the threads end when what they have begun is done."""
        self._computing.shutdown(cancel_futures=True)
        self._reading.shutdown(cancel_futures=True)

    async def embed_images(self, files: Sequence[UploadFile]) -> list[Vector]:
        """Embeddings (D,) of uploaded images."""
        pixels = [
            await self.read(pixels_of, file.file, file.filename or "The image", self.model.input, self.limits.pixels)
            for file in files
        ]
        return await self._images.do(pixels)

    async def embed_texts(self, texts: Sequence[str]) -> list[Vector]:
        """Embeddings (D,) of texts.

        Raises:
            ServeError: (400) the model knows no texts, or one is empty; (413) one is too long.
        """
        if self.model.text is None:
            raise ServeError(
                "The model of this index knows no texts: it was trained on images alone.",
                expected="Expected a model trained with captions.",
                advice="Send an image, or serve an index of a model that was trained with a recipe such as clip-shapes.",
            )
        return await self._texts.do([self.checked_text(text) for text in texts])

    def checked_text(self, text: str) -> str:
        """A text that is neither empty nor longer than the limits."""
        words = len(text.split())
        if not words:
            raise ServeError("The text is empty.", expected="Expected words.", advice="Write what is to be found.")
        if words > self.limits.words or len(text) > self.limits.characters:
            raise ServeError(
                f"The text has {words:,} words in {len(text):,} characters.",
                expected=f"Expected at most {self.limits.words:,} words in {self.limits.characters:,} characters.",
                advice="Write a sentence; a model reads no more than some dozen words.",
                status=413,
            )
        return text

    async def search(self, query: Query) -> list[Hit]:
        """Hits of one query, best first, without their thumbnails."""
        found: list[list[Hit]] = await self._searches.do([query])
        return found[0]

    async def row(self, identity: str, columns: Sequence[str]) -> dict[str, Any]:
        """What the index knows about one image.

        Raises:
            ServeError: (404) there is no such image.
        """
        found = (await self.read(self._rows.lookup, [identity], columns))[0]
        if found is None:
            raise ServeError(
                f"There is no image {identity!r} in the index.",
                expected="Expected an id as a search gives it.",
                advice="Quote it for the address: a slash may stay, a space is %20.",
                status=404,
            )
        return found

    async def count(self) -> int:
        """Images in the index."""
        return await self.read(len, self._rows)

    async def newest_manifest(self) -> Manifest:
        """Of the index, with the approximate index as it was built last."""
        return await self.read(lambda: self._rows.manifest)

    async def stamp(self) -> str:
        """Of the newest commit to the index (``Index.stamp``)."""
        return await self.read(lambda: self._rows.stamp)

    async def read(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function that waits for a disk or decodes, in a thread of its own kind."""
        return await asyncio.get_running_loop().run_in_executor(self._reading, function, *arguments)

    def _embed_images(self, pixels: list[NDArray[np.uint8]]) -> Vector:
        return self.model.embed(torch.from_numpy(np.stack(pixels)))

    def _search(self, queries: list[Query]) -> list[list[Hit]]:
        return self._table.search_many(queries, pictures=False)
