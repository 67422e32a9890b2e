from __future__ import annotations

from pathlib import Path

import pytest

from likewise.data import KNOWN_NAMES, available_splits, load_dataset
from likewise.data.registry import open_source
from likewise.data.source import SourceOptions, canonical_split, split_in_name
from likewise.data.sources.hub import HubSource
from likewise.errors import DatasetError

from .files import write_class_folders, write_idx


def test_an_unknown_name_lists_what_is_known() -> None:
    with pytest.raises(DatasetError) as caught:
        load_dataset("nope")
    message = str(caught.value)
    assert "'nope'" in message
    assert all(name in message for name in KNOWN_NAMES)
    assert "path" in message
    assert "owner/name" in message


@pytest.mark.parametrize("source", ["", "no/such/path/here", "./nothing", "photos/missing.csv", "/nowhere"])
def test_a_path_that_does_not_exist_is_not_taken_for_a_hub_id(source: str) -> None:
    with pytest.raises(DatasetError, match="no known name, and no file or folder"):
        load_dataset(source)


def test_a_slash_means_an_existing_path_first_and_the_hub_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert isinstance(open_source("owner/name", SourceOptions()), HubSource)
    assert open_source("hub:name", SourceOptions()).name == "name"
    write_class_folders(tmp_path / "owner" / "name", 1)
    assert load_dataset("owner/name").class_names == ("cat", "dog")


def test_a_known_name_wins_over_a_folder_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_class_folders(tmp_path / "digits", 1)
    assert len(load_dataset("digits")) == 1797
    assert len(load_dataset("./digits")) == len(load_dataset(Path("digits"))) == 2


def test_one_idx_file_stands_for_its_folder(tmp_path: Path) -> None:
    write_idx(tmp_path)
    assert len(load_dataset(tmp_path / "train-images-idx3-ubyte")) == 30


def test_a_file_of_no_known_kind(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"x")
    with pytest.raises(DatasetError, match=r"model\.pt is of no kind that can be read"):
        load_dataset(tmp_path / "model.pt")


def test_digits_are_exact() -> None:
    from sklearn.datasets import load_digits

    data = load_dataset("digits")
    assert data.images[0, 0, 0].tolist() == [round(value * 255 / 16) for value in load_digits().images[0, 0]]
    assert available_splits("digits") == ("train",)
    with pytest.raises(DatasetError, match=r"digits has no split 'test'\. It has: train"):
        load_dataset("digits", "test")


@pytest.mark.parametrize(("word", "split"), [("dev", "validation"), ("T10K", "test"), ("extra", "extra")])
def test_words_for_splits(word: str, split: str) -> None:
    assert canonical_split(word) == split


@pytest.mark.parametrize(
    ("stem", "split"), [("fashion-mnist_train", "train"), ("validation-00000-of-00003", "validation"), ("latest", None)]
)
def test_splits_in_file_names(stem: str, split: str | None) -> None:
    assert split_in_name(stem) == split
