"""``--jobs N``: pieces of work in N processes of this machine, which divide its threads and GPUs among them.

A piece whose process is killed (by the system, for its memory, or by hand) is taken up once more by a new process, where its
folder says that it was; killed again, it has failed and the rest goes on. Ctrl-C or SIGTERM to the comparison asks every
process to save and waits for them. A process whose comparison is gone saves and ends as well.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Self

import torch
from threadpoolctl import threadpool_limits

from likewise.comparison.work import Engine, Outcome, Work, perform, stopped
from likewise.errors import Interrupted, TrainingError
from likewise.training.interruption import StopWish

__all__ = ["in_processes", "killed", "limit_threads"]

TRIES = 2
#: Seconds that processes have to save when the comparison is to stop.
PATIENCE = 60.0


def limit_threads(count: int) -> None:
    """Let this process compute on so many threads, in torch and in the libraries behind NumPy and scikit-learn."""
    torch.set_num_threads(count)
    threadpool_limits(limits=count)


def killed(work: Work, how: str) -> Outcome:
    """The outcome of a piece whose process was killed as often as it may be."""
    return Outcome(
        error=TrainingError(
            f"Its process ended before it was done, {TRIES} times ({how}).",
            expected="Expected it to live; a kill by the system is mostly for want of memory.",
            advice=f"Use fewer --jobs, or see {work.place} for how far it came.",
        )
    )


def _work(connection: Connection, threads: int, gpu: str | None) -> None:
    """What a process does: one piece after the other, until the connection is closed."""
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches all processes of a terminal; the comparison passes it on
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    limit_threads(threads)
    while True:
        try:
            work = connection.recv()
        except EOFError:
            return
        answer: Outcome | Interrupted | str
        try:
            answer = perform(work, quiet=True)
        except Interrupted as error:
            answer = error
        except Exception:
            answer = traceback.format_exc()  # a bug of ours: the comparison raises it
        connection.send(answer)


def _end_with(parent: Any) -> None:
    """Ask this process to save and end when the comparison is gone."""
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


class _Worker:
    """A process and the piece that it is at."""

    def __init__(self, context: Any, threads: int, gpu: str | None) -> None:
        self.number: int | None = None
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, threads, gpu))
        self.process.start()
        theirs.close()  # so that the end of the process closes the connection

    def take(self, number: int, work: Work) -> None:
        self.number = number
        self.connection.send(work)

    def answer(self) -> Any:
        """What it sent, or ``None`` where it has died."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            return None

    def end(self, *, gently: bool = True) -> None:
        if gently:
            self.process.terminate()
        else:
            self.process.kill()


class _Pool:
    """The processes, ended with the block whatever happens in it; those that are at work then save first."""

    def __init__(self, count: int) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._threads = max(1, torch.get_num_threads() // count)
        self._gpus = _visible_gpus()
        self.workers = [self._start(place) for place in range(count)]

    def _start(self, place: int) -> _Worker:
        gpu = self._gpus[place % len(self._gpus)] if len(self._gpus) > 1 else None
        return _Worker(self._context, self._threads, gpu)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._save_all()
        for worker in self.workers:
            worker.connection.close()
            if worker.number is not None:
                worker.end(gently=False)
        for worker in self.workers:
            worker.process.join()

    @property
    def busy(self) -> dict[Connection, _Worker]:
        return {worker.connection: worker for worker in self.workers if worker.number is not None}

    def replace(self, dead: _Worker) -> str:
        """Start another process in the place of a dead one; returns how that one ended."""
        dead.process.join()
        code = dead.process.exitcode
        place = self.workers.index(dead)
        self.workers[place] = self._start(place)
        return signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"

    def _save_all(self) -> None:
        """Ask all that are at work to save, and wait until they have or their time is over."""
        deadline = time.monotonic() + PATIENCE
        for worker in self.busy.values():
            worker.end()
        for worker in list(self.busy.values()):
            if worker.connection.poll(max(0.0, deadline - time.monotonic())):
                worker.answer()
                worker.number = None


def _visible_gpus() -> list[str]:
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    return given.split(",") if given else [str(number) for number in range(torch.cuda.device_count())]


def in_processes(jobs: int) -> Engine:
    """The engine that does ``jobs`` pieces at a time."""

    def run(works: Sequence[Work], begun: Callable[[int], None]) -> Iterator[tuple[int, Outcome]]:
        if not works:
            return
        waiting, tries, done = deque(range(len(works))), Counter[int](), 0
        with StopWish() as stop, _Pool(min(jobs, len(works))) as pool:
            while waiting or pool.busy:
                for worker in pool.workers:
                    if worker.number is None and waiting:
                        number = waiting.popleft()
                        if not tries[number]:
                            begun(number)
                        worker.take(number, works[number])
                ready = wait(list(pool.busy), timeout=0.2)
                if stop.number:
                    raise stopped(stop.wished, done, len(works), works[0].folder)
                for worker in [pool.busy[connection] for connection in ready if isinstance(connection, Connection)]:
                    number, answer = worker.number or 0, worker.answer()
                    worker.number = None
                    if isinstance(answer, str):
                        raise RuntimeError(f"a process of the comparison failed:\n{answer}")
                    if isinstance(answer, Interrupted):
                        raise stopped(answer.got, done, len(works), works[0].folder)
                    if answer is None:
                        how = pool.replace(worker)
                        tries[number] += 1
                        if tries[number] < TRIES:
                            waiting.appendleft(number)
                            continue
                        answer = killed(works[number], how)
                    done += 1
                    yield number, answer

    return run
