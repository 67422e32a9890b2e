"""Rotation: by which quarter turn was the image rotated (RotNet, Gidaris, Singh & Komodakis 2018)?

To know which way is up, the network has to know what is in the picture. As in the paper all four turns of every image are in
the batch, so a step costs four passes; ``turns="one"`` draws one turn an image instead. A quarter turn moves pixels and
makes none, so no trace of an interpolation gives the answer away.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likewise.errors import ModelError
from likewise.models import EmbeddingModel
from likewise.models.device import to_device
from likewise.objectives._from_images import FromImagesOptions
from likewise.objectives._objective import Batch, Objective

__all__ = ["Rotation", "RotationOptions", "turned"]

TURNS = 4


def turned(images: Tensor, quarters: Tensor) -> Tensor:
    """Images (N, C, S, S), each turned counter-clockwise by its number of quarters (N,).

    Example:
        >>> turned(torch.tensor([[[[1, 2], [3, 4]]]]), torch.tensor([1])).tolist()
        [[[[2, 4], [1, 3]]]]
    """
    every = torch.stack([images.rot90(turn, (2, 3)) for turn in range(TURNS)])
    return every[quarters.to(images.device) % TURNS, torch.arange(len(images), device=images.device)]


class RotationOptions(FromImagesOptions):
    """Cross-entropy over the four quarter turns.

    Attributes:
        turns: ``all`` four of every image in the batch, as in the paper, or ``one``, drawn for each image.
    """

    name: Literal["rotation"] = "rotation"
    turns: Literal["all", "one"] = "all"

    @property
    def task(self) -> str:
        """What the columns of the examples are."""
        return "input: the image after a quarter turn; target: upright; prediction: the input turned back as predicted."

    def build(self, model: EmbeddingModel) -> Rotation:
        """The objective with these options."""
        return Rotation(model, self)


class Rotation(Objective):
    """Mean cross-entropy of the turn, predicted from the embedding by a head of two layers."""

    across_ranks = "mean"

    def __init__(self, model: EmbeddingModel, options: RotationOptions) -> None:
        super().__init__(model)
        spec = model.input
        if spec.height != spec.width:
            raise ModelError(
                f"Images of {spec.height}×{spec.width} cannot be turned by a quarter.",
                expected="Rotation needs square images.",
                advice="Set data.image_size, which cuts a square.",
            )
        self.options = options
        width = max(64, model.embedding_dim)
        self.head = nn.Sequential(nn.Linear(model.embedding_dim, width), nn.ReLU(), nn.Linear(width, TURNS))

    def forward(self, images: Tensor, batch: Batch) -> Tensor:
        """Loss of the batch."""
        return self.explain(images, batch)["loss"]

    def explain(self, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The loss, and the share of turns that are recognised (chance: a quarter)."""
        if self.options.turns == "all":
            quarters = torch.arange(TURNS, device=images.device).repeat_interleave(len(images))
            seen = torch.cat([images.rot90(turn, (2, 3)) for turn in range(TURNS)])
        else:
            quarters = to_device(batch.generator.randint(0, TURNS, len(images)), images.device)
            seen = turned(images, quarters)
        scores = self.head(self.model(seen)).float()
        recognised = (scores.argmax(dim=1) == quarters).float().mean()
        return {"loss": F.cross_entropy(scores, quarters), "task_accuracy": recognised}

    def examples(self, images: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        """Turned images, and how they look turned back as predicted."""
        quarters = torch.randint(TURNS, (len(images),), generator=draws).to(images.device)
        seen = turned(images, quarters)
        said = self.head(self.model(seen)).argmax(dim=1)
        return {"input": seen, "target": images, "prediction": turned(seen, TURNS - said)}
