"""What waits together is done together; nobody pays for another's mistake, and the queue has an end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from likewise.errors import ServeError
from likewise.serve.batching import Batcher


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


class Work:
    """Doubles numbers; the first batch waits until it is let go; 13 cannot be doubled."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()

    def __call__(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        assert self.go.wait(10)
        if 13 in items:
            raise ValueError("13")
        return [2 * item for item in items]


def run(work: Work, thread: ThreadPoolExecutor, play: Callable[[Any], Coroutine[Any, Any, Any]], **options: int) -> Any:
    sizes: list[int] = []
    batcher: Batcher[int, int] = Batcher(work, thread, **{"most": 8, "waiting": 100, **options}, seen=sizes.append)
    result = asyncio.run(play(batcher))
    return result, sizes


async def begun(batcher: Batcher[int, int], items: list[int]) -> asyncio.Task[list[int]]:
    task = asyncio.create_task(batcher.do(items))
    await asyncio.sleep(0.02)
    return task


def test_what_comes_while_a_batch_is_worked_on_is_the_next_batch(thread: ThreadPoolExecutor) -> None:
    work = Work()

    async def play(batcher: Batcher[int, int]) -> list[list[int]]:
        first = await begun(batcher, [0])
        others = [asyncio.create_task(batcher.do([number])) for number in range(1, 13)]
        await asyncio.sleep(0)
        work.go.set()
        return [await task for task in (first, *others)]

    results, sizes = run(work, thread, play)
    assert results == [[2 * number] for number in range(13)]
    assert sizes == [1, 8, 4]
    assert [len(batch) for batch in work.batches] == sizes


def test_one_that_fails_spoils_nothing_for_the_others(thread: ThreadPoolExecutor) -> None:
    work = Work()
    work.go.set()

    async def play(batcher: Batcher[int, int]) -> list[Any]:
        return await asyncio.gather(*(batcher.do([number]) for number in (1, 13, 3)), return_exceptions=True)

    (first, failed, third), _ = run(work, thread, play)
    assert (first, third) == ([2], [6])
    assert isinstance(failed, ValueError)


def test_a_full_queue_refuses_whole_requests_and_goes_on(thread: ThreadPoolExecutor) -> None:
    work = Work()

    async def play(batcher: Batcher[int, int]) -> list[int]:
        first = await begun(batcher, [0])
        second = await begun(batcher, [1, 2])
        with pytest.raises(ServeError, match="are waiting already") as refused:
            await batcher.do([3, 4])
        assert refused.value.status == 503
        work.go.set()
        return [*(await first), *(await second), *(await batcher.do([5]))]

    result, _ = run(work, thread, play, waiting=3)
    assert result == [0, 2, 4, 10]
    assert work.batches == [[0], [1, 2], [5]]


def test_what_nobody_waits_for_any_more_is_not_begun(thread: ThreadPoolExecutor) -> None:
    work = Work()

    async def play(batcher: Batcher[int, int]) -> None:
        first = await begun(batcher, [0])
        given_up = await begun(batcher, [1])
        given_up.cancel()
        last = await begun(batcher, [2])
        work.go.set()
        assert (await first, await last) == ([0], [4])

    run(work, thread, play)
    assert work.batches == [[0], [2]]


def test_after_the_end_requests_fail_and_do_not_hang() -> None:
    work = Work()
    executor = ThreadPoolExecutor(1)
    executor.shutdown()

    async def play(batcher: Batcher[int, int]) -> None:
        with pytest.raises(RuntimeError, match="shutdown"):
            await asyncio.wait_for(batcher.do([1]), 5)

    run(work, executor, play)
