"""Train, validation and test of one source, drawn so that numbers can be compared.

The source's own test split is never touched before the end; a source without one gives up a stratified 20 %, drawn
with seed 0 whatever the seed of the run, so that every run is tested on the same images. Validation is a stratified
share of train, drawn by the run's seed. ``train_size`` keeps a stratified part of the rest, and parts are nested: with
one seed the 100 images are among the 1,000.

Images to learn from without labels are the source's unlabeled split; where it has none, they are what ``train_size`` leaves
over, with the labels taken off: labels that are few and images that are many can be had of any source.

Both properties come from one order (``stratified_order``): the image of rank r (from 0) in a shuffled class of n gets
the key (r + ½) / n, and the images are sorted by key. Any prefix holds each class in proportion, and a longer prefix
holds the shorter one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from likewise.data.amounts import amount, of_each_class
from likewise.data.dataset import ImageDataset
from likewise.data.load import LoadSettings, following, load_split, prepare
from likewise.data.prompts import caption_by_class
from likewise.data.registry import open_source
from likewise.data.source import OnBadImage, Source
from likewise.errors import DatasetError

__all__ = ["LearnFrom", "Splits", "load_splits", "stratified_order"]

LearnFrom = Literal["train", "unlabeled", "both"]
TEST_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class Splits:
    """What a run trains on, chooses on, and is measured on.

    Args:
        train, validation, test: disjoint; the same image shape and the same classes.
        unlabeled: images to learn from without labels, or None.
        notes: sentences for the report about how the splits were made.
    """

    train: ImageDataset
    validation: ImageDataset
    test: ImageDataset
    unlabeled: ImageDataset | None = None
    notes: tuple[str, ...] = ()

    def each(self, seen: Callable[[ImageDataset], ImageDataset]) -> Splits:
        """The same with train, validation and test as ``seen`` has them."""
        return dataclasses.replace(self, train=seen(self.train), validation=seen(self.validation), test=seen(self.test))

    def to_learn_from(self, which: LearnFrom) -> ImageDataset:
        """The images that an objective learns from: ``train``, the ``unlabeled`` ones, or ``both`` without labels.

        Raises:
            DatasetError: there are no unlabelled images, or ``both`` do not fit into memory together.
        """
        if which == "train":
            return self.train
        if self.unlabeled is None:
            raise DatasetError(
                f"{self.train.name} has no images without labels.",
                expected="Expected a split called unlabeled, or training images that data.train_size leaves over.",
                advice="Set data.train_size to the number of labelled images, or data.learn_from=train.",
            )
        return self.unlabeled if which == "unlabeled" else _joined(self.train, self.unlabeled)


def stratified_order(labels: Tensor | None, count: int, generator: torch.Generator) -> Tensor:
    """A random order of 0..count-1 in which every prefix holds each class in proportion.

    Args:
        labels: (count,) int64; None gives a plain random order.
        count: number of images.
        generator: the only source of chance.

    Returns:
        (count,) int64.

    Example:
        >>> labels = torch.tensor([0] * 6 + [1] * 3)
        >>> order = stratified_order(labels, 9, torch.Generator().manual_seed(0))
        >>> torch.bincount(labels[order[:3]]).tolist()
        [2, 1]
    """
    shuffled = torch.randperm(count, generator=generator)
    if labels is None or count == 0:
        return shuffled
    classes = labels.cpu()[shuffled]
    by_class = torch.argsort(classes, stable=True)
    sizes = torch.bincount(classes)
    rank = torch.empty_like(by_class)
    rank[by_class] = torch.arange(count) - (sizes.cumsum(0) - sizes)[classes[by_class]]
    keys = (rank.double() + 0.5) / sizes[classes]
    return shuffled[torch.argsort(keys, stable=True)]


def load_splits(
    source: str | os.PathLike[str],
    *,
    validation: int | float = 0.1,
    seed: int = 0,
    train_size: int | float | str | None = None,
    image_size: int | None = None,
    on_bad_image: OnBadImage = "stop",
    memory_limit: int | None = None,
    channels: int | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    caption_column: str | None = None,
    unlabeled: bool = False,
    unlabeled_size: int | float | None = None,
    caption_templates: Sequence[str] = (),
) -> Splits:
    """Load a source and split it.

    Args:
        source: as for ``load_dataset``.
        validation: an int is a count of images, a float in (0, 1) a share of train. Not used where the source has its
            own validation split beside a test split.
        seed: of the validation draw and the train subset; the test draw does not depend on it.
        train_size: int, a count of images; float in (0, 1], a share of what is left after validation; "10/class", so many of
            each class, or all that it has; None, all.
        image_size, on_bad_image, channels, image_column, label_column, caption_column: as for ``load_dataset``.
        memory_limit: bytes, for all splits together.
        unlabeled: whether images without labels are loaded.
        unlabeled_size: of them, an int is a count, a float in (0, 1] a share, drawn by the seed; None, all.
        caption_templates: as for ``load_dataset``.

    Returns:
        The splits, with notes on how they came about.

    Raises:
        DatasetError: as ``load_dataset``; or more images are asked for than there are.

    Example:
        >>> splits = load_splits("digits", validation=100, train_size=500)
        >>> len(splits.train), len(splits.validation), len(splits.test)
        (500, 100, 359)
    """
    settings, options = prepare(
        image_size,
        on_bad_image,
        memory_limit,
        channels,
        image_column=image_column,
        label_column=label_column,
        caption_column=caption_column,
    )
    opened = open_source(source, options)
    if "train" not in opened.splits:
        raise DatasetError(
            f"{opened.name} has no split that is called train.",
            expected=f"It has: {', '.join(opened.splits)}.",
            advice="Rename one, or load them one by one with load_dataset.",
        )
    notes: list[str] = []
    train = load_split(opened, "train", settings)
    settings = following(settings, train)
    plain = None
    test, test_notes = _own_test(opened, settings)
    notes += test_notes
    if test is not None:
        settings = following(settings, test)
        if test.labels is None and train.labels is not None:
            notes.append(f"The source's test split has no labels: its {len(test):,} images count as unlabelled.")
            plain, test = test.subset(torch.arange(len(test)), "unlabeled"), None
    own_validation = None
    if test is not None and test.split == "test" and "validation" in opened.splits:
        own_validation = load_split(opened, "validation", settings)
        settings = following(settings, own_validation)
    if unlabeled and "unlabeled" in opened.splits:
        plain = load_split(opened, "unlabeled", settings)

    if test is None:
        order = stratified_order(train.labels, len(train), torch.Generator().manual_seed(0))
        held_out = amount(TEST_SHARE, len(train), "test", train)
        test, train = _cut(train, order, held_out, "test")
        notes.append(
            f"The source has no {'' if train.labels is None else 'labelled '}test split: {len(test):,} images "
            f"(20 %, {'' if train.labels is None else 'stratified, '}seed 0) are held out."
        )
    if own_validation is not None:
        chosen = own_validation
        notes.append(f"Validation is the source's own split of {len(chosen):,} images.")
    else:
        order = stratified_order(train.labels, len(train), _generator(seed, "validation"))
        chosen, train = _cut(train, order, amount(validation, len(train), "validation", train), "validation")
    if train_size is not None:
        order = stratified_order(train.labels, len(train), _generator(seed, "train_size"))
        if isinstance(train_size, str):
            order, wanted, few = of_each_class(train_size, order, train)
            notes += few
        else:
            wanted = amount(train_size, len(train), "train_size", train)
        before = _classes_present(train)
        if unlabeled and plain is None and wanted < len(train):
            plain = _without_labels(train.subset(order[wanted:].sort().values, "unlabeled"))
            notes.append(f"The {len(plain):,} training images left over are there without their labels.")
        train = train.subset(order[:wanted].sort().values)
        missing = before - _classes_present(train)
        if missing:
            notes.append(f"The {wanted:,} training images hold no image of {missing:,} of the classes.")
    if plain is not None and unlabeled_size is not None:
        order = torch.randperm(len(plain), generator=_generator(seed, "unlabeled_size"))
        plain = plain.subset(order[: amount(unlabeled_size, len(plain), "unlabeled_size", plain)].sort().values)
    test = dataclasses.replace(test, split="test")
    if caption_templates:
        train, chosen, test = (caption_by_class(part, caption_templates) for part in (train, chosen, test))
    return Splits(train, chosen, test, plain, tuple(notes))


def _own_test(source: Source, settings: LoadSettings) -> tuple[ImageDataset | None, list[str]]:
    """The source's test split; where it has only a validation split, that one is the untouched one (as in ImageNet)."""
    if "test" in source.splits:
        return load_split(source, "test", settings), []
    if "validation" in source.splits:
        test = load_split(source, "validation", settings)
        return test, [f"The source has a validation but no test split: its {len(test):,} images are the test."]
    return None, []


def _cut(data: ImageDataset, order: Tensor, count: int, split: str) -> tuple[ImageDataset, ImageDataset]:
    """The first ``count`` of ``order`` as a split of its own, and the rest, both in the order of the source."""
    return data.subset(order[:count].sort().values, split), data.subset(order[count:].sort().values)


def _without_labels(data: ImageDataset) -> ImageDataset:
    return dataclasses.replace(data, labels=None, class_names=())


def _joined(first: ImageDataset, second: ImageDataset) -> ImageDataset:
    """The images of both, without labels."""
    if not isinstance(first.images, Tensor) or not isinstance(second.images, Tensor):
        raise DatasetError(
            f"{first.name} is too large to be held in memory with its unlabelled images.",
            expected="Learning from both needs both in memory.",
            advice="Raise data.memory_limit, lower data.unlabeled_size, or set data.learn_from=unlabeled.",
        )
    digest = hashlib.sha256(f"{first.fingerprint}|{second.fingerprint}".encode())
    return dataclasses.replace(
        _without_labels(first),
        split="unlabeled",
        images=torch.cat([first.images, second.images.to(first.images.device)]),
        captions=None,
        ids=(*first.ids, *second.ids),
        fingerprint=digest.hexdigest(),
        bad_images=(*first.bad_images, *second.bad_images),
    )


def _classes_present(data: ImageDataset) -> int:
    return 0 if data.labels is None else int((torch.bincount(data.labels) > 0).sum())


def _generator(seed: int, purpose: str) -> torch.Generator:
    """A generator for one draw: two draws of one seed are independent."""
    digest = hashlib.sha256(f"{purpose}|{seed}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
