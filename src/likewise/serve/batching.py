"""Requests that wait together are done together.

There is no timer: while one batch is worked on, what arrives waits, and becomes the next batch. Alone, a request so waits
for nothing; with fifty clients the model sees fifty images at a time. The queue has an end, beyond which a request is
told to come again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, TypeVar

from likewise.errors import ServeError

__all__ = ["Batcher", "busy"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def busy(waiting: int, what: str) -> ServeError:
    """The error for one request too many."""
    return ServeError(
        f"{waiting:,} {what} are waiting already.",
        expected="Expected a moment with fewer of them.",
        advice="Ask again in a second.",
        status=503,
    )


class Batcher(Generic[Item, Result]):
    """A queue before one function of many items.

    Where a batch fails, its items are tried one by one, so that a bad one spoils nothing for its neighbours.

    Args:
        work: of a list of items, one result for each.
        executor: where it runs.
        most: items at a time.
        waiting: items in the queue.
        seen: called with the size of each batch.
    """

    def __init__(
        self,
        work: Callable[[list[Item]], Sequence[Result]],
        executor: Executor,
        *,
        most: int,
        waiting: int,
        seen: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._work = work
        self._executor = executor
        self._most = most
        self._waiting = waiting
        self._seen = seen
        self._queue: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def do(self, items: Sequence[Item]) -> list[Result]:
        """Results of the items of one request, in their order.

        Raises:
            ServeError: (503) the queue is full.
            Exception: what ``work`` raises for one of these items.
        """
        if self._queue and len(self._queue) + len(items) > self._waiting:
            raise busy(len(self._queue), "images, texts or searches")
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Result]] = [loop.create_future() for _ in items]
        self._queue.extend(zip(items, futures, strict=True))
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._drain(loop))
        try:
            return await asyncio.gather(*futures)
        finally:
            for future in futures:  # of a request that was given up: what still waits is not begun
                future.cancel()

    async def _drain(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._queue:
            taken = [self._queue.popleft() for _ in range(min(self._most, len(self._queue)))]
            wanted = [(item, future) for item, future in taken if not future.done()]
            if not wanted:
                continue
            self._seen(len(wanted))
            items = [item for item, _ in wanted]
            try:
                results = await loop.run_in_executor(self._executor, self._attempt, items)
            except RuntimeError as error:  # the executor is shut down
                results = [error] * len(items)
            for (_, future), result in zip(wanted, results, strict=True):
                if future.done():
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)

    def _attempt(self, items: list[Item]) -> list[Result | Exception]:
        try:
            return list(self._work(items))
        except Exception as error:  # it belongs to the request that asked, whatever it is
            if len(items) == 1:
                return [error]
        return [result for item in items for result in self._attempt([item])]
