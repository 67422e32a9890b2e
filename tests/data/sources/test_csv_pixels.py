from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from likewise.data import available_splits, load_dataset
from likewise.errors import DatasetError

from ..files import pixels

SIDE = 6


def lines(count: int = 10, classes: int = 5, labelled: bool = True, seed: int = 0) -> list[str]:
    values = pixels(count, 1, SIDE, seed).reshape(count, -1)
    return [",".join(map(str, [*([i % classes] if labelled else []), *row])) for i, row in enumerate(values.tolist())]


HEADER = ",".join(["label", *(f"pixel{number + 1}" for number in range(SIDE * SIDE))])


def write(path: Path, rows: list[str], header: str | None = HEADER) -> Path:
    path.write_text("\n".join([*([header] if header else []), *rows]) + "\n")
    return path


@pytest.mark.parametrize("header", [HEADER, None])
def test_with_and_without_a_header(tmp_path: Path, header: str | None) -> None:
    data = load_dataset(write(tmp_path / "pictures.csv", lines(), header))
    assert np.array_equal(data.images[:].numpy(), pixels(10, 1, SIDE))
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1, 2, 3, 4] * 2
    assert data.class_names == ("0", "1", "2", "3", "4")
    assert data.name == "pictures"


def test_a_label_column_elsewhere(tmp_path: Path) -> None:
    rows = [",".join([*row.split(",")[1:], row.split(",")[0]]) for row in lines()]
    header = ",".join([*HEADER.split(",")[1:], "label"])
    data = load_dataset(write(tmp_path / "pictures.csv", rows, header))
    assert np.array_equal(data.images[:].numpy(), pixels(10, 1, SIDE))
    assert data.labels is not None
    assert data.labels[3] == 3


def test_kaggles_folder_of_fashion_mnist(tmp_path: Path) -> None:
    write(tmp_path / "fashion-mnist_train.csv", lines(20))
    write(tmp_path / "fashion-mnist_test.csv", lines(10, seed=1))
    assert available_splits(tmp_path) == ("train", "test")
    data = load_dataset(tmp_path, "test")
    assert data.name == "fashion-mnist"
    assert data.class_names[9] == "Ankle boot"
    assert np.array_equal(data.images[:].numpy(), pixels(10, 1, SIDE, seed=1))


def test_a_test_file_without_labels(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", lines(20))
    write(tmp_path / "test.csv", lines(10, labelled=False), HEADER.removeprefix("label,"))
    assert load_dataset(tmp_path, "test").labels is None
    assert load_dataset(tmp_path, "test").image_shape == (1, SIDE, SIDE)


def test_classes_are_those_of_all_files(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", lines(20, classes=3))
    write(tmp_path / "test.csv", lines(20, classes=7))
    assert load_dataset(tmp_path).num_classes == load_dataset(tmp_path, "test").num_classes == 7


def spoil(row: str, column: int, value: str) -> str:
    cells = row.split(",")
    cells[column] = value
    return ",".join(cells)


@pytest.mark.parametrize("header", [HEADER, None])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda row: row + ",7", "ragged .38 values instead of 37."),
        (lambda row: row.rsplit(",", 2)[0], "ragged .35 values instead of 37."),
        (lambda row: spoil(row, 5, "nan"), "pixel 5 is nan: not finite"),
        (lambda row: spoil(row, 5, "inf"), "pixel 5 is inf: not finite"),
        (lambda row: spoil(row, 1, ""), "pixel 1 is nan: not finite or no number"),
        (lambda row: spoil(row, 36, "x7"), "pixel 36 is nan: not finite or no number"),
        (lambda row: spoil(row, 2, "256"), "pixel 2 is 256: outside 0 to 255"),
        (lambda row: spoil(row, 2, "-1"), "pixel 2 is -1: outside 0 to 255"),
    ],
)
def test_a_bad_row_is_named_and_counted_or_left_out(tmp_path: Path, header: str | None, change, reason: str) -> None:  # type: ignore[no-untyped-def]
    rows = lines(12)
    rows[6] = change(rows[6])
    file = write(tmp_path / "set.csv", rows, header)
    with pytest.raises(DatasetError, match=rf"^set\.csv row 7 is .*{reason}.*1 of 12 rows\. .*--on-bad-image skip"):
        load_dataset(file)
    data = load_dataset(file, on_bad_image="skip")
    assert np.array_equal(data.images[:].numpy(), np.delete(pixels(12, 1, SIDE), 6, axis=0))
    assert [(bad.position, bad.item) for bad in data.bad_images] == [(6, "set.csv row 7")]
    assert data.ids[6] == "train/00007"
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1, 2, 3, 4, 0, 2, 3, 4, 0, 1]


def test_several_bad_rows_are_counted_together(tmp_path: Path) -> None:
    rows = lines(12)
    rows[2], rows[5], rows[9] = rows[2] + ",1", spoil(rows[5], 3, "999"), spoil(rows[9], 3, "red")
    file = write(tmp_path / "set.csv", rows)
    with pytest.raises(DatasetError, match=r"set\.csv row 3 is ragged.*3 of 12 rows"):
        load_dataset(file)
    data = load_dataset(file, on_bad_image="skip")
    assert [bad.position for bad in data.bad_images] == [2, 5, 9]
    assert len(data) == 9


@pytest.mark.parametrize("on_bad_image", ["stop", "skip"])
@pytest.mark.parametrize(("label", "shown"), [("10", "10"), ("-1", "-1"), ("2.5", "2.5"), ("", "nan"), ("coat", "nan")])
def test_a_label_out_of_range_always_stops(tmp_path: Path, on_bad_image: str, label: str, shown: str) -> None:
    rows = lines(12)
    rows[4] = spoil(rows[4], 0, label)
    file = write(tmp_path / "fashion-mnist_train.csv", rows)
    with pytest.raises(DatasetError, match=rf"row 5 has label {shown}\. Expected a whole number from 0 to 9\."):
        load_dataset(file, on_bad_image=on_bad_image)  # type: ignore[arg-type]


def test_an_unknown_set_may_have_more_classes_but_not_any_number(tmp_path: Path) -> None:
    rows = lines(12)
    rows[4] = spoil(rows[4], 0, "46")
    assert load_dataset(write(tmp_path / "letters.csv", rows)).num_classes == 47
    rows[4] = spoil(rows[4], 0, "256")
    with pytest.raises(DatasetError, match="row 5 has label 256"):
        load_dataset(write(tmp_path / "letters.csv", rows))
