"""The generated set: what it holds, that it never changes, and that its captions are true."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from likewise.data import ImageDataset, available_splits, load_dataset
from likewise.data.sources.shapes import COLORS, KINDS, PLACES, descriptions


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ImageDataset]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIKEWISE_HOME", str(tmp_path_factory.mktemp("home")))
        yield {split: load_dataset("shapes", split) for split in available_splits("shapes")}


def test_training_never_shows_the_held_out_combinations() -> None:
    pairs = {
        split: {(shown.kind, shown.color) for shown in descriptions(split)} for split in ("train", "validation", "test")
    }
    assert pairs["train"] == pairs["validation"]
    held_out = pairs["test"] - pairs["train"]
    assert len(pairs["test"]) == 64
    assert len(held_out) == 32
    assert Counter(kind for kind, _ in held_out) == dict.fromkeys(KINDS, 4)
    assert Counter(color for _, color in held_out) == dict.fromkeys(COLORS, 4)


def test_sizes_captions_and_labels(shapes: dict[str, ImageDataset]) -> None:
    assert {split: len(data) for split, data in shapes.items()} == {"train": 7200, "validation": 480, "test": 960}
    test = shapes["test"]
    assert test.image_shape == (3, 40, 40)
    assert test.captions is not None
    assert test.labels is not None
    assert len({caption for given in test.captions for caption in given}) == 3 * 960
    for shown, given, label in zip(descriptions("test"), test.captions, test.labels.tolist(), strict=True):
        assert KINDS[label] == shown.kind
        for caption in given:
            assert shown.kind in caption
            assert shown.color in caption
            assert shown.place in caption


def test_the_captions_are_true(shapes: dict[str, ImageDataset]) -> None:
    """Counted, coloured and placed by looking at the pixels alone."""
    images = shapes["test"].images.float().permute(0, 2, 3, 1).numpy()  # type: ignore[union-attr]
    for image, shown in zip(images, descriptions("test"), strict=True):
        painted = image.max(axis=2) > 110
        blobs, count = ndimage.label(painted, np.ones((3, 3)))
        assert count == shown.count, shown
        true_color = np.array(COLORS[shown.color], float)
        mean = image[image.max(axis=2) > 0.8 * true_color.max()].mean(axis=0)
        nearest = min(COLORS, key=lambda name: float(np.abs(mean - COLORS[name]).sum()))
        assert nearest == shown.color, shown
        y, x = (part.mean() - 19.5 for part in np.nonzero(blobs))
        places = dict(zip(PLACES, ((-13, 0), (13, 0), (0, -13), (0, 13), (0, 0)), strict=True))
        assert min(places, key=lambda name: float(np.hypot(x - places[name][0], y - places[name][1]))) == shown.place


def test_the_pictures_are_the_same_everywhere(shapes: dict[str, ImageDataset]) -> None:
    first = shapes["test"].images[0]  # type: ignore[index]
    again = load_dataset("shapes", "test")
    assert again.fingerprint == shapes["test"].fingerprint
    assert (
        hashlib.sha256(first.numpy().tobytes()).digest() == hashlib.sha256(again.images[0].numpy().tobytes()).digest()
    )  # type: ignore[index]


def test_pictures_are_drawn_once_and_again_where_the_file_is_damaged(
    private_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load_dataset("shapes", "validation")
    [file] = (private_home / "shapes").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr("likewise.data.sources.shapes._draw", None)
        kept = load_dataset("shapes", "validation")
    assert kept.fingerprint == before.fingerprint
    assert torch.equal(kept.images, before.images)  # type: ignore[arg-type]
    file.write_bytes(file.read_bytes()[:1000])
    assert load_dataset("shapes", "validation").fingerprint == before.fingerprint
    assert file.stat().st_size > 1000
