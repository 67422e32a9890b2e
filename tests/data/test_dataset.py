from __future__ import annotations

import dataclasses

import pytest
import torch

from likewise.data import ImageDataset
from likewise.errors import DatasetError


def toy(count: int = 6) -> ImageDataset:
    images = torch.arange(count * 3 * 4, dtype=torch.uint8).view(count, 3, 2, 2)
    labels = torch.arange(count) % 2
    captions = tuple((f"caption {i}",) for i in range(count))
    names = tuple(f"train/{i}" for i in range(count))
    return ImageDataset("toy", "train", images, labels, ("cat", "dog"), captions, names, "0" * 64, "by hand")


def test_subset_keeps_the_order_given_and_everything_known() -> None:
    chosen = toy().subset(torch.tensor([4, 0, 3]), "validation")
    assert chosen.split == "validation"
    assert chosen.ids == ("train/4", "train/0", "train/3")
    assert chosen.captions == (("caption 4",), ("caption 0",), ("caption 3",))
    assert chosen.labels is not None
    assert chosen.labels.tolist() == [0, 0, 1]
    assert torch.equal(chosen.take(torch.tensor([1])), toy().take(torch.tensor([0])))
    assert chosen.num_classes == 2


def test_the_fingerprint_tells_subsets_apart() -> None:
    data = toy()
    prints = {data.fingerprint, *(data.subset(torch.tensor(chosen)).fingerprint for chosen in ([0, 1], [1, 0], [0]))}
    assert len(prints) == 4
    assert data.subset(torch.tensor([0, 1])).fingerprint == toy().subset(torch.tensor([0, 1])).fingerprint


def test_batches_are_what_take_gives() -> None:
    data, wanted = toy(), [torch.tensor([5, 1]), torch.tensor([0])]
    for (indices, images), given in zip(data.batches(wanted), wanted, strict=True):
        assert indices is given
        assert torch.equal(images, data.take(given))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.zeros(6, 3, 2, 2)}, "torch.uint8"),
        ({"images": torch.zeros(6, 2, 2, dtype=torch.uint8)}, "N, C, H, W"),
        ({"labels": torch.zeros(5, dtype=torch.int64)}, "5 labels for 6 images"),
        ({"labels": torch.zeros(6)}, "torch.int64"),
        ({"labels": torch.tensor([0, 1, 2, 0, 1, 0])}, "train/2 .position 2. has label 2.*Expected 0 to 1"),
        ({"labels": torch.tensor([0, 1, -1, 0, 1, 0])}, "has label -1"),
        ({"ids": ("a",) * 6}, "same id"),
        ({"captions": ()}, "0 captions for 6 images"),
    ],
)
def test_what_does_not_fit_together_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        dataclasses.replace(toy(), **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("indices", [[6], [-1], [0, 0]])
def test_subset_refuses_what_is_not_there_or_twice(indices: list[int]) -> None:
    with pytest.raises(DatasetError):
        toy().subset(torch.tensor(indices))
