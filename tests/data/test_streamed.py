from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from likewise.data import StreamedImages, load_dataset, load_splits, shuffled_batches
from likewise.data.decoded import DecodedPixels, Geometry
from likewise.data.encoded import FileItems
from likewise.errors import DatasetError

from .files import encoded, first_rows, photograph, write_class_folders, write_idx


def batches(count: int) -> list[torch.Tensor]:
    return shuffled_batches(count, 7, torch.Generator().manual_seed(0))


def photos(root: Path, count: int = 30) -> Path:
    """A folder of JPEG photographs of mixed size in two classes."""
    for number in range(count):
        folder = root / ("cat" if number % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        image = photograph(40 + number, 60, number)
        (folder / f"{number:02d}.jpg").write_bytes(encoded(image, "jpeg"))
    return root


def assert_same(streamed: object, whole: object) -> None:
    assert streamed.streamed  # type: ignore[attr-defined]
    assert not whole.streamed  # type: ignore[attr-defined]
    for name in ("ids", "class_names", "fingerprint", "image_shape", "bad_images"):
        assert getattr(streamed, name) == getattr(whole, name)


def test_streamed_photographs_are_those_in_memory(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos")
    whole, streamed = load_dataset(source), load_dataset(source, memory_limit=1000)
    assert_same(streamed, whole)
    assert streamed.images.shape == tuple(whole.images.shape)
    state = torch.get_rng_state()
    wanted = batches(30)
    for (indices, images), given in zip(streamed.batches(iter(wanted)), wanted, strict=True):
        assert torch.equal(indices, given)
        assert torch.equal(images, whole.take(given))
    assert torch.equal(torch.get_rng_state(), state)
    chosen = torch.tensor([20, 3, 11])
    assert torch.equal(streamed.subset(chosen).images[:], whole.subset(chosen).images)
    assert streamed.subset(chosen).fingerprint == whole.subset(chosen).fingerprint
    assert torch.equal(streamed.images[5], whole.images[5])


@pytest.mark.parametrize("packed", [False, True])
def test_streamed_idx_files_are_mapped(tmp_path: Path, packed: bool) -> None:
    write_idx(tmp_path, count=100, packed=packed)
    whole, streamed = load_dataset(tmp_path), load_dataset(tmp_path, memory_limit=1000)
    assert_same(streamed, whole)
    for indices, images in streamed.batches(batches(100)):
        assert torch.equal(images, whole.take(indices))


def test_streamed_arrays_are_resized_alike(tmp_path: Path) -> None:
    write_idx(tmp_path, count=20)
    whole = load_dataset(tmp_path, image_size=5, channels=3)
    streamed = load_dataset(tmp_path, image_size=5, channels=3, memory_limit=10)
    assert_same(streamed, whole)
    assert whole.image_shape == (3, 5, 5)
    assert torch.equal(streamed.images[:], whole.images[:])


def test_a_streamed_table_leaves_memory(tmp_path: Path, real_data: Callable[[str], Path]) -> None:
    first_rows(real_data("tiny_imagenet") / "train.parquet", 60, tmp_path / "train.parquet")
    whole, streamed = load_dataset(tmp_path), load_dataset(tmp_path, memory_limit=50_000)
    assert_same(streamed, whole)
    for indices, images in streamed.batches(batches(60)):
        assert torch.equal(images, whole.take(indices))


def test_splits_share_one_memory_limit(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_class_folders(tmp_path / split, 10)
    one = 20 * 3 * 8 * 8
    assert not load_splits(tmp_path, memory_limit=2 * one).test.streamed
    splits = load_splits(tmp_path, memory_limit=2 * one - 1)
    assert not splits.train.streamed
    assert splits.test.streamed


def test_a_worker_that_meets_a_bad_image_says_which(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos")
    cut = source / "dog" / "08.jpg"
    cut.write_bytes(cut.read_bytes()[:700])
    streamed = load_dataset(source, memory_limit=1000)
    message = r"^photos/dog/08\.jpg is not a readable image \(truncated after 700 bytes\)\. 1 of 30 files\."
    with pytest.raises(DatasetError, match=message):
        list(streamed.batches(batches(30)))
    with pytest.raises(DatasetError, match=message):
        load_dataset(source)


def test_streaming_can_leave_bad_images_out(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos")
    for name in ("dog/08.jpg", "cat/03.jpg"):
        (source / name).write_bytes((source / name).read_bytes()[:700])
    whole = load_dataset(source, on_bad_image="skip")
    streamed = load_dataset(source, on_bad_image="skip", memory_limit=1000)
    assert_same(streamed, whole)
    assert len(streamed) == 28
    assert {bad.item for bad in streamed.bad_images} == {"photos/dog/08.jpg", "photos/cat/03.jpg"}
    for indices, images in streamed.batches(batches(28)):
        assert torch.equal(images, whole.take(indices))


class _Deadly(FileItems):
    def read(self, position: int) -> bytes:
        os._exit(1)


def test_a_worker_that_is_killed_is_a_clear_error(tmp_path: Path) -> None:
    items = _Deadly(tmp_path, ["a.jpg", "b.jpg"])
    images = StreamedImages(DecodedPixels(items, Geometry(3, 8, 8)), workers=1)
    with pytest.raises(DatasetError, match="A process that decodes images ended"):
        list(images.batches([torch.tensor([0]), torch.tensor([1])]))


def test_memory_stays_bounded_by_the_batches_ahead(tmp_path: Path) -> None:
    """The index batches are drawn only as far ahead as the workers may decode."""
    source = photos(tmp_path / "photos", 8)
    streamed = load_dataset(source, memory_limit=10)
    assert isinstance(streamed.images, StreamedImages)
    few = StreamedImages(streamed.images._reader, workers=2)
    drawn = 0

    def endless() -> object:
        nonlocal drawn
        while True:
            drawn += 1
            yield torch.tensor([drawn % 8])

    stream = few.batches(endless())  # type: ignore[arg-type]
    for _ in range(5):
        next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert drawn <= 5 + 2 * 2
    assert np.asarray(streamed.images.shape).tolist() == [8, 3, *streamed.image_shape[1:]]


def test_a_signal_to_the_process_group_leaves_the_workers_to_finish(tmp_path: Path) -> None:
    streamed = load_dataset(photos(tmp_path / "photos"), memory_limit=1000)
    assert isinstance(streamed.images, StreamedImages)
    seen = 0
    for number, (_, images) in enumerate(streamed.images.batches(batches(30))):
        for worker in psutil.Process().children():
            if number == 2 and "spawn" not in " ".join(worker.cmdline()):  # each of the two workers has answered once
                worker.send_signal(signal.SIGTERM)
        seen += len(images)
    assert seen == 30
