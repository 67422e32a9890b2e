"""Captions as index arithmetic: which pairs of a batch are alike, and batches that keep them apart."""

from __future__ import annotations

import pytest
import torch

from likewise.data import ImageDataset
from likewise.data.captions import Captions
from likewise.data.prompts import caption_by_class, class_prompts
from likewise.errors import DatasetError


def dataset(captions: list[tuple[str, ...]], pixels: list[int] | None = None) -> ImageDataset:
    values = torch.tensor(pixels if pixels is not None else range(len(captions)))
    images = values.view(-1, 1, 1, 1).expand(-1, 1, 2, 2).to(torch.uint8)
    labels = torch.arange(len(captions)) % 2
    ids = tuple(str(position) for position in range(len(captions)))
    return ImageDataset("toy", "train", images, labels, ("hot_dog", "cat"), tuple(captions), ids, "0" * 64, "by hand")


def test_pairs_that_share_a_caption_or_their_pixels_are_alike() -> None:
    captions = Captions(dataset([("a", "b"), ("c",), ("b", "d"), ("e",), ("f",), ("d",)], pixels=[0, 1, 2, 1, 4, 5]))
    ids = captions.alike(torch.arange(6))
    assert ids is not None
    alike = {(i, j) for i in range(6) for j in range(6) if ids[i] == ids[j] and i < j}
    assert alike == {(0, 2), (1, 3), (2, 5), (0, 5)}  # 0 and 5 by way of 2
    assert captions.alike(torch.tensor([0, 1, 4])) is None
    without_the_link = captions.alike(torch.tensor([0, 5, 1, 3]))
    assert without_the_link is not None
    assert len(without_the_link.unique()) == 3


def test_two_captions_of_the_same_image_are_drawn_about_equally_often() -> None:
    captions = Captions(dataset([("a", "b", "c"), ("d",)]))
    drawn = captions.draw(torch.tensor([0] * 3000 + [1]), torch.Generator().manual_seed(0))
    assert drawn[-1] == 3
    counts = torch.bincount(drawn[:-1], minlength=3)
    assert counts.min() > 900
    assert captions.texts[captions.text[3]] == "d"


def test_batches_apart_hold_no_two_alike_and_use_every_kind() -> None:
    data = dataset([(f"kind {position % 10}",) for position in range(57)])
    captions = Captions(data)
    batches = captions.batches_apart(8, torch.Generator().manual_seed(0))
    assert len(batches) == 57 // 8
    for batch in batches:
        assert len(batch) == 8
        assert len((batch % 10).unique()) == 8
    assert len(torch.cat(batches).unique()) > 30


def test_batches_larger_than_the_number_of_kinds_are_refused() -> None:
    captions = Captions(dataset([(f"kind {position % 3}",) for position in range(30)]))
    with pytest.raises(DatasetError, match=r"Expected 3 at most.*duplicates=positives"):
        captions.batches_apart(8, torch.Generator().manual_seed(0))


def test_an_image_without_a_caption_is_named() -> None:
    with pytest.raises(DatasetError, match=r"^1 has no caption\. 1 of 2 images"):
        Captions(dataset([("a",), ()]))


def test_class_names_become_captions() -> None:
    data = caption_by_class(dataset([("x",), ("y",)]), ["a photo of a {}.", "one {}"])
    assert data.captions == (("a photo of a hot dog.", "one hot dog"), ("a photo of a cat.", "one cat"))
    with pytest.raises(DatasetError, match="no single place"):
        class_prompts(["cat"], ["a photo"])
