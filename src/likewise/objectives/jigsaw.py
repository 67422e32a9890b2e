"""Jigsaw: in which order were the tiles of the image shuffled (Noroozi & Favaro 2016)?

The order is one of a set of permutations that are far from each other. Each tile is cut a little smaller than its cell, at a
place of its own, and standardised, so that neither edges that continue nor shades that agree give the answer away.

Two forms: ``image`` lays the shuffled tiles out as one image (Carlucci et al. 2019), one pass an image with any encoder;
``tiles`` is the paper's, every tile passes on its own and their embeddings are read side by side, nine passes an image.
"""

from __future__ import annotations

import functools
import itertools
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from likewise.data.draws import Draws
from likewise.errors import ModelError
from likewise.models import EmbeddingModel
from likewise.models.device import to_device
from likewise.objectives._from_images import FromImagesOptions
from likewise.objectives._objective import Batch, Objective

__all__ = ["Jigsaw", "JigsawOptions", "permutation_set"]


@functools.cache
def permutation_set(tiles: int, count: int) -> NDArray[np.int64]:
    """Permutations that are far from each other, (count, tiles), chosen one after the other.

    The first is the identity; each further one has the largest mean Hamming distance to those chosen (the paper's algorithm
    1, which begins with a random one), the first in lexicographic order where several have. 64 of the 362,880 for nine tiles
    take half a second.

    Args:
        tiles: 4 or 9.
        count: at most the factorial of ``tiles``.

    Example:
        >>> permutation_set(4, 3).tolist()
        [[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1]]
    """
    every = np.fromiter(itertools.chain.from_iterable(itertools.permutations(range(tiles))), np.int8).reshape(-1, tiles)
    distance = np.zeros(len(every), dtype=np.int64)
    chosen = [0]
    while len(chosen) < count:
        distance += (every != every[chosen[-1]]).sum(axis=1)
        distance[chosen[-1]] = -(10**9)
        chosen.append(int(distance.argmax()))
    return every[chosen].astype(np.int64)


class JigsawOptions(FromImagesOptions):
    """Cross-entropy over a set of permutations of the tiles.

    Attributes:
        grid: tiles on a side.
        permutations: how many orders there are to tell apart; at most 24 for ``grid=2``.
        jitter: pixels by which a tile is smaller than its cell on a side; it is cut at a random place in the cell.
        standardize_tiles: bring each tile to the image's own mean and deviation.
        form: ``image``, the shuffled tiles as one image; ``tiles``, each tile enlarged to an image of its own.
    """

    name: Literal["jigsaw"] = "jigsaw"
    grid: Literal[2, 3] = 3
    permutations: int = Field(default=64, ge=2, le=1000)
    jitter: int = Field(default=2, ge=0)
    standardize_tiles: bool = True
    form: Literal["image", "tiles"] = "image"

    @property
    def task(self) -> str:
        """What the columns of the examples are."""
        return "input: the tiles, cut and shuffled; target: the image; prediction: the tiles laid back as predicted."

    def build(self, model: EmbeddingModel) -> Jigsaw:
        """The objective with these options."""
        return Jigsaw(model, self)


class Jigsaw(Objective):
    """Mean cross-entropy of the permutation, predicted by a head of two layers."""

    across_ranks = "mean"

    orders: Tensor

    def __init__(self, model: EmbeddingModel, options: JigsawOptions) -> None:
        super().__init__(model)
        self.options = options
        self.tiles = options.grid**2
        orders = 24 if options.grid == 2 else 362_880
        self.cell = min(model.input.height, model.input.width) // options.grid
        if options.permutations > orders or self.cell - options.jitter < 2:
            raise ModelError(
                f"A jigsaw of {options.grid}×{options.grid} tiles in {options.permutations} orders with a jitter of "
                f"{options.jitter} was asked for of images of {model.input.height}×{model.input.width}.",
                expected=f"Expected at most {orders:,} orders, and at least 2 pixels of each cell of {self.cell}.",
                advice="Lower objective.permutations, objective.jitter or objective.grid, or raise data.image_size.",
            )
        chosen = torch.from_numpy(permutation_set(self.tiles, options.permutations))
        self.register_buffer("orders", chosen, persistent=False)
        inputs = model.embedding_dim * (self.tiles if options.form == "tiles" else 1)
        width = max(128, model.embedding_dim)
        self.head = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, options.permutations))

    def forward(self, images: Tensor, batch: Batch) -> Tensor:
        """Loss of the batch."""
        return self.explain(images, batch)["loss"]

    def explain(self, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The loss, and the share of orders that are recognised (chance: 1 over their number)."""
        which = self._draw(images, batch.generator)
        scores = self._scores(self._shuffled(images, which, batch.generator))
        recognised = (scores.argmax(dim=1) == which).float().mean()
        return {"loss": F.cross_entropy(scores, which), "task_accuracy": recognised}

    def _draw(self, images: Tensor, draws: torch.Generator | Draws) -> Tensor:
        return to_device(Draws.of(draws).randint(0, len(self.orders), len(images)), images.device)

    def _shuffled(self, images: Tensor, which: Tensor, draws: torch.Generator | Draws) -> Tensor:
        """Tiles (N, T, C, cell, cell) float in 0 … 255; place i holds tile ``orders[which][i]``."""
        count, grid, cell = len(images), self.options.grid, self.cell
        side = cell - self.options.jitter
        offsets = Draws.of(draws).randint(0, self.options.jitter + 1, 2, count, self.tiles, dim=1)
        offsets = to_device(offsets, images.device)
        source = self.orders[which]
        inside = torch.arange(side, device=images.device)
        rows = (source // grid * cell + offsets[0])[:, :, None] + inside  # N T side
        columns = (source % grid * cell + offsets[1])[:, :, None] + inside
        image = torch.arange(count, device=images.device)[:, None, None, None]
        tiles = images.permute(0, 2, 3, 1)[image, rows[:, :, :, None], columns[:, :, None, :]].float()
        tiles = tiles.permute(0, 1, 4, 2, 3)
        if self.options.standardize_tiles:
            own, whole = _moments(tiles, (2, 3, 4)), _moments(images.float(), (1, 2, 3))
            tiles = (tiles - own[0]) / own[1] * whole[1][:, None] + whole[0][:, None]
            tiles = tiles.clamp(0, 255)
        cells: Tensor = _resized(tiles.flatten(0, 1), (cell, cell)).unflatten(0, (count, self.tiles))
        return cells

    def _scores(self, tiles: Tensor) -> Tensor:
        size = (self.model.input.height, self.model.input.width)
        if self.options.form == "tiles":
            seen = _resized(tiles.flatten(0, 1), size)
            features = self.model(seen).unflatten(0, (-1, self.tiles)).flatten(1)
        else:
            features = self.model(_resized(_laid_out(tiles, self.options.grid), size))
        scores: Tensor = self.head(features).float()
        return scores

    def examples(self, images: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        """Shuffled tiles, and the tiles laid back as the predicted order says."""
        which = self._draw(images, draws)
        tiles = self._shuffled(images, which, draws)
        order = self.orders[self._scores(tiles).argmax(dim=1)]
        place = order.argsort(dim=1)[:, :, None, None, None].expand(-1, -1, *tiles.shape[2:])
        pictures = {"input": tiles, "prediction": tiles.gather(1, place)}
        laid = {name: _laid_out(part, self.options.grid).round().to(torch.uint8) for name, part in pictures.items()}
        return {"input": laid["input"], "target": images, "prediction": laid["prediction"]}


def _moments(values: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Mean and deviation, the deviation of a constant tile taken as 1."""
    deviation, mean = torch.std_mean(values, dim=axes, keepdim=True, unbiased=False)
    return mean, deviation.where(deviation > 1e-3, 1.0)


def _resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    if images.shape[2:] == size:
        return images
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False)


def _laid_out(tiles: Tensor, grid: int) -> Tensor:
    """(N, T, C, S, S) to (N, C, grid · S, grid · S), row by row."""
    whole: Tensor = tiles.unflatten(1, (grid, grid)).permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
    return whole
