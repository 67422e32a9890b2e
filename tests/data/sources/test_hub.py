"""`datasets` loads a local folder by the same call as a hub id, so the reader is tested without a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value

from likewise.data import load_dataset
from likewise.data.load import LoadSettings, load_split
from likewise.data.source import SourceOptions
from likewise.data.sources.hub import HubSource
from likewise.errors import DatasetError

from ..files import encoded, pixels


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    folder = tmp_path / "owner-name"
    folder.mkdir()
    features = Features({"img": Image(), "fine_label": ClassLabel(names=["zebra", "ant"]), "note": Value("string")})
    for split, count in (("train", 6), ("test", 3)):
        rows = {
            "img": [{"bytes": encoded(image), "path": None} for image in pixels(count, 3)],
            "fine_label": [i % 2 for i in range(count)],
            "note": ["-"] * count,
        }
        Dataset.from_dict(rows, features=features).to_parquet(folder / f"{split}.parquet")
    return folder


def test_images_and_class_names(hub: Path) -> None:
    source = HubSource(str(hub), SourceOptions())
    assert source.splits == ("train", "test")
    for limit in (1 << 30, 100):
        data = load_split(source, "train", LoadSettings(memory_limit=limit))
        assert data.streamed == (limit == 100)
        assert np.array_equal(data.images[:].numpy(), pixels(6, 3))
        assert data.class_names == ("zebra", "ant")
        assert data.labels is not None
        assert data.labels.tolist() == [0, 1] * 3
        assert data.origin == f"Hugging Face hub {hub}"


def test_a_missing_split_is_named(hub: Path) -> None:
    with pytest.raises(DatasetError, match=r"has no split 'validation'\. It has: train, test\."):
        HubSource(str(hub), SourceOptions()).read("validation")


@pytest.mark.parametrize("given", ["nobody/nothing", "hub:nothing"])
def test_an_id_that_cannot_be_had(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatasetError, match=r"nothing could not be had from the Hugging Face hub \(LIKEWISE_OFFLINE"):
        load_dataset(given)
    monkeypatch.delenv("LIKEWISE_OFFLINE")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DatasetError, match=r"nothing could not be had .*127\.0\.0\.1:9 does not answer: .*local path"):
        load_dataset(given)


def test_a_folder_that_datasets_cannot_load_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"could not be had from the Hugging Face hub \(\w+: "):
        HubSource(str(tmp_path), SourceOptions()).read("train")
