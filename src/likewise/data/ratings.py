"""What people said of image-caption pairs: a text file of ratings, in the layout of Flickr8k's ``ExpertAnnotations.txt``.

One pair a line, its parts divided by tabs: the image's file name; the caption, as the file name of the image that it was
written for, ``#`` and its number there from 0; and one rating or more, where a higher one means that the caption fits better::

    1056338697_4f7d7ce270.jpg<TAB>2549968784_39bfbe44f9.jpg#2<TAB>1<TAB>1<TAB>2

The file may be compressed (``.gz``). A pair with an image or a caption that a split does not hold is left out and counted.
"""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from likewise.data.captions import Captions
from likewise.data.dataset import ImageDataset
from likewise.errors import DatasetError

__all__ = ["Ratings", "read_ratings"]


@dataclass(frozen=True)
class Ratings:
    """Rated pairs that a split holds.

    Attributes:
        image: (R,) int64, the place of the image in the split.
        text: (R,) int64, the caption, as a position among all captions of the split.
        own: (R,) bool, whether the caption was written for this very image.
        mean: (R,) float64, the mean of the pair's ratings.
        missing: pairs of the file whose image or caption the split does not hold.
    """

    image: NDArray[np.int64]
    text: NDArray[np.int64]
    own: NDArray[np.bool_]
    mean: NDArray[np.float64]
    missing: int


def read_ratings(file: str | os.PathLike[str], data: ImageDataset) -> Ratings:
    """The ratings in ``file`` of pairs in ``data``.

    Args:
        file: as described above.
        data: with captions; its ids end with the file names of the images.

    Raises:
        DatasetError: the file is not there, a line is not as described, or no pair is in ``data``.
    """
    path = Path(file).expanduser()
    try:
        content = path.read_bytes()
        lines = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8").splitlines()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"{path} cannot be read as ratings ({error}).",
            expected="Expected a text file of rated pairs of an image and a caption.",
            advice="Correct evaluation.ratings.",
        ) from error
    captions = Captions(data)
    place = {PurePosixPath(name.replace("\\", "/")).name: at for at, name in enumerate(data.ids)}
    first = captions.first.tolist()
    rows: list[tuple[int, int, bool, float]] = []
    missing = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        image, writer, position, rating = _parts(line, f"{path} line {number}")
        at, source = place.get(image), place.get(writer)
        if at is None or source is None or position >= first[source + 1] - first[source]:
            missing += 1
            continue
        rows.append((at, first[source] + position, image == writer, rating))
    if not rows:
        raise DatasetError(
            f"{path} rates {missing:,} pairs, and none of them is in the {data.split} split of {data.name}.",
            expected=f"Expected file names of images such as {data.ids[0]}.",
            advice="Give the ratings of this data set, or leave evaluation.ratings out.",
        )
    columns = list(zip(*rows, strict=True))
    return Ratings(
        np.array(columns[0], np.int64),
        np.array(columns[1], np.int64),
        np.array(columns[2], np.bool_),
        np.array(columns[3], np.float64),
        missing,
    )


def _parts(line: str, where: str) -> tuple[str, str, int, float]:
    """Image, image of the caption, number of the caption, mean rating."""
    image, caption, *ratings = [*line.strip().split("\t"), ""]
    writer, _, number = caption.rpartition("#")
    try:
        values = [float(rating) for rating in ratings[:-1]]
        if not writer or not number.isdecimal() or not values or not np.isfinite(values).all():
            raise ValueError(line)
    except ValueError as error:
        raise DatasetError(
            f"{where} is {line[:80]!r}.",
            expected="Expected image, caption (image#number) and at least one number, divided by tabs.",
            advice="Correct the line.",
        ) from error
    return image, writer, int(number), float(np.mean(values))
