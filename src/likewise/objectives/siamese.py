"""Siamese training: pairs of images are drawn, same or different with probability ½, and pass the same network.

The two images of a pair pass the network in two calls, first all the first images, then all the second ones, as twin
networks do: batch normalisation then uses the statistics of each side on its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from likewise.data.samplers import PairSampler
from likewise.errors import TrainingError
from likewise.losses import Range, siamese_loss
from likewise.models import EmbeddingModel
from likewise.objectives._objective import Batch, Objective, ObjectiveOptions

__all__ = ["Siamese", "SiameseOptions"]


class SiameseOptions(ObjectiveOptions):
    """Contrastive loss on drawn pairs; see ``likewise.losses.siamese_loss`` for the equation.

    Attributes:
        margin: distance past which a pair of different classes costs nothing.
        half: multiply the loss by ½, as some texts print it.
    """

    name: Literal["siamese"] = "siamese"
    margin: float = Field(default=2.5, gt=0)
    half: bool = False

    @property
    def draws_pairs(self) -> bool:
        """A batch holds ``batch_size`` pairs."""
        return True

    @property
    def search_space(self) -> Mapping[str, Range]:
        """Where a search looks."""
        return {"margin": Range(0.5, 10.0)}

    def build(self, model: EmbeddingModel) -> Siamese:
        """The objective with these options."""
        return Siamese(model, self)


class Siamese(Objective):
    """Every image is the first of one pair an epoch; its partner is drawn anew each epoch."""

    across_ranks = "mean"

    def __init__(self, model: EmbeddingModel, options: SiameseOptions) -> None:
        super().__init__(model)
        self.options = options

    def epoch(self, labels: Tensor, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
        """Batches of ``batch_size`` pairs."""
        partners, different = PairSampler(labels).draw(torch.arange(len(labels)), generator)
        for batch in super().epoch(labels, batch_size, generator):
            indices = torch.cat([batch.indices, partners[batch.indices]])
            yield Batch(indices, labels[indices], different[batch.indices])

    def forward(self, images: Tensor, batch: Batch) -> Tensor:
        """Loss of the batch."""
        if batch.different is None:
            raise TrainingError(
                "A batch of single images was given to the objective siamese.",
                expected="Expected pairs: Batch.different says of each whether its classes differ.",
                advice="Take the batches from objective.epoch.",
            )
        first, second = images.chunk(2)
        return siamese_loss(
            self.model(first).float(),
            self.model(second).float(),
            batch.different,
            margin=self.options.margin,
            half=self.options.half,
        )
