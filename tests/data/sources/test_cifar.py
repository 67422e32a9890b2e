from __future__ import annotations

import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch

from likewise.data import available_splits, cache_home, load_dataset
from likewise.data.sources.cifar import CIFAR10_CLASSES, read_pickled_batch
from likewise.errors import DatasetError

from ..files import pixels

PER_FILE = 6


def cifar10(folder: Path, binary: bool) -> Path:
    """The files of CIFAR-10 with six images each, in the author's formats."""
    folder.mkdir(parents=True)
    for number in range(6):
        images = pixels(PER_FILE, 3, 32, seed=number).reshape(PER_FILE, 3072)
        labels = (np.arange(PER_FILE) + number) % 10
        name = f"data_batch_{number + 1}" if number < 5 else "test_batch"
        if binary:
            (folder / f"{name}.bin").write_bytes(np.hstack([labels[:, None].astype(np.uint8), images]).tobytes())
        else:
            batch = {
                b"batch_label": b"b",
                b"labels": labels.tolist(),
                b"data": images,
                b"filenames": [b"a.png"] * PER_FILE,
            }
            (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    if binary:
        (folder / "batches.meta.txt").write_text("\n".join(CIFAR10_CLASSES) + "\n\n")
    else:
        meta = {b"label_names": [name.encode() for name in CIFAR10_CLASSES], b"num_cases_per_batch": PER_FILE}
        (folder / "batches.meta").write_bytes(pickle.dumps(meta, protocol=2))
    return folder


def cifar100(folder: Path, binary: bool) -> Path:
    folder.mkdir(parents=True)
    names = [f"thing_{number}" for number in range(100)]
    for number, split in enumerate(("train", "test")):
        images = pixels(PER_FILE, 3, 32, seed=number).reshape(PER_FILE, 3072)
        fine, coarse = np.arange(PER_FILE) * 17, np.arange(PER_FILE)
        if binary:
            records = np.hstack([coarse[:, None], fine[:, None], images]).astype(np.uint8)
            (folder / f"{split}.bin").write_bytes(records.tobytes())
        else:
            batch = {b"fine_labels": fine.tolist(), b"coarse_labels": coarse.tolist(), b"data": images}
            (folder / split).write_bytes(pickle.dumps(batch, protocol=2))
    if binary:
        (folder / "fine_label_names.txt").write_text("\n".join(names))
    else:
        (folder / "meta").write_bytes(
            pickle.dumps({b"fine_label_names": [name.encode() for name in names]}, protocol=2)
        )
    return folder


def packed(folder: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, folder.name)
    return archive


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("as_archive", [False, True])
@pytest.mark.parametrize("memory_limit", [None, 5000])
def test_cifar10_in_both_formats(tmp_path: Path, binary: bool, as_archive: bool, memory_limit: int | None) -> None:
    source = cifar10(tmp_path / ("cifar-10-batches-bin" if binary else "cifar-10-batches-py"), binary)
    if as_archive:
        source = packed(source, tmp_path / "cifar-10.tar.gz")
    assert available_splits(source) == ("train", "test")
    train, test = (load_dataset(source, split, memory_limit=memory_limit) for split in ("train", "test"))
    assert train.name == "cifar10"
    assert train.class_names == CIFAR10_CLASSES
    assert train.streamed == (memory_limit is not None)
    expected = np.concatenate([pixels(PER_FILE, 3, 32, seed=number) for number in range(5)])
    assert np.array_equal(train.images[:].numpy(), expected)
    assert np.array_equal(test.images[:].numpy(), pixels(PER_FILE, 3, 32, seed=5))
    assert test.labels is not None
    assert test.labels.tolist() == [5, 6, 7, 8, 9, 0]


@pytest.mark.parametrize("binary", [False, True])
def test_cifar100_gives_fine_labels(tmp_path: Path, binary: bool) -> None:
    data = load_dataset(cifar100(tmp_path / "cifar-100", binary), "test")
    assert data.name == "cifar100"
    assert data.labels is not None
    assert data.labels.tolist() == [0, 17, 34, 51, 68, 85]
    assert data.class_names[17] == "thing_17"
    assert np.array_equal(data.images[:].numpy(), pixels(PER_FILE, 3, 32, seed=1))


def test_by_name_from_the_cache(tmp_path: Path) -> None:
    (cache_home() / "cifar10").mkdir(parents=True)
    packed(cifar10(tmp_path / "cifar-10-batches-py", False), cache_home() / "cifar10" / "cifar-10-python.tar.gz")
    assert "archive" in load_dataset("cifar10").origin
    cifar100(cache_home() / "cifar100" / "cifar-100-binary", True)
    assert load_dataset("cifar100").name == "cifar100"


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch evil-was-here",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_would_run_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = cifar10(tmp_path / "set", False)
    (folder / "data_batch_3").write_bytes(pickle.dumps({b"data": _Evil(), b"labels": []}, protocol=protocol))
    with pytest.raises(DatasetError, match=r"data_batch_3 was not loaded .*system, which is not data"):
        load_dataset(folder)
    assert not (tmp_path / "evil-was-here").exists()


@pytest.mark.parametrize("expression", ["eval", "getattr", "__import__", "exec"])
def test_builtins_are_refused(tmp_path: Path, expression: str) -> None:
    file = tmp_path / "batch"
    file.write_bytes(f"cbuiltins\n{expression}\n(S'1'\ntR.".encode())
    with pytest.raises(DatasetError, match=f"asks for builtins.{expression}"):
        read_pickled_batch(file)


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps([1, 2]), pickle.dumps({b"data": np.zeros(3)})])
def test_damaged_pickles(tmp_path: Path, content: bytes) -> None:
    folder = cifar10(tmp_path / "set", False)
    (folder / "test_batch").write_bytes(content)
    with pytest.raises(DatasetError, match="test_batch was not loaded"):
        load_dataset(folder, "test")


def test_a_python_3_pickle_is_read_too(tmp_path: Path) -> None:
    images = pixels(2, 3, 32).reshape(2, 3072)
    for protocol in (2, 4):
        file = tmp_path / f"batch-{protocol}"
        file.write_bytes(pickle.dumps({"data": images, "labels": [1, 2]}, protocol=protocol))
        batch = read_pickled_batch(file)
        assert np.array_equal(batch["data"], images)
        assert batch["labels"] == [1, 2]


def test_bad_files_are_named(tmp_path: Path) -> None:
    binary = cifar10(tmp_path / "binary", True)
    file = binary / "data_batch_2.bin"
    whole = file.read_bytes()
    file.write_bytes(whole[:-7])
    with pytest.raises(DatasetError, match=r"data_batch_2\.bin has 18,431 bytes.*records of 3,073"):
        load_dataset(binary)
    file.write_bytes(b"\x0a" + whole[1:])
    with pytest.raises(DatasetError, match=r"data_batch_2\.bin has label 10 at position 0.*Expected 0 to 9"):
        load_dataset(binary)
    file.unlink()
    with pytest.raises(DatasetError, match="4 of the five training files"):
        load_dataset(binary)


def test_real_cifar10_through_its_table_and_its_binary_format(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    """Real images, lossless in a table, must be the same when written in the author's format and read from there."""
    rows = parquet.ParquetFile(real_data("cifar10") / "test.parquet").read_row_group(0).slice(0, 200)
    parquet.write_table(rows, tmp_path / "test.parquet")
    table = load_dataset(tmp_path / "test.parquet")
    assert table.class_names == CIFAR10_CLASSES
    assert table.labels is not None
    records = np.hstack([table.labels.numpy()[:, None].astype(np.uint8), table.images[:].numpy().reshape(200, 3072)])
    (tmp_path / "binary").mkdir()
    (tmp_path / "binary" / "test_batch.bin").write_bytes(records.tobytes())
    again = load_dataset(tmp_path / "binary", "test")
    assert torch.equal(again.images[:], table.images[:])
    assert torch.equal(again.labels, table.labels)
