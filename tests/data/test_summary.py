from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from likewise.data import describe
from likewise.errors import DatasetError

from .files import write_class_folders


def test_a_summary_counts_what_is_there(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "photos" / "train", 3)
    write_class_folders(tmp_path / "photos" / "test", 2, ("dog",), side=20)
    (tmp_path / "photos" / "train" / "cat" / "2.png").write_bytes(b"junk")
    summary = describe(tmp_path / "photos")
    assert summary.name == "photos"
    train, test = summary.splits
    assert (train.images, train.image_shape, train.bytes) == (5, (3, 8, 8), 5 * 192)
    assert train.class_counts == {"cat": 2, "dog": 3}
    assert [bad.item for bad in train.bad_images] == ["photos/train/cat/2.png"]
    assert (test.images, test.image_shape) == (2, (3, 8, 8))
    assert test.class_counts == {"cat": 0, "dog": 2}
    shown = summary.as_dict()
    assert json.loads(json.dumps(shown)) == shown == yaml.safe_load(yaml.safe_dump(shown))
    assert shown["splits"][0]["bad_images"][0]["position"] == 2
    with pytest.raises(DatasetError, match="1 of 6 files"):
        describe(tmp_path / "photos", on_bad_image="stop")


def test_a_set_without_labels(tmp_path: Path) -> None:
    write_class_folders(tmp_path, 2, ("",))
    (split,) = describe(tmp_path, memory_limit=1).splits
    assert (split.without_label, split.class_counts, split.streamed) == (2, {}, True)
