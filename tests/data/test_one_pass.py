"""One pass over a source: the pixels of ``load_dataset``, in order, with bad items named where they are met."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from likewise.data import load_dataset
from likewise.data.one_pass import open_passes
from likewise.errors import DatasetError

from .files import write_class_folders, write_idx


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_pixels_and_rows_are_those_of_load_dataset(tmp_path: Path, batch_size: int) -> None:
    write_class_folders(tmp_path, per_class=5)
    loaded = load_dataset(tmp_path, image_size=6, channels=1)
    (part,) = open_passes(tmp_path, (1, 6, 6))
    batches = list(part.batches(batch_size))
    assert torch.equal(torch.cat([batch.pixels for batch in batches]), loaded.images)
    positions = [int(i) for batch in batches for i in batch.positions]
    assert positions == list(range(10))
    labels = part.labels(torch.tensor(positions).numpy())
    assert labels == loaded.labels.tolist()
    assert part.class_names(labels) == [loaded.class_names[i] for i in loaded.labels]
    assert [part.item(i) for i in positions] == [f"{tmp_path.name}/{identity}" for identity in loaded.ids]


@pytest.mark.parametrize("start", [0, 4, 9, 12])
def test_a_pass_is_taken_up_where_it_was_left(tmp_path: Path, start: int) -> None:
    write_idx(tmp_path, count=12)
    (part,) = open_passes(tmp_path, (1, 8, 8))
    whole = torch.cat([batch.pixels for batch in part.batches(4)])
    rest = [batch.pixels for batch in part.batches(4, start)]
    assert torch.equal(torch.cat([whole[:start], *rest]), whole)


def test_more_batches_than_are_decoded_ahead_keep_their_order(tmp_path: Path) -> None:
    write_class_folders(tmp_path, per_class=20)
    (part,) = open_passes(tmp_path, (3, 8, 8))
    assert [batch.end for batch in part.batches(3)] == [*range(3, 40, 3), 40]
    assert torch.equal(
        torch.cat([batch.pixels for batch in part.batches(3)]), load_dataset(tmp_path, channels=3).images
    )


def test_bad_images_stop_or_are_left_out_where_they_are_met(tmp_path: Path) -> None:
    write_class_folders(tmp_path, per_class=4)
    bad = sorted((tmp_path / "dog").iterdir())[1]
    bad.write_bytes(b"not an image")
    (part,) = open_passes(tmp_path, (3, 8, 8))
    passed = part.batches(2)
    assert [next(passed).end, next(passed).end] == [2, 4]
    with pytest.raises(DatasetError, match=rf"dog/{bad.name} is not a readable image.*1 of 8 files"):
        next(passed)
    (part,) = open_passes(tmp_path, (3, 8, 8), on_bad_image="skip")
    batches = list(part.batches(2))
    assert [len(batch.pixels) for batch in batches] == [2, 2, 1, 2]
    assert [(item.position, item.item) for batch in batches for item in batch.bad] == [
        (5, f"{tmp_path.name}/dog/{bad.name}")
    ]
    assert [int(i) for batch in batches for i in batch.positions] == [0, 1, 2, 3, 4, 6, 7]


def test_splits_and_their_order(tmp_path: Path) -> None:
    write_idx(tmp_path, "train", count=9)
    write_idx(tmp_path, "t10k", count=6)
    assert [(part.split, len(part)) for part in open_passes(tmp_path, (1, 8, 8))] == [("train", 9), ("test", 6)]
    assert [part.split for part in open_passes(tmp_path, (1, 8, 8), split="t10k")] == ["test"]
    with pytest.raises(DatasetError, match="no split 'val"):
        open_passes(tmp_path, (1, 8, 8), split="val")
    with pytest.raises(DatasetError, match="on_bad_image is 'ignore'"):
        open_passes(tmp_path, (1, 8, 8), on_bad_image="ignore")  # type: ignore[arg-type]
