"""One run on several processes: who this process is, and how all of them wait, agree and stop together.

A run that ``torchrun`` starts has W processes, its ranks. All take the same steps, each with its part of every batch; rank
0 alone writes and measures. Two kinds of messages go between them. Gradients and what losses and batch normalisation
share go through the default group (NCCL between GPUs, gloo between CPUs), whose timeout finds a rank that hangs. What
follows here (waiting for rank 0, a wish to stop, whether all could load their images) goes through a gloo group of its own,
which costs no GPU anything and waits as long as a measurement takes.

One process is the same code with nobody to wait for.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, NoReturn, TypeVar

import torch
import torch.distributed as dist

from likewise.errors import LikewiseError, RankError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Ranks"]

PATIENCE = timedelta(days=30)
Result = TypeVar("Result")


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


class Ranks:
    """The processes of a run, seen from one of them.

    Args:
        fabric: launched; says how many there are and which this one is.

    Attributes:
        fabric: as given.
        rank: of this process, 0 … count - 1.
        count: number of processes.
        group: what losses and layers talk through; None for one process.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.rank: int = fabric.global_rank
        self.count: int = fabric.world_size
        self._local_rank: int = fabric.local_rank
        self.group: dist.ProcessGroup | None = None
        self._control: dist.ProcessGroup | None = None
        self._wishes: tuple[dist.Work, torch.Tensor] | None = None
        if self.count > 1:
            self.group = dist.group.WORLD
            self._control = dist.new_group(backend="gloo", timeout=PATIENCE)

    def leave_at_exit(self) -> None:
        """Close the connections when the interpreter ends: called after success, as closing broken ones can hang."""
        if self.count > 1:
            atexit.register(_leave)

    @property
    def first(self) -> bool:
        """Whether this process writes and measures."""
        return self.rank == 0

    def together(self, work: Callable[[], Result]) -> Result:
        """Do ``work``, which talks to no other rank, on every rank and wait for all of them; where one fails, none goes on.

        Where several fail, the lowest of them raises its own error and speaks for all.

        Raises:
            RankError: it failed on another rank, which raises its own error.
        """
        if self._control is None:
            return work()
        failure: Exception | None = None
        try:
            result = work()
        except Exception as error:
            failure = error
        failed = self._first_of(failure)
        if failure is not None and failed in (None, self.rank):
            raise failure
        if failed is not None:
            raise RankError(
                f"Rank {failed} of {self.count} could not go on.",
                expected="Its own message says why.",
                advice="A checkpoint that was written before is good: --resume goes on from it.",
                told=True,
            ) from failure
        return result

    def _first_of(self, failure: Exception | None) -> int | None:
        """The lowest rank that has a failure."""
        try:
            found = self._largest(0 if failure is None else self.count - self.rank)
        except RankError:
            if failure is None:
                raise
            return None
        return self.count - found if found else None

    def on_first(self, work: Callable[[], Result]) -> Result | None:
        """Do ``work`` on rank 0 while the others wait; they get None."""
        return self.together(lambda: work() if self.first else None)

    def one_first(self, work: Callable[[], Result]) -> Result:
        """Do ``work`` on the first process of each machine, then on the others: what one caches the others find."""
        early = self.together(lambda: work() if self._local_rank == 0 else None)
        late = self.together(lambda: work() if self._local_rank != 0 else None)
        return early if self._local_rank == 0 else late  # type: ignore[return-value]

    def from_first(self, text: str) -> str:
        """The text that rank 0 gave."""
        if self._control is None:
            return text
        content = [text]
        with self.naming_the_lost():
            dist.broadcast_object_list(content, src=0, group=self._control)
        return content[0]

    def follow_first(self, tensors: Iterable[torch.Tensor]) -> None:
        """Give all ranks the values that rank 0 has of tensors on the device of the run."""
        if self.group is None:
            return
        with self.naming_the_lost():
            for tensor in tensors:
                dist.broadcast(tensor, src=0, group=self.group)

    def share(self, items: Sequence[Result]) -> list[Sequence[Result]]:
        """Items cut into one run of neighbours for each rank; the first rank's is the longest."""
        cuts = [-(-len(items) * rank // self.count) for rank in range(self.count + 1)]
        return [items[start:end] for start, end in pairwise(cuts)]

    def join(self, own: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor | None:
        """The rows of all ranks in rank order on rank 0, None on the others.

        Args:
            own: (n, …) on the CPU, n being ``sizes[rank]``.
            sizes: rows of each rank.
        """
        if self._control is None:
            return own
        with self.naming_the_lost():
            if not self.first:
                if len(own):
                    dist.send(own.contiguous(), dst=0, group=self._control)
                return None
            rows = [own, *(own.new_empty((size, *own.shape[1:])) for size in sizes[1:])]
            for rank, received in enumerate(rows):
                if rank and len(received):
                    dist.recv(received, src=rank, group=self._control)
        return torch.cat(rows)

    def agree(self, wish: int) -> int:
        """The largest of the numbers that the ranks give, the same on all of them."""
        before, self._wishes = self._wishes, None
        if before is not None:
            before[0].wait()
        return self._largest(wish)

    def agree_soon(self, wish: int) -> int:
        """As ``agree``, for the numbers that the ranks gave in the call before: nobody waits for a message to travel."""
        if self._control is None:
            return wish
        mine = torch.tensor(wish)
        with self.naming_the_lost():
            sent = dist.all_reduce(mine, op=dist.ReduceOp.MAX, group=self._control, async_op=True)
            before, self._wishes = self._wishes, (sent, mine) if sent is not None else None
            if before is None:
                return 0
            before[0].wait()
        return int(before[1])

    def fail(self, error: LikewiseError) -> NoReturn:
        """Raise, on every rank, an error that every rank has seen: rank 0 says what it is.

        Raises:
            LikewiseError: ``error`` on rank 0.
            RankError: on the others.
        """
        if self.first:
            raise error
        raise RankError(str(error), told=True) from error

    def _largest(self, number: int) -> int:
        if self._control is None:
            return number
        largest = torch.tensor(number)
        with self.naming_the_lost():
            dist.all_reduce(largest, op=dist.ReduceOp.MAX, group=self._control)
        return int(largest)

    @contextmanager
    def naming_the_lost(self) -> Iterator[None]:
        """Around everything that talks to other ranks: a connection that breaks means that one of them is gone.

        Raises:
            RankError: another rank is gone.
        """
        try:
            yield
        except RuntimeError as error:
            # gloo has no class of its own for a connection that broke, but it names its source file
            if self.count == 1 or not (isinstance(error, dist.DistError) or "gloo" in str(error)):
                raise
            raise RankError(
                f"Rank {self.rank} of {self.count} has lost another rank ({str(error).splitlines()[0][:200]}).",
                expected="Expected all of them to live until the end of the run.",
                advice="The message of that rank says why it ended, if it could; the last checkpoint is good: start the "
                "same command with --resume.",
            ) from error
