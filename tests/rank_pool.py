"""Processes that form a gloo group, started once, which run a function together as the ranks of a run do."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from likewise.errors import RankError

#: What the process that all pools of a test process are copies of has imported.
FORKED_WITH = ["likewise.training", "lightning_fabric.strategies.ddp", "torch.nn.parallel"]


def _serve(rank: int, world: int, place: str, pipe: Connection) -> None:
    torch.set_num_threads(1)
    # what torchrun sets, so that the code under test finds itself launched by it
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "TORCHELASTIC_RUN_ID": "test"}
    os.environ |= {"WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world), "MASTER_ADDR": "-", "MASTER_PORT": "0"}
    dist.init_process_group("gloo", init_method=f"file://{place}/store", rank=rank, world_size=world)
    pipe.send("ready")
    while (task := pipe.recv()) is not None:
        work, environment, arguments = task
        os.environ |= environment
        try:
            pipe.send((True, work(*arguments)))
        except Exception as error:
            pipe.send((False, error))
            if isinstance(error, RankError) and not error.told:
                return  # as a rank does that has lost another: those who wait for it must see it go
    dist.destroy_process_group()


class RankPool:
    """Owner of ``world`` processes."""

    def __init__(self, world: int) -> None:
        self.world = world
        self._folder = tempfile.TemporaryDirectory()
        # one process imports all that they need, and each of them is a copy of it
        context = mp.get_context("forkserver")
        context.set_forkserver_preload(FORKED_WITH)
        self._pipes: list[Connection] = []
        self._processes = []
        for rank in range(world):
            mine, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(rank, world, self._folder.name, theirs), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(mine)
            self._processes.append(process)
        for pipe in self._pipes:
            pipe.recv()

    def run(self, work: Callable[..., Any], *arguments: Any) -> list[Any]:
        """What ``work``, a function of a test module, returns on each rank; an error of any rank is raised here."""
        self.start(work, *arguments)
        answers = self.answers()
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    def start(self, work: Callable[..., Any], *arguments: Any) -> None:
        """As ``run``, without waiting for the answers."""
        environment = {name: value for name, value in os.environ.items() if name.startswith(("LIKEWISE_", "HF_"))}
        for pipe in self._pipes:
            pipe.send((work, environment, arguments))

    def answers(self) -> list[Any]:
        """What each rank returned or raised; None for a rank that was killed."""
        return [self._answer(pipe) for pipe in self._pipes]

    def _answer(self, pipe: Connection) -> Any:
        try:
            return pipe.recv()[1]
        except (EOFError, ConnectionResetError):
            return None

    def kill(self, rank: int) -> None:
        """End the process of a rank as ``kill -9`` does."""
        self._processes[rank].kill()
        self._processes[rank].join()

    def close(self) -> None:
        """End the processes."""
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            if process.is_alive():
                pipe.send(None)
        for process in self._processes:
            process.join(timeout=20)
            process.kill()
        self._folder.cleanup()
