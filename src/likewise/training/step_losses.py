"""Losses on their way from the device to the record.

Reading a number from a GPU makes the host wait until the GPU has computed it, and the GPU then waits for the host's next
kernel: read once a step, that costs small networks a good part of their speed. So on a GPU losses stay where they are
until a block of them is full, the block is copied while training goes on, and it is read when the next one is full. No
value is lost or guessed: a loss that is not finite is found at most two blocks late and is still named with its step, and
nothing is saved before all losses so far have been looked at (``rest``).

On a CPU the numbers are there at once, and every block is one step.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["StepLosses"]

BLOCK = 32
Values = list[tuple[int, float]]


class StepLosses:
    """A queue of (step, loss).

    Args:
        device: where the losses are computed.
        block: steps read at once; by default one on a CPU and ``BLOCK`` elsewhere.

    Example:
        >>> losses = StepLosses(torch.device("cpu"), block=2)
        >>> [losses.add(step, torch.tensor(float(step))) for step in range(4)]
        [[], [], [], [(0, 0.0), (1, 1.0)]]
        >>> losses.rest()
        [(2, 2.0), (3, 3.0)]
    """

    def __init__(self, device: torch.device, *, block: int | None = None) -> None:
        self._block = block or (1 if device.type == "cpu" else BLOCK)
        self._waiting: list[tuple[int, Tensor]] = []
        self._travelling: tuple[list[int], Tensor, torch.cuda.Event | None] | None = None

    def add(self, step: int, loss: Tensor) -> Values:
        """Take one more loss, a scalar without graph; returns those that can be read by now."""
        self._waiting.append((step, loss))
        if len(self._waiting) < self._block:
            return []
        if self._block == 1:
            return self._read_waiting()
        arrived = self._arrived()
        steps = [step for step, _ in self._waiting]
        block = torch.stack([loss for _, loss in self._waiting])
        self._waiting.clear()
        event = None
        if block.device.type == "cuda":
            block = torch.empty_like(block, device="cpu", pin_memory=True).copy_(block, non_blocking=True)
            event = torch.cuda.Event()
            event.record()
        self._travelling = (steps, block, event)
        return arrived

    def rest(self) -> Values:
        """All that were not read yet."""
        return self._arrived() + self._read_waiting()

    def _arrived(self) -> Values:
        if self._travelling is None:
            return []
        steps, block, event = self._travelling
        self._travelling = None
        if event is not None:
            event.synchronize()
        return list(zip(steps, block.tolist(), strict=True))

    def _read_waiting(self) -> Values:
        if not self._waiting:
            return []
        steps, losses = zip(*self._waiting, strict=True)
        self._waiting.clear()
        return list(zip(steps, torch.stack(losses).tolist(), strict=True))
