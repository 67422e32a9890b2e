"""Small real files in the formats that the sources read."""

from __future__ import annotations

import gzip
import io
import struct
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
from numpy.typing import NDArray
from PIL import Image


def pixels(count: int, channels: int = 1, side: int = 8, seed: int = 0) -> NDArray[np.uint8]:
    """(count, channels, side, side) uint8 noise."""
    return np.random.default_rng(seed).integers(0, 256, (count, channels, side, side), dtype=np.uint8)


def idx_bytes(values: NDArray[np.uint8]) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def write_idx(
    folder: Path, split: str = "train", count: int = 30, classes: int = 3, packed: bool = False, seed: int = 0
) -> None:
    """A pair of idx files; labels go round 0..classes-1."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        "images-idx3": pixels(count, seed=seed)[:, 0],
        "labels-idx1": (np.arange(count) % classes).astype(np.uint8),
    }
    for what, values in arrays.items():
        content = idx_bytes(values)
        name = f"{split}-{what}-ubyte"
        (folder / (name + ".gz" if packed else name)).write_bytes(gzip.compress(content) if packed else content)


def encoded(image: NDArray[np.uint8] | Image.Image, kind: str = "png", **options: object) -> bytes:
    """An image file's bytes, from a (C, H, W) array or a Pillow image."""
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def photograph(height: int = 48, width: int = 64, seed: int = 0) -> Image.Image:
    """A smooth colour image, which JPEG keeps nearly as it is."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [x * 255 / width, y * 255 / height, (x + y + 16 * seed) % 256]
    return Image.fromarray(np.stack(planes, -1).astype(np.uint8))


def write_class_folders(
    root: Path, per_class: int = 4, classes: tuple[str, ...] = ("cat", "dog"), side: int = 8
) -> None:
    """root/cat/0.png …, each image different."""
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for position, image in enumerate(pixels(per_class, 3, side, seed=number)):
            (root / name / f"{position}.png").write_bytes(encoded(image))


def first_rows(table: Path, rows: int, target: Path) -> None:
    """A Parquet file with the first rows of another, its schema metadata kept: real data in the time of a test."""
    parquet.write_table(parquet.ParquetFile(table).read_row_group(0).slice(0, rows), target)
