"""Difficulties planted on purpose: wrong labels in train, and classes that training never sees.

Both answer questions about an objective that clean data cannot: how much it suffers from labels that are wrong, and whether
its sense of "alike" holds for classes that it was never told of. The test labels are never touched.
"""

from __future__ import annotations

import dataclasses
import hashlib

import torch

from likewise.data.dataset import ImageDataset
from likewise.data.splits import Splits
from likewise.errors import DatasetError

__all__ = ["with_label_noise", "with_unseen_classes"]


def with_label_noise(splits: Splits, share: float, *, seed: int) -> Splits:
    """Give a share of the training images the label of another class, each other class being as likely.

    Exactly ``round(share · N)`` images are hit; with one seed those of a smaller share are among those of a larger one.
    Validation and test keep their labels. Ids stay, so the planted errors can be found again.

    Args:
        splits: with labels, of at least two classes.
        share: in (0, 1).
        seed: of the draw.

    Raises:
        DatasetError: no labels, fewer than two classes, or a share out of range.

    Example:
        >>> from likewise.data import load_splits
        >>> clean = load_splits("digits", validation=100)
        >>> noisy = with_label_noise(clean, 0.25, seed=0)
        >>> round(float((noisy.train.labels != clean.train.labels).double().mean()), 2)
        0.25
    """
    train = splits.train
    if train.labels is None or train.num_classes < 2 or not 0 < share < 1:
        raise DatasetError(
            f"Label noise of {share} was asked of {train.name} with {train.num_classes} classes.",
            expected="Expected a share between 0 and 1, and labels of at least two classes.",
            advice="Set data.label_noise to 0.2, say, or leave it out.",
        )
    draws = torch.Generator().manual_seed(_seed("label noise", seed))
    order = torch.randperm(len(train), generator=draws)
    steps = torch.randint(1, train.num_classes, (len(train),), generator=draws)
    hit = order[: round(share * len(train))].to(train.labels.device)
    labels = train.labels.clone()
    labels[hit] = (labels[hit] + steps.to(labels.device)[hit]) % train.num_classes
    noisy = dataclasses.replace(train, labels=labels, fingerprint=_fingerprint(train, f"label noise {share} {seed}"))
    note = f"{len(hit):,} of {len(train):,} training labels ({share:.0%}) are wrong on purpose (seed {seed})."
    return dataclasses.replace(splits, train=noisy, notes=(*splits.notes, note))


def with_unseen_classes(splits: Splits, share: float) -> Splits:
    """Keep a share of the classes for the test alone: nothing is trained or chosen on them, nothing else is tested.

    Classes are renumbered so that those of train come first; ``class_names`` of train and validation are the seen ones, those
    of test are all. Which classes are unseen does not depend on the seed of a run, so all runs are tested on the same images.
    Unlabelled images are left out, since they may be of any class.

    Args:
        splits: with labels, of at least four classes.
        share: of the classes, in (0, 1); at least two stay on each side.

    Raises:
        DatasetError: no labels, too few classes, or a share out of range.
    """
    count = splits.train.num_classes
    unseen = round(share * count)
    if splits.train.labels is None or not 0 < share < 1 or unseen < 2 or count - unseen < 2:
        raise DatasetError(
            f"A share {share} of the {count} classes of {splits.train.name} was to be unseen.",
            expected="Expected a share between 0 and 1 that leaves at least two classes on each side.",
            advice="Set data.unseen_classes to 0.5, say, or leave it out.",
        )
    order = torch.randperm(count, generator=torch.Generator().manual_seed(_seed("unseen classes", 0)))
    seen = count - unseen
    order = torch.cat([order[:seen].sort().values, order[seen:].sort().values])
    place = torch.empty_like(order)
    place[order] = torch.arange(count)
    names = tuple(splits.train.class_names[int(old)] for old in order)

    def part(data: ImageDataset, *, of_test: bool) -> ImageDataset:
        if data.labels is None:
            raise DatasetError(f"The {data.split} split of {data.name} has no labels.", expected="Expected labels.")
        labels = place.to(data.labels.device)[data.labels]
        kept = ((labels >= seen) if of_test else (labels < seen)).nonzero().flatten().cpu()
        if not len(kept):
            raise DatasetError(f"The {data.split} split of {data.name} has no image of these classes.")
        renumbered = dataclasses.replace(
            data, labels=labels, class_names=names, fingerprint=_fingerprint(data, f"unseen classes {share}")
        ).subset(kept)
        return renumbered if of_test else dataclasses.replace(renumbered, class_names=names[:seen])

    note = (
        f"{unseen:,} of {count:,} classes are unseen: training and validation hold no image of them, the test holds no other. "
        f"Unseen: {', '.join(names[seen:][:10])}{' …' if unseen > 10 else ''}."
    )
    return dataclasses.replace(
        splits,
        train=part(splits.train, of_test=False),
        validation=part(splits.validation, of_test=False),
        test=part(splits.test, of_test=True),
        unlabeled=None,
        notes=(*splits.notes, note),
    )


def _seed(purpose: str, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{purpose}|{seed}".encode()).digest()[:7], "big")


def _fingerprint(data: ImageDataset, change: str) -> str:
    return hashlib.sha256(f"{data.fingerprint}|{change}".encode()).hexdigest()
