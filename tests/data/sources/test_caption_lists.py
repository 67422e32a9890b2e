"""Captions as Flickr8k, COCO, Karpathy and WebDataset hand them out, on small files of their forms."""

from __future__ import annotations

import io
import json
import logging
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from likewise.data import available_splits, load_dataset
from likewise.errors import DatasetError

from ..files import encoded, pixels


def write_images(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for image, name in zip(pixels(len(names), 3), names, strict=True):
        (folder / name).write_bytes(encoded(image))


def test_flickr_tokens_and_split_lists(tmp_path: Path) -> None:
    write_images(tmp_path / "Flicker8k_Dataset", ["a.png", "b.png", "c.png"])
    lines = [f"{name}.png#{number}\tCaption {number} of {name} ." for name in "abc" for number in range(2)]
    (tmp_path / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "Flickr_8k.trainImages.txt").write_text("c.png\na.png\n")
    (tmp_path / "Flickr_8k.devImages.txt").write_text("b.png\n")
    assert available_splits(tmp_path) == ("train", "validation")
    train = load_dataset(tmp_path)
    assert train.ids == ("c.png", "a.png")
    assert train.captions is not None
    assert train.captions[0] == ("Caption 0 of c .", "Caption 1 of c .")
    assert np.array_equal(train.images[1].numpy(), pixels(3, 3)[0])
    assert load_dataset(tmp_path / "Flickr8k.token.txt", "validation").ids == ("b.png",)


def test_captions_txt_with_commas_and_quotes(tmp_path: Path) -> None:
    write_images(tmp_path / "Images", ["a.png", "b.png"])
    text = 'image,caption\na.png,"A dog, wet ."\na.png,A dog, dry .\nb.png,Two cats .\n'
    (tmp_path / "captions.txt").write_text(text)
    data = load_dataset(tmp_path)
    assert data.captions == (("A dog, wet .", "A dog, dry ."), ("Two cats .",))


def test_flickr30k_results(tmp_path: Path) -> None:
    write_images(tmp_path / "flickr30k_images", ["a.png"])
    (tmp_path / "results.csv").write_text(
        "image_name| comment_number| comment\na.png| 0| A man | smiles\na.png| 1| B\n"
    )
    assert load_dataset(tmp_path).captions == (("A man | smiles", "B"),)


def test_coco_captions(tmp_path: Path) -> None:
    for split, names in (("train2017", ["1.png", "2.png"]), ("val2017", ["3.png"])):
        write_images(tmp_path / split, names)
        content = {
            "images": [{"id": int(name[0]), "file_name": name} for name in names],
            "annotations": [{"image_id": int(name[0]), "caption": f"{name} {n}\n"} for n in range(2) for name in names],
        }
        (tmp_path / "annotations").mkdir(exist_ok=True)
        (tmp_path / "annotations" / f"captions_{split}.json").write_text(json.dumps(content))
    assert available_splits(tmp_path) == ("train", "validation")
    assert load_dataset(tmp_path).captions == (("1.png 0", "1.png 1"), ("2.png 0", "2.png 1"))
    assert load_dataset(tmp_path, "val").ids == ("3.png",)


def test_karpathys_split(tmp_path: Path) -> None:
    write_images(tmp_path / "images" / "val2014", ["1.png", "2.png", "3.png"])
    images = [
        {"filepath": "val2014", "filename": f"{n}.png", "split": split, "sentences": [{"raw": f"about {n}"}]}
        for n, split in ((1, "restval"), (2, "val"), (3, "test"))
    ]
    (tmp_path / "dataset_coco.json").write_text(json.dumps({"images": images}))
    assert available_splits(tmp_path) == ("train", "validation", "test")
    train = load_dataset(tmp_path)
    assert (train.name, train.ids, train.captions) == ("coco", ("1.png",), (("about 1",),))


def write_shard(file: Path, samples: Mapping[str, Mapping[str, bytes]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as shard:
        for key, members in samples.items():
            for kind, content in members.items():
                member = tarfile.TarInfo(f"{key}.{kind}")
                member.size = len(content)
                shard.addfile(member, io.BytesIO(content))


def test_webdataset_shards(tmp_path: Path) -> None:
    images = pixels(4, 3)
    for number in range(2):
        samples = {
            f"{2 * number + n:04d}": {
                "png": encoded(images[2 * number + n]),
                "json": json.dumps({"caption": f"picture {2 * number + n}"}).encode(),
                "cls": str(n).encode(),
            }
            for n in range(2)
        }
        write_shard(tmp_path / f"train-{number:06d}.tar", samples)
    write_shard(tmp_path / "val-000000.tar", {"0009": {"png": encoded(images[0]), "txt": b"one\ntwo\n", "cls": b"1"}})
    assert available_splits(tmp_path) == ("train", "validation")
    train = load_dataset(tmp_path)
    assert train.captions == tuple((f"picture {n}",) for n in range(4))
    assert train.labels is not None
    assert train.labels.tolist() == [0, 1, 0, 1]
    assert np.array_equal(train.images.numpy(), images)  # type: ignore[union-attr]
    assert load_dataset(tmp_path / "val-000000.tar", "validation").captions == (("one", "two"),)
    streamed = load_dataset(tmp_path, memory_limit=0)
    assert streamed.streamed
    assert np.array_equal(next(streamed.batches([train.labels.argsort()]))[1].numpy(), images[[0, 2, 1, 3]])


def test_a_caption_of_a_missing_image_is_named(tmp_path: Path) -> None:
    write_images(tmp_path / "Images", ["a.png"])
    (tmp_path / "captions.txt").write_text("image,caption\na.png,here\nb.png,gone\n")
    with pytest.raises(DatasetError, match=r"b\.png \(in captions\.txt\) is not a readable file.*1 of 2 files"):
        load_dataset(tmp_path)
    data = load_dataset(tmp_path, on_bad_image="skip")
    assert (data.ids, data.captions) == (("a.png",), (("here",),))


def test_an_empty_caption_is_passed_over_and_an_image_with_none_is_named(tmp_path: Path) -> None:
    write_images(tmp_path / "Images", ["a.png", "b.png"])
    (tmp_path / "captions.txt").write_text("image,caption\na.png,here\na.png,  \nb.png,\n")
    with pytest.raises(DatasetError, match=r"b\.png \(in captions\.txt\) is without a caption"):
        load_dataset(tmp_path)
    data = load_dataset(tmp_path, on_bad_image="skip")
    assert data.captions == (("here",),)
    assert "2 empty captions" in data.origin


def test_lines_that_are_not_utf8_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_images(tmp_path / "Images", ["a.png"])
    (tmp_path / "captions.txt").write_bytes(
        "image,caption\na.png,un café\n".encode() + "a.png,un café".encode("cp1252")
    )
    with caplog.at_level(logging.WARNING):
        assert load_dataset(tmp_path).captions == (("un café", "un café"),)
    assert "1 of 3 lines of captions.txt are not UTF-8" in caplog.text


def test_damaged_lists_are_named(tmp_path: Path) -> None:
    (tmp_path / "dataset_mine.json").write_text("{")
    with pytest.raises(DatasetError, match=r"dataset_mine\.json cannot be read as JSON"):
        load_dataset(tmp_path)
    (tmp_path / "dataset_mine.json").write_text('{"images": [{"filename": "a.png"}]}')
    with pytest.raises(DatasetError, match="entry without 'split'"):
        load_dataset(tmp_path)
