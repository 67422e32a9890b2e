from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from likewise.data import available_splits, cache_home, load_dataset, load_splits
from likewise.errors import DatasetError

from ..files import pixels


def stl10(folder: Path) -> Path:
    """STL-10's files with a few images: planes column by column, labels from 1."""
    folder.mkdir(parents=True)
    for number, (split, count) in enumerate((("train", 20), ("test", 10), ("unlabeled", 15))):
        images = pixels(count, 3, 96, seed=number)
        (folder / f"{split}_X.bin").write_bytes(images.transpose(0, 1, 3, 2).tobytes())
        if split != "unlabeled":
            (folder / f"{split}_y.bin").write_bytes((np.arange(count) % 10 + 1).astype(np.uint8).tobytes())
    (folder / "class_names.txt").write_text("airplane\nbird\ncar\ncat\ndeer\ndog\nhorse\nmonkey\nship\ntruck\n")
    return folder


@pytest.mark.parametrize("memory_limit", [None, 1000])
def test_images_stand_upright_and_labels_start_at_0(tmp_path: Path, memory_limit: int | None) -> None:
    source = stl10(tmp_path / "stl10_binary")
    assert available_splits(source) == ("train", "test", "unlabeled")
    data = load_dataset(source, "test", memory_limit=memory_limit)
    assert data.streamed == (memory_limit is not None)
    assert np.array_equal(data.images[:].numpy(), pixels(10, 3, 96, seed=1))
    assert data.labels is not None
    assert data.labels.tolist() == list(range(10))
    assert data.class_names[7] == "monkey"


def test_the_unlabelled_split(tmp_path: Path) -> None:
    splits = load_splits(stl10(tmp_path / "set"), validation=10, unlabeled=True)
    assert splits.unlabeled is not None
    assert splits.unlabeled.labels is None
    assert np.array_equal(splits.unlabeled.images[:].numpy(), pixels(15, 3, 96, seed=2))
    assert [len(splits.train), len(splits.validation), len(splits.test)] == [10, 10, 10]


def test_by_name_from_an_archive_in_the_cache(tmp_path: Path) -> None:
    (cache_home() / "stl10").mkdir(parents=True)
    with tarfile.open(cache_home() / "stl10" / "stl10_binary.tar.gz", "w:gz") as archive:
        archive.add(stl10(tmp_path / "stl10_binary"), "stl10_binary")
    assert len(load_dataset("stl10", "unlabeled")) == 15


def test_bad_files_are_named(tmp_path: Path) -> None:
    source = stl10(tmp_path / "set")
    labels, images = source / "train_y.bin", source / "train_X.bin"
    labels.write_bytes(bytes([11]) + labels.read_bytes()[1:])
    with pytest.raises(DatasetError, match=r"label 11 at position 0.*Expected 1 to 10"):
        load_dataset(source)
    labels.write_bytes(labels.read_bytes()[:-1])
    with pytest.raises(DatasetError, match="19 labels for 20 images"):
        load_dataset(source)
    labels.unlink()
    with pytest.raises(DatasetError, match=r"train_y\.bin is missing"):
        load_dataset(source)
    images.write_bytes(images.read_bytes()[:-100])
    with pytest.raises(DatasetError, match=r"552,860 bytes.*whole images of 27,648 bytes"):
        load_dataset(source)
