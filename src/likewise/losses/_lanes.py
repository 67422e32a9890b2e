"""Threads that work on different tiles: each has a core of its own, where two on one tile wait for each other.

An operation on a tile takes some hundred microseconds. Shared between the threads it ends at a barrier, and a thread that
comes late (or another program on its core) holds up all of them, a dozen times a tile. Here each thread walks over tiles
of its own. In one turn no two lanes touch a row or a column in common, so nothing is locked and nothing is kept twice, and
each sum has its terms in the same order whichever thread was quicker.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import torch

# of the matrix, for each lane. On two quiet cores lanes take 0.9 of the time from 4,096 rows each and more below, but the tiles
# of each are memory that counts up to 16,384 rows in all; benchmarks/losses.py --forms and --memory
LANE_ROWS = 16384


class Lanes:
    """So many threads for the time of one walk; a single lane is the calling thread.

    Torch's own threads are shared out among the lanes: the calling thread waits meanwhile.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(number, initializer=self._begin) if number > 1 else None
        self._inference = torch.is_inference_mode_enabled()

    def _begin(self) -> None:
        torch.set_num_threads(max(1, self._threads // self.number))

    def run(self, tasks: list[Callable[[], None]]) -> None:
        """All of them, one per lane; the first error is raised."""
        if self._pool is None:
            for task in tasks:
                task()
            return
        for done in [self._pool.submit(self._quietly, task) for task in tasks]:
            done.result()

    def _quietly(self, task: Callable[[], None]) -> None:
        # a thread starts with gradients on, and outside of the inference mode that its tensors may belong to
        with torch.inference_mode(self._inference), torch.no_grad():
            task()

    def __enter__(self) -> Lanes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            # what a lane set counts for threads that start later, too
            torch.set_num_threads(self._threads)


def lanes_for(rows: int, columns: int, *, on_host: bool) -> int:
    """How many lanes a matrix of that size is worth."""
    return max(1, min(torch.get_num_threads(), rows // LANE_ROWS, columns // LANE_ROWS)) if on_host else 1


def stripes(length: int, number: int) -> list[slice]:
    """Even parts, as many; some empty where there are fewer rows."""
    cuts = [length * k // number for k in range(number + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(cuts)]


def meetings(players: int) -> Iterator[list[tuple[int, int]]]:
    """Rounds in which an even number of players all meet somebody, each pair once; 2k and 2k + 1 in the first round."""
    order = [*range(0, players, 2), *range(players - 1, 0, -2)]
    for _ in range(players - 1):
        yield [(min(a, b), max(a, b)) for a, b in zip(order[: players // 2], order[::-1], strict=False)]
        order = [order[0], order[-1], *order[1:-1]]
