"""How many images a split gets: a count, a share, or so many of each class."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from likewise.data.dataset import ImageDataset
from likewise.errors import DatasetError

__all__ = ["amount", "of_each_class"]


def amount(wanted: int | float, available: int, what: str, train: ImageDataset) -> int:
    """A count or share as a count, so that something is left where a split is cut off.

    Raises:
        DatasetError: more is asked for than there is, or nothing.
    """
    highest = available if what in ("train_size", "unlabeled_size") else available - 1
    share = isinstance(wanted, float)
    if share and not 0 < wanted <= 1:
        raise DatasetError(f"{what} is {wanted}.", expected="Expected a count (an integer) or a share in (0, 1].")
    count = max(1, round(wanted * available)) if share else int(wanted)
    if isinstance(wanted, bool) or not 1 <= count <= highest:
        raise DatasetError(
            f"{what} asks for {wanted} of the {available:,} {train.split} images of {train.name}.",
            expected=f"Expected 1 to {highest:,}, or a share.",
            advice=f"Give a share, such as data.{what}=0.1."
            if what == "validation"
            else f"Give fewer, or take all: data.{what}=null.",
        )
    return count


def of_each_class(wanted: str, order: Tensor, train: ImageDataset) -> tuple[Tensor, int, list[str]]:
    """``order`` with the first so many images of each class at its beginning, how many those are, and what to know of them.

    Smaller numbers are contained in larger ones, as prefixes of one order.

    Args:
        wanted: ``10/class``.
        order: (N,) int64, of all images.
        train: what they are of.

    Raises:
        DatasetError: another text, or there are no labels.
    """
    found = re.fullmatch(r"([1-9]\d*)/class", wanted)
    if found is None:
        raise DatasetError(
            f"train_size is {wanted!r}.", expected="Expected a count, a share in (0, 1], or a text such as 10/class."
        )
    if train.labels is None:
        raise DatasetError(
            f"train_size is {wanted} and the {train.split} images of {train.name} have no labels.",
            expected="Expected labels, to count the images of each class.",
            advice="Give a number of images instead.",
        )
    classes = train.labels.cpu()[order]
    by_class, sizes = torch.argsort(classes, stable=True), torch.bincount(classes)
    rank = torch.empty_like(by_class)
    rank[by_class] = torch.arange(len(order)) - (sizes.cumsum(0) - sizes)[classes[by_class]]
    first = rank < int(found[1])
    few = int(((sizes > 0) & (sizes < int(found[1]))).sum())
    notes = (
        [f"{few:,} of the classes have fewer than {found[1]} training images: all of theirs are taken."] if few else []
    )
    return torch.cat([order[first], order[~first]]), int(first.sum()), notes
