"""Three gloo processes, started once, that compute a loss as ranks of a training under DDP would.

Each rank embeds its own rows with a shared weight, computes the loss with ``group=``, and the weights' gradients are
averaged over ranks as DistributedDataParallel does. A task may also name a function of ``rank_steps.py``, which is then
called with the rank, the group and its own arguments. All ranks that take part answer.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from rank_pool import FORKED_WITH

WORLD = 3


def embed(tensors: Sequence[Tensor], weights: Sequence[Tensor]) -> list[Tensor]:
    """Float matrices times their weight; everything else as it is."""
    return [t @ w if t.is_floating_point() and t.dim() == 2 else t for t, w in zip(tensors, weights, strict=True)]


def make_weights(tensors: Sequence[Tensor], seed: int = 1) -> list[Tensor]:
    """One square weight per input, the same on every rank."""
    g = torch.Generator().manual_seed(seed)
    made = []
    for t in tensors:
        width = t.shape[1] if t.dim() == 2 else 1
        w = torch.eye(width, dtype=torch.float64) + 0.3 * torch.randn(width, width, generator=g, dtype=torch.float64)
        made.append(w.requires_grad_())
    return made


def _work(rank: int, place: str, pipe: Connection) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{place}/store", rank=rank, world_size=WORLD)
    groups = {2: dist.new_group([0, 1]), 3: dist.new_group([0, 1, 2])}
    import loss_cases
    import mined_cases
    import rank_steps

    cases = {"CASES": loss_cases.CASES} | {name: getattr(mined_cases, name) for name in ("MINED", "LEARNED", "DRAWN")}
    pipe.send("ready")
    while (task := pipe.recv()) is not None:
        try:
            if "step" in task:
                inside = rank < task["ranks"]
                step = getattr(rank_steps, task["step"])
                pipe.send(step(rank, groups[task["ranks"]], **task["arguments"]) if inside else None)
            else:
                pipe.send(_run(task, rank, groups, cases))
        except Exception as error:
            pipe.send(error)
    dist.destroy_process_group()


def _run(
    task: dict[str, Any], rank: int, groups: dict[int, Any], cases: dict[str, list[Any]]
) -> tuple[float, list[Tensor | None]] | None:
    ranks = task["ranks"]
    if rank >= ranks:
        return None
    case = cases[task.get("cases", "CASES")][task["case"]]
    options = dict(task["options"])
    tensors = task["tensors"][rank]
    if task["sharded"] is not None:
        options[task["sharded"]] = options[task["sharded"]][rank]
    weights = make_weights(tensors)
    loss = case.loss(*embed(tensors, weights), **options, group=groups[ranks])
    if loss.requires_grad:
        loss.backward()
    grads: list[Tensor | None] = []
    for t, w in zip(tensors, weights, strict=True):
        if t.is_floating_point() and t.dim() == 2:
            grad = torch.zeros_like(w) if w.grad is None else w.grad
            dist.all_reduce(grad, group=groups[ranks])
            grads.append(grad / ranks)
        else:
            grads.append(None)
    return float(loss.detach()), grads


class GlooPool:
    """Owner of the processes."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        # one process imports all that they need, and each of them is a copy of it
        context = mp.get_context("forkserver")
        context.set_forkserver_preload(FORKED_WITH)
        self._pipes: list[Connection] = []
        self._processes = []
        for rank in range(WORLD):
            mine, theirs = context.Pipe()
            process = context.Process(target=_work, args=(rank, self._folder.name, theirs), daemon=True)
            process.start()
            self._pipes.append(mine)
            self._processes.append(process)
        for pipe in self._pipes:
            pipe.recv()

    def step(self, name: str, ranks: int, **arguments: Any) -> list[Any]:
        """What a function of ``rank_steps.py`` gives on each of so many ranks."""
        return self.run(step=name, ranks=ranks, arguments=arguments)

    def run(self, **task: Any) -> list[Any]:
        """The answers of the ranks that took part."""
        for pipe in self._pipes:
            pipe.send(task)
        answers: dict[int, Any] = {}
        while len(answers) < WORLD:
            waiting = {pipe: rank for rank, pipe in enumerate(self._pipes) if rank not in answers}
            for pipe in wait(list(waiting)):
                answers[waiting[pipe]] = answer = pipe.recv()
                if isinstance(answer, Exception):
                    # the other ranks may wait for this one for ever
                    for process in self._processes:
                        process.kill()
                    raise answer
        return [answers[rank] for rank in range(WORLD) if answers[rank] is not None]

    def close(self) -> None:
        """End the processes."""
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            if process.is_alive():
                pipe.send(None)
            process.join(timeout=20)
        self._folder.cleanup()
