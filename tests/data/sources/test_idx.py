from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from likewise.data import available_splits, load_dataset
from likewise.data.sources.idx import read_idx
from likewise.errors import DatasetError

from ..files import idx_bytes, pixels, write_idx


@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_of_idx_files(tmp_path: Path, packed: bool) -> None:
    write_idx(tmp_path, "train", 30, packed=packed)
    write_idx(tmp_path, "t10k", 12, packed=packed, seed=1)
    assert available_splits(tmp_path) == ("train", "test")
    data = load_dataset(tmp_path, "test")
    assert torch.equal(data.images[:], torch.from_numpy(pixels(12, seed=1)))
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1, 2] * 4
    assert data.class_names == ("0", "1", "2")
    assert data.ids[-1] == "test/00011"


def test_plain_and_packed_files_have_one_fingerprint(tmp_path: Path) -> None:
    for packed in (False, True):
        write_idx(tmp_path / str(packed), packed=packed)
    assert load_dataset(tmp_path / "True").fingerprint == load_dataset(tmp_path / "False").fingerprint


def test_images_alone_have_no_labels(tmp_path: Path) -> None:
    write_idx(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    data = load_dataset(tmp_path)
    assert data.labels is None
    assert data.num_classes == 0


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("change", "message"), [(-1, "holds 1,919 bytes"), (1, "holds more bytes")])
def test_a_file_of_another_length_than_its_header_says(tmp_path: Path, packed: bool, change: int, message: str) -> None:
    write_idx(tmp_path)
    file = tmp_path / "train-images-idx3-ubyte"
    content = file.read_bytes()[:-1] if change < 0 else file.read_bytes() + b"!"
    if packed:
        file.unlink()
        (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
    else:
        file.write_bytes(content)
    with pytest.raises(DatasetError, match=rf"{message}.*Its header says 30 × 8 × 8 = 1,920"):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "starts with the bytes .none."),
        (b"\x00\x00\x08", "starts with the bytes 00 00 08"),
        (b"\x00\x00\x0d\x03" + bytes(12), "starts with the bytes 00 00 0d 03"),
        (b"hello world!", "Expected an idx file"),
        (b"\x00\x00\x08\x03\x00\x00", "ends within its header"),
        (idx_bytes(np.zeros((30, 8), np.uint8)), "Expected images: N × height × width"),
    ],
)
def test_what_is_no_idx_file_of_images(tmp_path: Path, content: bytes, message: str) -> None:
    write_idx(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        load_dataset(tmp_path)


@pytest.mark.parametrize("keep", [20, 300, -4])
def test_damaged_gzip(tmp_path: Path, keep: int) -> None:
    write_idx(tmp_path, packed=True)
    file = tmp_path / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(DatasetError, match=r"train-images-idx3-ubyte\.gz is a damaged gzip file"):
        load_dataset(tmp_path)


def test_labels_of_another_count(tmp_path: Path) -> None:
    write_idx(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(29, np.uint8)))
    with pytest.raises(DatasetError, match="29 labels for 30 images"):
        load_dataset(tmp_path)


def test_mnist_is_recognised_and_exact(real_data: Callable[[str], Path]) -> None:
    folder = real_data("mnist")
    train, test = load_dataset(folder), load_dataset(folder, "test")
    assert train.name == "mnist"
    assert train.images.shape == (60_000, 1, 28, 28)
    assert train.labels is not None
    assert torch.bincount(train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert test.labels is not None
    assert torch.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    content = idx_bytes(test.images[:, 0].numpy())
    assert hashlib.md5(content).hexdigest() == "2646ac647ad5339dbf082846283269ea"


def test_a_label_out_of_range_of_a_known_set(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    labels = read_idx(real_data("mnist") / "t10k-labels-idx1-ubyte.gz")
    write_idx(tmp_path, "train", 20)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(pixels(10_000, side=2)[:, 0]))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.full(20, 10, np.uint8)))
    with pytest.raises(DatasetError, match=r"label 10 at position 0.*Expected 0 to 9: mnist has 10 classes"):
        load_dataset(tmp_path)


def test_fashion_mnist_has_its_class_names(fashion_mnist: Path) -> None:
    data = load_dataset(fashion_mnist, "test")
    assert data.name == "fashion-mnist"
    assert data.class_names[9] == "Ankle boot"
    assert data.labels is not None
    assert torch.bincount(data.labels).tolist() == [1000] * 10
