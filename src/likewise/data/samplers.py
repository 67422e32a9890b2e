"""Which images go into a batch: shuffled, balanced by class, or as pairs, by index arithmetic on whole tensors.

The images are sorted by class once (O(N log N), 10 ms for 60,000). After that the images of one class are a contiguous
run of the sorted order, so "another image of my class" is a random offset within a run and "an image of any other
class" a random offset outside it: partners for 57,000 anchors are a dozen operations on whole arrays and take about
6 ms, where a loop that looks through the labels for each item takes half a minute. Every draw comes from the
``torch.Generator`` given, and from nothing else.

The arithmetic itself is NumPy's, on one thread: torch would split such small operations over all cores and wait for
the slowest, which on a machine with other work to do made a draw of 57,000 cost 230 ms instead of 6.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from likewise.errors import DatasetError

__all__ = ["BalancedSampler", "PairSampler", "shuffled_batches"]


class _ByClass:
    """Images sorted by class: ``order[start[c] : start[c] + count[c]]`` are the images of class c."""

    def __init__(self, labels: Tensor) -> None:
        labels = labels.detach().to("cpu")
        if labels.ndim != 1 or labels.is_floating_point() or len(labels) == 0:
            raise DatasetError(
                f"A sampler was given labels of shape {tuple(labels.shape)} and type {labels.dtype}.",
                expected="Expected (N,) integers, N ≥ 1.",
            )
        _, class_of = np.unique(labels.numpy(), return_inverse=True)
        self.class_of: NDArray[np.int64] = class_of.astype(np.int64)
        self.count: NDArray[np.int64] = np.bincount(self.class_of)
        self.start: NDArray[np.int64] = np.cumsum(self.count) - self.count
        self.order: NDArray[np.int64] = np.argsort(self.class_of, kind="stable")
        self.rank = _rank_among_equals(self.class_of, self.order, self.start)


def _rank_among_equals(
    values: NDArray[np.int64], order: NDArray[np.int64], start: NDArray[np.int64]
) -> NDArray[np.int64]:
    """How many equal values stand before each. ``order`` sorts stably, ``start`` says where a run begins."""
    rank = np.empty_like(order)
    rank[order] = np.arange(len(values)) - start[values[order]]
    return rank


def _uniform_below(limits: NDArray[np.int64], generator: torch.Generator) -> NDArray[np.int64]:
    """One integer in 0..limit-1 for each limit (0 where the limit is 0); float64, so that no value is favoured."""
    drawn = (torch.rand(len(limits), generator=generator, dtype=torch.float64).numpy() * limits).astype(np.int64)
    return np.clip(drawn, 0, np.maximum(limits - 1, 0))


class PairSampler:
    """Partners for given images: of the same class or of another, each with probability ½.

    A same-class partner is uniform over the other images of the class, never the anchor itself; a different-class
    partner is uniform over all images of other classes. A class of one image always gets a different-class partner,
    and a set of one class always a same-class one.

    Args:
        labels: (N,) integers, any values, N ≥ 2.

    Raises:
        DatasetError: fewer than two images, or labels that are not integers.

    Example:
        >>> sampler = PairSampler(torch.tensor([0, 0, 1, 1]))
        >>> anchors = torch.tensor([0, 1, 2, 3])
        >>> partners, different = sampler.draw(anchors, torch.Generator().manual_seed(0))
        >>> bool((partners != anchors).all()), different.dtype
        (True, torch.float32)
    """

    def __init__(self, labels: Tensor) -> None:
        self._sorted = _ByClass(labels)
        if len(labels) < 2:
            raise DatasetError("Pairs were asked of one image.", expected="Expected at least two images.")

    def draw(self, anchors: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """One partner for each anchor.

        Args:
            anchors: (B,) int64, positions in ``labels``.
            generator: the only source of chance.

        Returns:
            partners: (B,) int64.
            different: (B,) float32, 1 where the classes differ, else 0.
        """
        by_class = self._sorted
        chosen: NDArray[np.int64] = anchors.to("cpu", torch.int64).numpy()
        classes = by_class.class_of[chosen]
        start, count = by_class.start[classes], by_class.count[classes]
        outside = len(by_class.order) - count
        same = torch.rand(len(chosen), generator=generator).numpy() < 0.5
        same = (same & (count > 1)) | (outside == 0)
        others = _uniform_below(np.where(same, count - 1, outside), generator)
        within = start + (by_class.rank[chosen] + 1 + others) % count  # 1..count-1 steps on: never back to the anchor
        beyond = np.where(others < start, others, others + count)  # jump over the run of the anchor's class
        partners = by_class.order[np.where(same, within, beyond)]
        return torch.from_numpy(partners), torch.from_numpy((~same).astype(np.float32))


class BalancedSampler:
    """Batches of P classes with K images each, for losses that need positives in the batch.

    The classes go round in shuffled turns, so that over an epoch all come about equally often; a class hands
    out its images in shuffled order and starts over when they are used up, so a batch repeats an image only where the
    class has fewer than K. Large classes are not seen as a whole in one epoch: that is the meaning of balanced.

    Args:
        labels: (N,) integers.
        classes_per_batch: P ≥ 1, at most the number of classes.
        images_per_class: K ≥ 1.

    Raises:
        DatasetError: P or K is out of range.

    Example:
        >>> sampler = BalancedSampler(torch.arange(100) % 5, classes_per_batch=3, images_per_class=4)
        >>> sampler.epoch(torch.Generator().manual_seed(0)).shape
        torch.Size([8, 12])
    """

    def __init__(self, labels: Tensor, classes_per_batch: int, images_per_class: int) -> None:
        self._sorted = _ByClass(labels)
        classes = len(self._sorted.count)
        if not 1 <= classes_per_batch <= classes:
            raise DatasetError(
                f"Batches of {classes_per_batch} classes were asked for.",
                expected=f"Expected 1 to {classes}: the training images have {classes} classes.",
                advice="Lower classes_per_batch.",
            )
        if images_per_class < 1:
            raise DatasetError(
                f"Batches with {images_per_class} images per class were asked for.", expected="Expected 1 or more."
            )
        self._classes_per_batch = classes_per_batch
        self._images_per_class = images_per_class

    def __len__(self) -> int:
        """Batches in an epoch: N // (P·K), at least 1."""
        return max(1, len(self._sorted.order) // (self._classes_per_batch * self._images_per_class))

    def epoch(self, generator: torch.Generator) -> Tensor:
        """All batches of an epoch: (number of batches, P·K) int64; the K images of a class stand together."""
        by_class, P, K = self._sorted, self._classes_per_batch, self._images_per_class
        batches = len(self)
        per_turn = len(by_class.count) // P  # batches that one shuffled turn of the classes fills without a repeat
        turns = -(-batches // per_turn)
        shuffled = torch.rand(turns, len(by_class.count), generator=generator).numpy().argsort(1)
        classes = shuffled[:, : per_turn * P].reshape(-1)[: batches * P]

        # How often was this class called before: its k-th call takes the k-th K of its images.
        calls = np.bincount(classes, minlength=len(by_class.count))
        called = _rank_among_equals(classes, np.argsort(classes, kind="stable"), np.cumsum(calls) - calls)

        mixed = torch.randperm(len(by_class.order), generator=generator).numpy()
        order = mixed[np.argsort(by_class.class_of[mixed], kind="stable")]  # by class, in random order within it
        offsets = (called[:, None] * K + np.arange(K)) % by_class.count[classes][:, None]
        return torch.from_numpy(order[by_class.start[classes][:, None] + offsets].reshape(batches, P * K))


def shuffled_batches(n: int, batch_size: int, generator: torch.Generator, drop_last: bool = False) -> list[Tensor]:
    """A random order of 0..n-1 cut into batches.

    Args:
        n: number of images, ≥ 0.
        batch_size: ≥ 1; the last batch is shorter where n is no multiple of it.
        generator: the only source of chance.
        drop_last: leave the shorter last batch out, unless it is the only one.

    Returns:
        (B,) int64 tensors.

    Raises:
        DatasetError: n or batch_size is out of range.

    Example:
        >>> [len(batch) for batch in shuffled_batches(10, 4, torch.Generator().manual_seed(0))]
        [4, 4, 2]
    """
    if n < 0 or batch_size < 1:
        raise DatasetError(
            f"Batches of {batch_size} from {n} images were asked for.", expected="Expected batch_size ≥ 1 and n ≥ 0."
        )
    order = torch.randperm(n, generator=generator)
    batches = [order[first : first + batch_size] for first in range(0, n, batch_size)]
    return batches[:-1] if drop_last and len(batches) > 1 and len(batches[-1]) < batch_size else batches
