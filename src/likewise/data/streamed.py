"""Images that do not fit in memory: decoded when a batch asks for them, by worker processes, ahead of time.

Encoded images (JPEG, PNG …) go through a ``torch.utils.data.DataLoader`` whose "item" is a whole batch: each worker
gets an index array and sends back one uint8 array through a pipe, not through shared memory, because containers often
have 64 MB of it. At most ``workers × PREFETCH`` batches exist at a time: 8 × 19 MB for 128 photographs of 224 pixels.
Pixels on disk that need no decoding (idx, CIFAR and STL-10 binaries) are read from a memory map in the calling process.

The order is that of the index batches, and no global random state is touched: streaming gives the same training run
as memory does.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from likewise.errors import DatasetError
from likewise.launch import launched_here

__all__ = ["PREFETCH", "PixelReader", "StreamedImages"]

PREFETCH = 2
MAX_WORKERS = 8


class PixelReader(Protocol):
    """Pixels that can be read at any set of positions."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""

    @property
    def needs_decoding(self) -> bool:
        """Whether reading costs enough for worker processes to pay; such a reader must be picklable."""

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(B, C, H, W) uint8, contiguous; raises DatasetError for an item that cannot be decoded."""


@dataclass(frozen=True)
class _Failure:
    """A DatasetError on its way from a worker: the DataLoader itself would wrap it in a traceback."""

    got: str
    expected: str
    advice: str


class _Batches(Dataset[Any]):
    def __init__(self, reader: PixelReader) -> None:
        self._reader = reader

    def __getitem__(self, indices: NDArray[np.int64]) -> NDArray[np.uint8] | _Failure:
        try:
            return self._reader.read(indices)
        except DatasetError as error:
            return _Failure(error.got, error.expected, error.advice)


def _unchanged(item: Any) -> Any:
    return item


def _outlive_signals(worker: int) -> None:
    """Ctrl-C, SLURM and torchrun signal the whole process group: workers go on until the loop that they feed has stopped."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


class StreamedImages:
    """A lazy (N, C, H, W) uint8 sequence.

    Args:
        reader: where the pixels come from.
        selection: (M,) int64 positions of the reader that make up this sequence; default all.
        workers: processes that decode in ``batches``; default one per core, shared with other processes of the same run
            on this machine, at most 8; 0 decodes in this process.
    """

    dtype = torch.uint8

    def __init__(self, reader: PixelReader, selection: Tensor | None = None, workers: int | None = None) -> None:
        self._reader = reader
        self._selection = torch.arange(reader.shape[0]) if selection is None else selection
        available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._workers = min(max(1, available // launched_here()), MAX_WORKERS) if workers is None else workers

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        return (len(self._selection), *self._reader.shape[1:])

    def __len__(self) -> int:
        return len(self._selection)

    def __getitem__(self, key: int | slice | Tensor) -> Tensor:
        if isinstance(key, int):
            return self.take(torch.arange(len(self))[key].view(1))[0]
        return self.take(torch.arange(len(self))[key])

    def take(self, indices: Tensor) -> Tensor:
        """The images at ``indices``, (B, C, H, W) uint8, decoded in this process."""
        return torch.from_numpy(self._reader.read(self._positions(indices)))

    def select(self, indices: Tensor) -> StreamedImages:
        """The sequence of the images at ``indices``, in that order; nothing is read."""
        return StreamedImages(self._reader, self._selection[indices.to("cpu", torch.int64)], self._workers)

    def batches(self, index_batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """(indices, images) for each batch, in order, decoded ahead by worker processes.

        Raises:
            DatasetError: an image cannot be decoded, or a worker process ended.
        """
        if not self._reader.needs_decoding or self._workers == 0:
            for indices in index_batches:
                yield indices, self.take(indices)
            return
        pending: list[Tensor] = []

        def positions() -> Iterator[NDArray[np.int64]]:
            for indices in index_batches:
                pending.append(indices)
                yield self._positions(indices)

        loader: DataLoader[Any] = DataLoader(
            _Batches(self._reader),
            sampler=positions(),  # any iterable of keys serves, and ours may have no length
            batch_size=None,
            num_workers=self._workers,
            prefetch_factor=PREFETCH,
            collate_fn=_unchanged,
            worker_init_fn=_outlive_signals,
            # Its own generator: the loader draws a seed for its workers, from the global state if it is given none.
            generator=torch.Generator().manual_seed(0),
        )
        try:
            for batch in loader:
                if isinstance(batch, _Failure):
                    raise DatasetError(batch.got, expected=batch.expected, advice=batch.advice)
                yield pending.pop(0), torch.from_numpy(batch)
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise DatasetError(
                f"A process that decodes images ended: {str(error).splitlines()[0]}",
                expected="Expected it to live until the last batch.",
                advice="It was probably killed for want of memory: use a smaller batch size or image size.",
            ) from error

    def _positions(self, indices: Tensor) -> NDArray[np.int64]:
        positions: NDArray[np.int64] = self._selection[indices.to("cpu", torch.int64)].numpy()
        return positions
