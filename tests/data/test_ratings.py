"""Ratings of image-caption pairs: which line is which pair of a split."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import torch

from likewise.data import ImageDataset
from likewise.data.ratings import read_ratings
from likewise.errors import DatasetError


@pytest.fixture
def data() -> ImageDataset:
    captions = (("a dog", "one dog"), ("a cat",), ("two cats", "a red car"))
    ids = ("images/a.jpg", "images/b.jpg", "images/c.jpg")
    return ImageDataset(
        "toy", "test", torch.zeros(3, 1, 4, 4, dtype=torch.uint8), None, (), captions, ids, "0" * 64, ""
    )


LINES = "a.jpg\ta.jpg#1\t4\t4\t3\na.jpg\tc.jpg#0\t1\t1\t2\nb.jpg\tc.jpg#1\t1\nb.jpg\tx.jpg#0\t1\nb.jpg\tb.jpg#1\t1\n\n"


@pytest.mark.parametrize("compressed", [False, True])
def test_lines_become_positions_and_what_the_split_lacks_is_counted(
    compressed: bool, data: ImageDataset, tmp_path: Path
) -> None:
    file = tmp_path / ("ratings.txt.gz" if compressed else "ratings.txt")
    file.write_bytes(gzip.compress(LINES.encode()) if compressed else LINES.encode())
    found = read_ratings(file, data)
    assert found.image.tolist() == [0, 0, 1]
    assert found.text.tolist() == [1, 3, 4]
    assert found.own.tolist() == [True, False, False]
    assert found.mean.tolist() == pytest.approx([11 / 3, 4 / 3, 1])
    assert found.missing == 2  # an image that is not there, and a caption beyond those of its image


@pytest.mark.parametrize(
    "line", ["a.jpg", "a.jpg\tb.jpg\t1", "a.jpg\tb.jpg#0", "a.jpg\tb.jpg#0\tgood", "a.jpg\tb.jpg#x\t1"]
)
def test_a_line_of_another_form_is_named(line: str, data: ImageDataset, tmp_path: Path) -> None:
    file = tmp_path / "ratings.txt"
    file.write_text(f"a.jpg\tb.jpg#0\t1\n{line}\n")
    with pytest.raises(DatasetError, match=r"line 2 is 'a\.jpg.*divided by tabs"):
        read_ratings(file, data)


def test_ratings_of_another_set_and_files_that_are_not_there_are_refused(data: ImageDataset, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read as ratings"):
        read_ratings(tmp_path / "none.txt", data)
    (tmp_path / "broken.txt.gz").write_bytes(gzip.compress(LINES.encode())[:20])
    with pytest.raises(DatasetError, match="cannot be read as ratings"):
        read_ratings(tmp_path / "broken.txt.gz", data)
    (tmp_path / "other.txt").write_text("q.jpg\tr.jpg#0\t1\n")
    with pytest.raises(DatasetError, match=r"1 pairs, and none of them is in the test split of toy"):
        read_ratings(tmp_path / "other.txt", data)
