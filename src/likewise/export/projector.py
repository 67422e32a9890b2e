"""``--format projector``: the files of TensorBoard's embedding projector.

``tensors.tsv`` (a row an embedding), ``metadata.tsv`` (a row an image, with a header), ``sprite.png`` (all pictures in
one square grid, row by row) and ``projector_config.pbtxt``, which names them. TensorBoard shows 100,000 points at most,
and no sprite of more than 8,192 pixels a side: more images are drawn from at random, and pictures are made as small as
the grid asks.

Numbers are text because TensorBoard reads any file as text first.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import IO

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from likewise.errors import RunError
from likewise.export.new_folder import Exported, new_folder
from likewise.index import Feed
from likewise.index.stream import EmbeddedBatch
from likewise.models import EmbeddingModel
from likewise.training.progress import StepProgress

__all__ = ["LARGEST_SPRITE", "MOST_POINTS", "export_projector"]

MOST_POINTS = 100_000
LARGEST_SPRITE = 8192  # pixels a side
_LARGEST_PICTURE = 100
_PAPER = 255
_COLUMNS = ("id", "class", "split", "caption")


def export_projector(
    model: EmbeddingModel,
    feed: Feed,
    folder: str | os.PathLike[str],
    *,
    name: str = "embedding",
    most: int = MOST_POINTS,
    batch_size: int = 256,
    seed: int = 0,
    quiet: bool = False,
) -> Exported:
    """Embed a feed into a folder that ``tensorboard --logdir FOLDER`` shows.

    Args:
        model: on the device that is to embed.
        feed: the images.
        folder: new.
        name: of the embedding, as TensorBoard calls it.
        most: points; of more images as many are drawn at random.
        batch_size: images at a time.
        seed: of that draw.
        quiet: no progress on standard error.

    Raises:
        RunError: there are no images, or the folder is there already or cannot be written.
        DatasetError: an image cannot be decoded (and the feed is to stop there).
    """
    chosen = feed
    if feed.total > most:
        drawn = set(np.random.default_rng(seed).permutation(feed.total)[:most].tolist())
        chosen = feed.without({identity for position, identity in enumerate(feed.ids) if position not in drawn})
    expected = min(feed.total, most)
    if not expected:
        raise RunError(f"{feed.name} holds no images.", expected="Expected at least one.")
    sprite = _Sprite(expected, model)
    with new_folder(folder) as beside:
        with (
            (beside / "tensors.tsv").open("w", encoding="utf-8") as tensors,
            (beside / "metadata.tsv").open("w", encoding="utf-8") as metadata,
            StepProgress("embedding", feed.total, start=0, batch_size=1, unit="image", quiet=quiet) as shown,
        ):
            metadata.write("\t".join(_COLUMNS) + "\n")
            before = 0
            for batch in chosen.embedded(model, batch_size):
                shown.advance(None, batch.end - before)
                before = batch.end
                np.savetxt(tensors, batch.embeddings, fmt="%.7g", delimiter="\t")
                _describe(batch, metadata)
                sprite.add(batch.pixels)
        Image.fromarray(sprite.picture()).save(beside / "sprite.png")
        (beside / "projector_config.pbtxt").write_text(_config(name, sprite, model.embedding_dim), encoding="utf-8")
    few = f" of {feed.total:,}, drawn at random" if feed.total > most else ""
    return Exported(
        Path(folder),
        (
            f"{sprite.count:,} images{few}, pictures of {sprite.side} pixels",
            f"open it with: tensorboard --logdir {folder}",
        ),
        {"images": sprite.count, "of": feed.total, "picture_side": sprite.side},
    )


def _describe(batch: EmbeddedBatch, file: IO[str]) -> None:
    for identity, label, split, captions in zip(
        *(batch.rows[name] for name in ("id", "class_name", "split", "captions")), strict=True
    ):
        cells = (identity, label or "", split or "", " / ".join(captions or ()))
        file.write("\t".join(" ".join(str(cell).split()) for cell in cells) + "\n")


class _Sprite:
    """A square grid of square pictures.

    Args:
        most: pictures at most.
        model: whose images they are.
    """

    def __init__(self, most: int, model: EmbeddingModel) -> None:
        self.columns = math.ceil(math.sqrt(most))
        largest = max(model.input.height, model.input.width)
        self.side = max(1, min(LARGEST_SPRITE // self.columns, largest, _LARGEST_PICTURE))
        self.count = 0
        size = self.columns * self.side
        self._grid = np.full((model.input.channels, size, size), _PAPER, np.uint8)

    def add(self, pixels: Tensor) -> None:
        """Put a batch (B, C, H, W) uint8 behind what is there; what is not square stands in the middle of its place."""
        height, width = pixels.shape[2:]
        scale = self.side / max(height, width)
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        if size != (height, width) and len(pixels):
            shrunk = F.interpolate(pixels.float(), size, mode="bilinear", antialias=True, align_corners=False)
            pixels = shrunk.round().clamp(0, 255).to(torch.uint8)
        top, left = (self.side - size[0]) // 2, (self.side - size[1]) // 2
        for picture in pixels.numpy():
            row, column = divmod(self.count, self.columns)
            y, x = row * self.side + top, column * self.side + left
            self._grid[:, y : y + size[0], x : x + size[1]] = picture
            self.count += 1

    def picture(self) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        """The grid as Pillow takes it."""
        return self._grid[0] if len(self._grid) == 1 else np.ascontiguousarray(self._grid.transpose(1, 2, 0))


def _config(name: str, sprite: _Sprite, dimension: int) -> str:
    return (
        "embeddings {\n"
        f"  tensor_name: {json.dumps(name)}\n"
        f"  tensor_shape: {sprite.count}\n"
        f"  tensor_shape: {dimension}\n"
        '  tensor_path: "tensors.tsv"\n'
        '  metadata_path: "metadata.tsv"\n'
        "  sprite {\n"
        '    image_path: "sprite.png"\n'
        f"    single_image_dim: {sprite.side}\n"
        f"    single_image_dim: {sprite.side}\n"
        "  }\n"
        "}\n"
    )
