"""Images sorted by class, and the draws that all samplers are made of.

The arithmetic is NumPy's, on one thread: torch would split such small operations over all cores and wait for the
slowest, which on a machine with other work to do made a draw of 57,000 partners cost 230 ms instead of 6.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from likewise.errors import DatasetError

__all__ = ["ByClass", "Integers", "turns", "uniform_below"]

Integers = NDArray[np.int64]


class ByClass:
    """Images sorted by class: ``order[start[c] : start[c] + count[c]]`` are the images of class c."""

    def __init__(self, labels: Tensor) -> None:
        labels = labels.detach().to("cpu")
        if labels.ndim != 1 or labels.is_floating_point() or len(labels) == 0:
            raise DatasetError(
                f"A sampler was given labels of shape {tuple(labels.shape)} and type {labels.dtype}.",
                expected="Expected (N,) integers, N ≥ 1.",
            )
        _, class_of = np.unique(labels.numpy(), return_inverse=True)
        self.class_of: Integers = class_of.astype(np.int64)
        self.count: Integers = np.bincount(self.class_of)
        self.start: Integers = np.cumsum(self.count) - self.count
        self.order: Integers = np.argsort(self.class_of, kind="stable")
        self.rank = _rank_among_equals(self.class_of, self.order, self.start)

    def shuffled(self, generator: torch.Generator) -> Integers:
        """All images by class, in random order within each."""
        mixed: Integers = torch.randperm(len(self.order), generator=generator).numpy()
        return mixed[np.argsort(self.class_of[mixed], kind="stable")]

    def in_turn(self, classes: Integers, each: int, generator: torch.Generator) -> Integers:
        """``each`` images of every class called in ``classes`` (M,), as (M, each).

        A class hands out its images in shuffled order, the k-th call the k-th ``each`` of them, and starts over when they
        are used up.
        """
        calls = np.bincount(classes, minlength=len(self.count))
        first = np.cumsum(calls) - calls
        called = _rank_among_equals(classes, np.argsort(classes, kind="stable"), first)
        offsets = (called[:, None] * each + np.arange(each)) % self.count[classes][:, None]
        chosen: Integers = self.shuffled(generator)[self.start[classes][:, None] + offsets]
        return chosen


def _rank_among_equals(values: Integers, order: Integers, start: Integers) -> Integers:
    """How many equal values stand before each. ``order`` sorts stably, ``start`` says where a run begins."""
    rank = np.empty_like(order)
    rank[order] = np.arange(len(values)) - start[values[order]]
    return rank


def turns(count: int, each: int, batches: int, generator: torch.Generator) -> Integers:
    """``each`` different numbers of 0..count-1 for every batch, (batches, each): all go round in shuffled turns."""
    per_turn = count // each  # batches that one shuffled turn fills without a repeat
    shuffled = torch.rand(-(-batches // per_turn), count, generator=generator).numpy().argsort(1)
    chosen: Integers = shuffled[:, : per_turn * each].reshape(-1, each)[:batches]
    return chosen


def uniform_below(limits: Integers, generator: torch.Generator) -> Integers:
    """One integer in 0..limit-1 for each limit (0 where the limit is 0); float64, so that no value is favoured."""
    drawn = (torch.rand(len(limits), generator=generator, dtype=torch.float64).numpy() * limits).astype(np.int64)
    return np.clip(drawn, 0, np.maximum(limits - 1, 0))
