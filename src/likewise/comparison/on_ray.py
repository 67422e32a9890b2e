"""``--engine ray``: pieces of work as tasks of a Ray cluster, each in the folder that it has with any other engine.

All machines must see the folder of the comparison and the images. A task whose worker or machine dies is begun again by Ray
on another one, where its folder says that it was; so a comparison that lost workers ends with the same table.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from likewise.cluster import ray_cluster
from likewise.comparison.processes import PATIENCE, TRIES, killed, limit_threads
from likewise.comparison.work import Engine, Outcome, Work, perform, stopped
from likewise.errors import Interrupted, RunError
from likewise.training.interruption import StopWish

__all__ = ["on_ray"]


def _perform(work: Work, threads: int) -> Outcome | Interrupted:
    """What a worker does with a piece."""
    limit_threads(threads)
    if not (work.folder / "comparison.json").is_file():
        return Outcome(
            error=RunError(
                f"{platform.node()} does not see the comparison in {work.folder}.",
                expected="Expected a folder that all machines of the cluster share.",
                advice="Give an --out on a file system that all of them mount.",
            )
        )
    try:
        return perform(work, quiet=True)
    except Interrupted as error:
        return error


def _outcome(ray: Any, reference: Any, work: Work) -> Outcome | Interrupted:
    """What a worker sent, or that it, its memory or its machine was lost as often as Ray tries."""
    lost = {
        ray.exceptions.WorkerCrashedError: "its worker crashed",
        ray.exceptions.OutOfMemoryError: "its machine had no memory left",
        ray.exceptions.NodeDiedError: "its machine was lost",
        ray.exceptions.LocalRayletDiedError: "Ray ended on its machine",
    }
    try:
        found: Outcome | Interrupted = ray.get(reference)
    except tuple(lost) as error:
        return killed(work, next(how for kind, how in lost.items() if isinstance(error, kind)))
    return found


def on_ray(jobs: int | None) -> Engine:
    """The engine that does pieces on a Ray cluster.

    Args:
        jobs: pieces at a time; by default as many as the cluster has GPUs, or cores where it has none.
    """

    def run(works: Sequence[Work], begun: Callable[[int], None]) -> Iterator[tuple[int, Outcome]]:
        if not works:
            return
        with ray_cluster() as cluster, StopWish() as stop:
            ray, (most, takes) = cluster.ray, cluster.share(jobs)
            task = ray.remote(max_retries=TRIES - 1, **takes)(_perform)
            waiting, done = list(reversed(range(len(works)))), 0
            running: dict[Any, int] = {}
            try:
                while waiting or running:
                    while waiting and len(running) < most:
                        number = waiting.pop()
                        begun(number)
                        running[task.remote(works[number], int(takes["num_cpus"]))] = number
                    ready, _ = ray.wait(list(running), timeout=0.2)
                    if stop.number:
                        raise stopped(stop.wished, done, len(works), works[0].folder)
                    for reference in ready:
                        number = running.pop(reference)
                        outcome = _outcome(ray, reference, works[number])
                        if isinstance(outcome, Interrupted):
                            raise stopped(outcome.got, done, len(works), works[0].folder)
                        done += 1
                        yield number, outcome
            finally:
                for reference in running:  # arrives as SIGINT would, so what was begun is saved
                    ray.cancel(reference, recursive=False)
                if running:
                    ray.wait(list(running), num_returns=len(running), timeout=PATIENCE)

    return run
