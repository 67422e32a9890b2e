"""Finding a set by its name: places, order, checks, and what is said when there is none."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from likewise.data import cache_home, load_dataset
from likewise.data.source import SourceOptions
from likewise.data.sources import named
from likewise.data.sources.named import FASHION_MNIST, MNIST, find_idx_set
from likewise.errors import DatasetError

from ..files import pixels, write_idx


@pytest.fixture
def small_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, named.IdxSet]:
    """A folder of small idx files, gzipped, and the description of a set whose checksums they have."""
    folder = tmp_path / "package" / "usr" / "share" / "datasets" / "fashion-mnist"
    for split, count in (("train", 30), ("t10k", 10)):
        write_idx(folder, split, count, packed=True)
    sums = {
        file.name.removesuffix(".gz"): hashlib.sha256(gzip.decompress(file.read_bytes())).hexdigest()
        for file in folder.iterdir()
    }
    monkeypatch.setattr(named, "SYSTEM_FOLDER", tmp_path / "nowhere")
    return folder, dataclasses.replace(FASHION_MNIST, sha256=sums)


def copy(folder: Path, target: Path) -> Path:
    return shutil.copytree(folder, target)


def test_the_cache_comes_first(small_set: tuple[Path, named.IdxSet]) -> None:
    folder, wanted = small_set
    cache = copy(folder, cache_home() / "fashion-mnist")
    source = find_idx_set(wanted, SourceOptions())
    assert source.folder == cache
    raw = source.read("train")
    assert raw.origin == f"files in {cache}, checksums verified"
    assert raw.class_names[0] == "T-shirt/top"


def test_an_installed_package_comes_next(
    small_set: tuple[Path, named.IdxSet], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, wanted = small_set
    monkeypatch.setattr(named, "SYSTEM_FOLDER", folder.parent)
    assert find_idx_set(wanted, SourceOptions()).read("test").origin == f"installed in {folder}, checksums verified"


def test_plain_files_do_as_well_as_packed_ones(small_set: tuple[Path, named.IdxSet]) -> None:
    folder, wanted = small_set
    cache = cache_home() / "fashion-mnist"
    cache.mkdir(parents=True)
    for file in folder.iterdir():
        (cache / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
    assert len(find_idx_set(wanted, SourceOptions()).read("train").ids) == 30


def test_a_file_with_other_content_is_refused(small_set: tuple[Path, named.IdxSet]) -> None:
    folder, wanted = small_set
    cache = copy(folder, cache_home() / "fashion-mnist")
    (cache / "train-images-idx3-ubyte.gz").unlink()
    write_idx(cache, "train", 30, seed=5)
    with pytest.raises(DatasetError, match=r"train-images-idx3-ubyte is not fashion-mnist's.*Delete it"):
        find_idx_set(wanted, SourceOptions()).read("train")


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "fashion_mnist"])
def test_a_set_that_cannot_be_had_names_the_files_to_put_where(name: str) -> None:
    if Path("/usr/share/datasets/fashion-mnist").exists() and name != "mnist":
        pytest.skip("Fashion-MNIST is installed on this machine")
    with pytest.raises(DatasetError) as caught:
        load_dataset(name)
    message = str(caught.value)
    assert "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz" in message
    assert str(cache_home() / name.replace("_", "-")) in message
    assert "LIKEWISE_OFFLINE" in message


@pytest.mark.parametrize(
    ("name", "file"),
    [("cifar10", "cifar-10-python.tar.gz"), ("cifar-100", "cifar-100-python.tar.gz"), ("stl10", "stl10_binary.tar.gz")],
)
def test_an_archive_that_cannot_be_had_is_named(name: str, file: str) -> None:
    with pytest.raises(DatasetError) as caught:
        load_dataset(name)
    assert file in str(caught.value)
    assert str(cache_home() / name.replace("-", "")) in str(caught.value)


def write_program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def fake_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_set: tuple[Path, named.IdxSet]) -> Path:
    """apt-get and dpkg-deb as scripts, whose downloads fail until `update` was run; the path of their log."""
    programs, log = tmp_path / "bin", tmp_path / "log"
    programs.mkdir()
    package = small_set[0].parents[3]
    write_program(
        programs,
        "apt-get",
        f"""echo "apt-get $*" >> {log}
case "$*" in
  *update*) touch {tmp_path}/updated ;;
  *download*) test -e {tmp_path}/updated || {{ echo 'E: Unable to locate package' >&2; exit 100; }}
    echo 'dlstatus:1:50.0:Retrieving'; touch dataset-fashion-mnist_0.0~git1-1_all.deb ;;
esac""",
    )
    write_program(programs, "dpkg-deb", f'echo "dpkg-deb $1" >> {log}; cp -r {package}/. "$3"')
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.delenv("LIKEWISE_OFFLINE")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    return log


def test_debians_package_is_fetched_without_root_and_with_empty_lists(
    small_set: tuple[Path, named.IdxSet], fake_apt: Path
) -> None:
    source = find_idx_set(small_set[1], SourceOptions())
    assert source.read("train").origin == "Debian package dataset-fashion-mnist 0.0~git1-1, checksums verified"
    steps = fake_apt.read_text().splitlines()
    assert ["download" in steps[0], "update" in steps[1], "download" in steps[2], steps[3]] == [
        True,
        True,
        True,
        "dpkg-deb -x",
    ]
    assert "Dir::State::Lists" not in steps[0]
    for step in steps[1:3]:
        assert f"Dir::State::Lists={cache_home()}" in step
    for step in steps[:3]:
        assert f"Dir::Cache={cache_home()}" in step
    assert sorted(path.name for path in cache_home().iterdir()) == ["fashion-mnist"]
    assert find_idx_set(small_set[1], SourceOptions()).origin.startswith("Debian package")
    assert len(fake_apt.read_text().splitlines()) == len(steps)


def test_a_package_with_other_content_is_not_kept(small_set: tuple[Path, named.IdxSet], fake_apt: Path) -> None:
    wanted = dataclasses.replace(
        small_set[1], sha256=dict.fromkeys(small_set[1].sha256, "0" * 64), hub="", mirrors=("http://127.0.0.1:9/",)
    )
    with pytest.raises(DatasetError, match=r"Debian package: .*sha256"):
        find_idx_set(wanted, SourceOptions())
    assert list((cache_home() / "fashion-mnist").glob("*ubyte*")) == []


def test_without_apt_the_reason_is_said(small_set: tuple[Path, named.IdxSet], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DatasetError, match="Debian package: apt-get is not on this machine"):
        find_idx_set(small_set[1], SourceOptions())


def test_the_hubs_png_images_become_the_same_idx_files(
    small_set: tuple[Path, named.IdxSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub is stood in for by a folder that `datasets` loads: same reader, no network."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    from ..files import encoded

    hub = tmp_path / "hub"
    hub.mkdir()
    for split, count in (("train", 30), ("test", 10)):
        images = [{"bytes": encoded(image), "path": None} for image in pixels(count)]
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        parquet.write_table(
            pa.table({"image": pa.array(images, kind), "label": [i % 3 for i in range(count)]}),
            hub / f"{split}.parquet",
        )
    wanted = dataclasses.replace(small_set[1], hub=str(hub))
    source = find_idx_set(wanted, SourceOptions())
    assert source.origin == f"Hugging Face hub {hub}, checksums verified"
    raw = source.read("train")
    assert raw.labels is not None
    assert np.array_equal(raw.labels, np.arange(30) % 3)
    swapped = dataclasses.replace(wanted, sha256=wanted.sha256 | {"t10k-labels-idx1-ubyte": "0" * 64})
    shutil.rmtree(cache_home() / "fashion-mnist")
    with pytest.raises(DatasetError, match="gives other images or labels for t10k-labels"):
        find_idx_set(swapped, SourceOptions())


def test_fashion_mnist_by_name_is_verified(fashion_mnist: Path) -> None:
    copy(fashion_mnist, cache_home() / "fashion-mnist")
    data = load_dataset("fashion-mnist", "test")
    assert data.origin.endswith("checksums verified")
    assert torch.equal(data.images[:], load_dataset(fashion_mnist, "test").images[:])


def test_mnist_by_name_is_verified(real_data) -> None:  # type: ignore[no-untyped-def]
    copy(real_data("mnist"), cache_home() / "mnist")
    assert load_dataset("mnist", "test").origin.endswith("checksums verified")
    assert set(MNIST.sha256) == set(FASHION_MNIST.sha256)
