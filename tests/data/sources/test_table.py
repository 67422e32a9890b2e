from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch

from likewise.data import available_splits, load_dataset, load_splits
from likewise.errors import DatasetError

from ..files import encoded, first_rows, pixels

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write_images(folder: Path, count: int = 6) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(pixels(count, 3)):
        (folder / f"{number}.png").write_bytes(encoded(image))


def hub_table(count: int = 6, seed: int = 0, names: list[str] | None = None, **columns: Any) -> pa.Table:
    """A table in the Hugging Face convention, with ClassLabel names in the schema where given."""
    images = [
        {"bytes": encoded(image), "path": f"{number}.png"} for number, image in enumerate(pixels(count, 3, seed=seed))
    ]
    table = pa.table({"image": pa.array(images, IMAGE), **columns})
    if names is None:
        return table
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def write_text(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        tab = "\t" if path.suffix == ".tsv" else ","
        cells = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
        path.write_text("".join(tab.join(line) + "\n" for line in cells))
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_text_tables_with_paths_and_words(tmp_path: Path, suffix: str) -> None:
    write_images(tmp_path / "pictures")
    rows = [
        {"file_name": f"pictures/{i}.png", "class": ("dog", "cat")[i % 2], "caption": f"picture {i}"} for i in range(6)
    ]
    data = load_dataset(write_text(tmp_path / f"list{suffix}", rows))
    assert data.name == "list"
    assert np.array_equal(data.images[:].numpy(), pixels(6, 3))
    assert data.class_names == ("cat", "dog")
    assert data.labels is not None
    assert data.labels.tolist() == [1, 0] * 3
    assert data.captions == tuple((f"picture {i}",) for i in range(6))
    assert data.ids[2] == "pictures/2.png"


def test_columns_can_be_named(tmp_path: Path) -> None:
    write_images(tmp_path)
    rows = [{"image": "none.png", "photo": f"{i}.png", "kind": i % 3, "label": 0, "said": f"say {i}"} for i in range(6)]
    file = write_text(tmp_path / "list.csv", rows)
    data = load_dataset(file, image_column="photo", label_column="kind", caption_column="said")
    assert data.num_classes == 3
    assert data.captions is not None
    assert data.captions[5] == ("say 5",)
    with pytest.raises(DatasetError, match=r"list\.csv has no column 'photos' for the images\. It has: image, photo"):
        load_dataset(file, image_column="photos")


def test_parquet_with_bytes_names_and_lists_of_captions(tmp_path: Path) -> None:
    captions = [["one", "two"], ["three"]] * 3
    parquet.write_table(
        hub_table(names=["zebra", "ant"], label=[0, 1] * 3, captions=captions), tmp_path / "set.parquet"
    )
    data = load_dataset(tmp_path / "set.parquet")
    assert data.class_names == ("zebra", "ant")
    assert data.captions is not None
    assert data.captions[0] == ("one", "two")
    assert data.ids[0] == "0.png"
    assert np.array_equal(data.images[:].numpy(), pixels(6, 3))


def test_plain_bytes_are_images_too(tmp_path: Path) -> None:
    content = [encoded(image) for image in pixels(4, 3)]
    parquet.write_table(pa.table({"img": content, "label": ["b", "a", "b", "a"]}), tmp_path / "set.parquet")
    data = load_dataset(tmp_path / "set.parquet")
    assert np.array_equal(data.images[:].numpy(), pixels(4, 3))
    assert data.ids == ("train/00000", "train/00001", "train/00002", "train/00003")


def test_numbers_that_are_no_0_to_k(tmp_path: Path) -> None:
    parquet.write_table(hub_table(label=[7, 3, 7, 100, 3, 3]), tmp_path / "set.parquet")
    data = load_dataset(tmp_path / "set.parquet")
    assert data.class_names == ("3", "7", "100")
    assert data.labels is not None
    assert data.labels.tolist() == [1, 0, 1, 2, 0, 0]


def test_one_file_per_split_in_shards(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number in range(2):
        table = hub_table(3, seed=number, label=["b", "c", "b"])
        parquet.write_table(table, tmp_path / "data" / f"train-0000{number}-of-00002.parquet")
    parquet.write_table(hub_table(2, seed=2, label=["a", "c"]), tmp_path / "data" / "test-00000-of-00001.parquet")
    assert available_splits(tmp_path) == ("train", "test")
    train, test = load_dataset(tmp_path), load_dataset(tmp_path, "test")
    assert np.array_equal(train.images[:].numpy(), np.concatenate([pixels(3, 3, seed=0), pixels(3, 3, seed=1)]))
    assert train.class_names == test.class_names == ("a", "b", "c")
    assert test.labels is not None
    assert test.labels.tolist() == [0, 2]
    assert len(set(train.ids)) == 6


def test_metadata_beside_the_images_of_each_split(tmp_path: Path) -> None:
    for split, count in (("train", 4), ("test", 2)):
        write_images(tmp_path / split, count)
        rows = [{"file_name": f"{i}.png", "text": f"{split} {i}"} for i in range(count)]
        write_text(tmp_path / split / "metadata.jsonl", rows)
    data = load_dataset(tmp_path, "test")
    assert data.captions == (("test 0",), ("test 1",))
    assert data.labels is None
    assert np.array_equal(data.images[:].numpy(), pixels(4, 3)[:2]) or len(data) == 2


def test_one_row_per_caption_is_folded(tmp_path: Path) -> None:
    write_images(tmp_path, 3)
    rows = [{"image": f"{i}.png", "caption": f"caption {i}{j}"} for i in (2, 0, 1) for j in "abcde"]
    data = load_dataset(write_text(tmp_path / "captions.csv", rows))
    assert data.ids == ("2.png", "0.png", "1.png")
    assert data.captions is not None
    assert data.captions[0] == tuple(f"caption 2{j}" for j in "abcde")
    assert torch.equal(data.images[0], torch.from_numpy(pixels(3, 3)[2]))


@pytest.mark.parametrize("label", [None, "", -1])
def test_an_unlabelled_row_is_named_and_counted_or_left_out(tmp_path: Path, label: object) -> None:
    given = [0, 1, label, 1] if label == -1 else [0, 1, None, 1] if label is None else ["a", "b", "", "b"]
    parquet.write_table(hub_table(4, label=given), tmp_path / "set.parquet")
    with pytest.raises(DatasetError, match=r"^set\.parquet row 3 \(2\.png\) is without a label\. 1 of 4 items\."):
        load_dataset(tmp_path)
    data = load_dataset(tmp_path, on_bad_image="skip")
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1, 1]
    assert [bad.position for bad in data.bad_images] == [2]


@pytest.mark.parametrize("label", [None, -1])
def test_a_split_with_no_label_at_all_is_unlabelled(tmp_path: Path, label: int | None) -> None:
    parquet.write_table(hub_table(4, names=["a", "b"], label=[0, 1, 0, 1]), tmp_path / "train.parquet")
    hidden = pa.array([label] * 4, pa.int64())
    parquet.write_table(hub_table(4, names=["a", "b"], label=hidden), tmp_path / "test.parquet")
    assert load_dataset(tmp_path, "test").labels is None
    assert load_splits(tmp_path, validation=1).unlabeled is not None


@pytest.mark.parametrize("on_bad_image", ["stop", "skip"])
@pytest.mark.parametrize(("label", "names"), [(2, ["a", "b"]), (-2, ["a", "b"]), (-2, None)])
def test_a_label_out_of_range_always_stops(
    tmp_path: Path, on_bad_image: str, label: int, names: list[str] | None
) -> None:
    parquet.write_table(hub_table(4, names=names, label=[0, 1, 1, label]), tmp_path / "set.parquet")
    with pytest.raises(DatasetError, match=rf"set\.parquet row 4 has label {label}\. Expected 0 "):
        load_dataset(tmp_path, on_bad_image=on_bad_image)  # type: ignore[arg-type]


def test_bad_cells_are_named(tmp_path: Path) -> None:
    write_images(tmp_path, 4)
    rows = [{"image": name, "label": i % 2} for i, name in enumerate(["0.png", "gone.png", "", "3.png"])]
    file = write_text(tmp_path / "list.csv", rows)
    with pytest.raises(DatasetError, match=r"list\.csv row 2 \(gone\.png\) is not a readable file .*2 of 4 files"):
        load_dataset(file)
    data = load_dataset(file, on_bad_image="skip")
    assert [bad.reason.split(" (")[0] for bad in data.bad_images] == ["not a readable file", "without an image"]
    cells = [
        {"bytes": encoded(pixels(1, 3)[0]), "path": None},
        None,
        {"bytes": b"", "path": None},
        {"bytes": b"junk", "path": "a"},
    ]
    parquet.write_table(pa.table({"image": pa.array(cells, IMAGE)}), tmp_path / "cells.parquet")
    data = load_dataset(tmp_path / "cells.parquet", on_bad_image="skip")
    assert [bad.position for bad in data.bad_images] == [1, 2, 3]


def test_an_image_without_a_caption_among_captioned_ones(tmp_path: Path) -> None:
    parquet.write_table(hub_table(4, captions=[["a"], [], None, ["b"]]), tmp_path / "set.parquet")
    with pytest.raises(DatasetError, match=r"set\.parquet row 2 \(1\.png\) is without a caption\. 2 of 4 items"):
        load_dataset(tmp_path)
    assert load_dataset(tmp_path, on_bad_image="skip").captions == (("a",), ("b",))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("list.csv", b"image,label\na.png,1\nb.png,2,3\n", r"list\.csv cannot be read as a table .*[Rr]ow #3"),
        ("list.jsonl", b'{"image": "a.png"}\n{"image": \n', r"list\.jsonl cannot be read as a table"),
        ("list.parquet", b"PAR1 and then nothing", r"list\.parquet cannot be read as a table"),
        ("list.csv", b"first,second\n1,2\n", "no column of images; it has: first, second"),
        ("list.csv", b"image,label\na.png,1.5\n", "holds fractions"),
    ],
)
def test_damaged_tables(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        load_dataset(tmp_path / name)


def test_columns_of_the_wrong_kind(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"image": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(DatasetError, match=r"Column 'image' of a\.parquet holds int64"):
        load_dataset(tmp_path / "a.parquet")
    parquet.write_table(hub_table(2, label=[[0, 1], [1]]), tmp_path / "b.parquet")
    with pytest.raises(DatasetError, match="one integer or word per image"):
        load_dataset(tmp_path / "b.parquet")
    parquet.write_table(hub_table(2, caption=[1, 2]), tmp_path / "c.parquet")
    with pytest.raises(DatasetError, match="Expected captions"):
        load_dataset(tmp_path / "c.parquet")


def test_a_cut_off_parquet_file(tmp_path: Path) -> None:
    parquet.write_table(hub_table(6), tmp_path / "set.parquet")
    whole = (tmp_path / "set.parquet").read_bytes()
    (tmp_path / "set.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match="cannot be read as a table"):
        load_dataset(tmp_path)


def test_tiny_imagenets_grey_photographs_become_colour(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    first_rows(real_data("tiny_imagenet") / "train.parquet", 600, tmp_path / "train.parquet")
    data = load_dataset(tmp_path)
    assert data.image_shape == (3, 64, 64)
    assert data.num_classes == 200
    assert data.class_names[0] == "goldfish, Carassius auratus"
    grey = [
        i
        for i, image in enumerate(data.images[:])
        if torch.equal(image[0], image[1]) and torch.equal(image[0], image[2])
    ]
    assert 0 < len(grey) < 60


def test_omniglots_one_bit_drawings(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    first_rows(real_data("omniglot") / "background.parquet", 40, tmp_path / "train.parquet")
    data = load_dataset(tmp_path)
    assert data.image_shape == (1, 105, 105)
    assert data.images[:].unique().tolist() == [0, 255]
    assert float((data.images[:] == 0).float().mean()) < 0.2  # ink is black


def test_flickr8k_has_five_captions_each(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    first_rows(real_data("flickr8k") / "test.parquet", 30, tmp_path / "test.parquet")
    data = load_dataset(tmp_path / "test.parquet")
    assert data.captions is not None
    assert {len(given) for given in data.captions} == {5}
    assert data.ids[0] == "1056338697_4f7d7ce270.jpg"
