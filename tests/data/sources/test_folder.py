from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from likewise.data import available_splits, load_dataset
from likewise.errors import DatasetError

from ..files import encoded, photograph, pixels, write_class_folders


def test_a_folder_per_class(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "photos", 3)
    (tmp_path / "photos" / "dog" / "deeper").mkdir()
    (tmp_path / "photos" / "dog" / "deeper" / "x.PNG").write_bytes(encoded(pixels(1, 3)[0]))
    (tmp_path / "photos" / "README.txt").write_text("about")
    (tmp_path / "photos" / "notes.csv").write_text("who,when\nme,today\n")
    (tmp_path / "photos" / "cat" / ".DS_Store").write_text("")
    (tmp_path / "photos" / ".hidden").mkdir()
    data = load_dataset(tmp_path / "photos")
    assert data.name == "photos"
    assert data.class_names == ("cat", "dog")
    assert data.ids == (
        "cat/0.png",
        "cat/1.png",
        "cat/2.png",
        "dog/0.png",
        "dog/1.png",
        "dog/2.png",
        "dog/deeper/x.PNG",
    )
    assert data.labels is not None
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert np.array_equal(data.images[3:6].numpy(), pixels(3, 3, 8, seed=1))


def test_split_folders_share_their_classes(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "train", 2, ("ant", "cat", "dog"))
    write_class_folders(tmp_path / "val", 1, ("cat",))
    write_class_folders(tmp_path / "Test", 1, ("dog", "zebra"))
    assert available_splits(tmp_path) == ("train", "validation", "test")
    test = load_dataset(tmp_path, "test")
    assert test.class_names == ("ant", "cat", "dog", "zebra")
    assert test.labels is not None
    assert test.labels.tolist() == [2, 3]
    assert test.ids == ("Test/dog/0.png", "Test/zebra/0.png")
    assert load_dataset(tmp_path, "dev").ids == ("val/cat/0.png",)


def test_a_class_called_test_is_a_class(tmp_path: Path) -> None:
    write_class_folders(tmp_path, 2, ("test", "other"))
    assert available_splits(tmp_path) == ("train",)
    assert load_dataset(tmp_path).class_names == ("other", "test")


def test_images_without_folders_have_no_labels(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(encoded(photograph(seed=number), "jpeg"))
    data = load_dataset(tmp_path)
    assert data.labels is None
    assert data.class_names == ()
    assert data.ids == ("0.jpg", "1.jpg", "2.jpg")


def test_an_image_beside_the_class_folders_is_unlabelled(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "photos", 2)
    (tmp_path / "photos" / "lost.png").write_bytes(encoded(pixels(1, 3)[0]))
    with pytest.raises(DatasetError, match=r"^photos/lost\.png is without a label\. 1 of 5 items\."):
        load_dataset(tmp_path / "photos")
    data = load_dataset(tmp_path / "photos", on_bad_image="skip")
    assert len(data) == 4
    assert data.bad_images[0].reason == "without a label"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"empty, 0 bytes"),
        (b"no image at all", "no known format"),
        (encoded(photograph(200, 200), "jpeg")[:900], "truncated after 900 bytes"),
    ],
)
def test_a_bad_file_is_named_and_counted_or_left_out(tmp_path: Path, content: bytes, reason: str) -> None:
    write_class_folders(tmp_path / "photos", 3)
    (tmp_path / "photos" / "cat" / "1.png").write_bytes(content)
    (tmp_path / "photos" / "dog" / "2.png").write_bytes(content)
    counted = r"2 of 6 files \(also photos/dog/2\.png\)\. Fix or remove it"
    message = rf"^photos/cat/1\.png is not a readable image \({reason}.*\)\. {counted}"
    for _ in range(2):  # decoded, then from the cache
        with pytest.raises(DatasetError, match=message):
            load_dataset(tmp_path / "photos")
        data = load_dataset(tmp_path / "photos", on_bad_image="skip")
        assert [bad.position for bad in data.bad_images] == [1, 5]
        assert data.ids == ("cat/0.png", "cat/2.png", "dog/0.png", "dog/1.png")
        assert torch.equal(data.images[1], torch.from_numpy(pixels(3, 3, 8)[2]))


def test_positions_count_in_the_source_when_several_things_are_wrong(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "photos", 3)
    (tmp_path / "photos" / "a.png").write_bytes(encoded(pixels(1, 3)[0]))
    (tmp_path / "photos" / "dog" / "1.png").write_bytes(b"")
    data = load_dataset(tmp_path / "photos", on_bad_image="skip")
    assert [(bad.position, bad.item) for bad in data.bad_images] == [(0, "photos/a.png"), (5, "photos/dog/1.png")]


def test_mixed_sizes_become_the_median_shorter_side(tmp_path: Path) -> None:
    for number, (height, width) in enumerate([(20, 30), (50, 40), (90, 60)]):
        (tmp_path / f"{number}.jpg").write_bytes(encoded(photograph(height, width), "jpeg"))
    assert load_dataset(tmp_path).image_shape == (3, 40, 40)
    assert load_dataset(tmp_path, image_size=16).image_shape == (3, 16, 16)
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(encoded(photograph(300 + number, 400), "jpeg"))
    assert load_dataset(tmp_path).image_shape == (3, 224, 224)


def test_one_shared_size_is_kept(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(encoded(photograph(20, 30, number)))
    data = load_dataset(tmp_path)
    assert data.image_shape == (3, 20, 30)
    assert np.array_equal(data.images[1].numpy(), np.asarray(photograph(20, 30, 1)).transpose(2, 0, 1))


def test_grey_if_all_are_grey_else_colour(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(pixels(1, 1)[0]))
    (tmp_path / "b.png").write_bytes(encoded(Image.new("1", (8, 8), 1)))
    assert load_dataset(tmp_path).image_shape == (1, 8, 8)
    assert load_dataset(tmp_path, channels=3).image_shape == (3, 8, 8)
    (tmp_path / "c.png").write_bytes(encoded(pixels(1, 3)[0]))
    data = load_dataset(tmp_path)
    assert data.image_shape == (3, 8, 8)
    assert torch.equal(data.images[0][0], data.images[0][2])
    assert load_dataset(tmp_path, channels=1).image_shape == (1, 8, 8)


def test_an_empty_class_folder_set(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    with pytest.raises(DatasetError, match="none that is a data set"):
        load_dataset(tmp_path)
    write_class_folders(tmp_path / "train", 1)
    (tmp_path / "test" / "cat").mkdir(parents=True)
    with pytest.raises(DatasetError, match="holds no images"):
        load_dataset(tmp_path, "test")
