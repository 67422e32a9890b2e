"""SimCLR: two views of an image are each other's positive, all other views in the batch are negatives.

Both views pass encoder and head in one batch, so that batch normalisation sees them together, as in the authors' code. The
loss is looked at in its two parts: alignment pulls the two views together, distribution spreads all views over the
sphere; their sum is temperature · loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from likewise.losses import Range, nt_xent_decomposition, nt_xent_loss
from likewise.models import EmbeddingModel
from likewise.objectives._heads import mlp
from likewise.objectives._objective import Batch, Objective
from likewise.objectives._views import ViewObjectiveOptions, closeness

__all__ = ["SimCLR", "SimCLROptions"]


class SimCLROptions(ViewObjectiveOptions):
    """SimCLR (Chen, Kornblith, Norouzi & Hinton 2020); see ``likewise.losses.nt_xent_loss`` for the equation.

    Attributes:
        temperature: > 0; divides the similarity. 0.1 on ImageNet, 0.5 on CIFAR-10.
        hidden_width: of the projection head; ``None``: as wide as the embedding.
        output_width: of the projection that the loss sees.
    """

    name: Literal["simclr"] = "simclr"
    temperature: float = Field(default=0.5, gt=0, allow_inf_nan=False)
    hidden_width: int | None = Field(default=None, ge=1)
    output_width: int = Field(default=128, ge=1)

    @property
    def search_space(self) -> Mapping[str, Range]:
        """Where a search looks."""
        return {"temperature": Range(0.05, 1.0)}

    def build(self, model: EmbeddingModel) -> SimCLR:
        """The objective with these options."""
        return SimCLR(model, self)


class SimCLR(Objective):
    """NT-Xent of the projections of two views; the head is linear, BN, ReLU, linear, BN without offset."""

    across_ranks = "group"

    def __init__(self, model: EmbeddingModel, options: SimCLROptions) -> None:
        super().__init__(model)
        self.options = options
        norm = nn.BatchNorm1d(options.output_width)
        norm.bias.requires_grad_(False)
        width = model.embedding_dim
        self.head = mlp((width, options.hidden_width or width, options.output_width), last=norm)

    def project(self, images: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Projections (N, output_width) of two views of each image."""
        views = torch.cat(self.options.two_views(images, batch))
        first, second = self.head(self.model(views)).float().chunk(2)
        return first, second

    def forward(self, images: Tensor, batch: Batch) -> Tensor:
        """Loss of the batch."""
        return nt_xent_loss(*self.project(images, batch), temperature=self.options.temperature, group=self.group)

    def explain(self, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The loss and its parts, and how close pairs are and how evenly all projections lie."""
        first, second = self.project(images, batch)
        temperature = self.options.temperature
        pull, spread = nt_xent_decomposition(first, second, temperature=temperature)
        parts = {"loss": (pull + spread) / temperature, "alignment": pull, "distribution": spread}
        return parts | closeness(first, second)
