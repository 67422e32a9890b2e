"""Supervised contrastive learning as its paper has it: two views of every image, and all views of a class are positives.

``metric`` with the loss ``supcon`` is the same loss on one view of each image and the embedding itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from likewise.losses import Range, supcon_loss
from likewise.models import EmbeddingModel
from likewise.objectives._heads import mlp
from likewise.objectives._objective import Batch, Objective
from likewise.objectives._views import ViewObjectiveOptions, closeness

__all__ = ["SupCon", "SupConOptions"]


class SupConOptions(ViewObjectiveOptions):
    """SupCon (Khosla et al. 2020) on two views; see ``likewise.losses.supcon_loss`` for the equation.

    Attributes:
        temperature: > 0; divides the similarity. 0.1 in the paper.
        variant: ``out``, the mean over the positives outside the logarithm (the paper's choice), or ``in``.
        hidden_width: of the projection head; ``None``: as wide as the embedding.
        output_width: of the projection that the loss sees.
    """

    name: Literal["supcon_views"] = "supcon_views"
    temperature: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    variant: Literal["out", "in"] = "out"
    hidden_width: int | None = Field(default=None, ge=1)
    output_width: int = Field(default=128, ge=1)

    @property
    def needs_labels(self) -> bool:
        """Which views belong together is said by the labels."""
        return True

    @property
    def search_space(self) -> Mapping[str, Range]:
        """Where a search looks."""
        return {"temperature": Range(0.03, 1.0)}

    def build(self, model: EmbeddingModel) -> SupCon:
        """The objective with these options."""
        return SupCon(model, self)


class SupCon(Objective):
    """Supervised contrastive loss of the projections of two views; the head is linear, ReLU, linear, as in the paper."""

    across_ranks = "group"

    def __init__(self, model: EmbeddingModel, options: SupConOptions) -> None:
        super().__init__(model)
        self.options = options
        width = model.embedding_dim
        widths = (width, options.hidden_width or width, options.output_width)
        self.head = mlp(widths, norm=False, hidden_bias=True, last_bias=True)

    def project(self, images: Tensor, batch: Batch) -> Tensor:
        """Projections (2N, output_width): all first views, then all second ones."""
        views = torch.cat(self.options.two_views(images, batch))
        projections: Tensor = self.head(self.model(views)).float()
        return projections

    def forward(self, images: Tensor, batch: Batch) -> Tensor:
        """Loss of the batch."""
        options = self.options
        labels = batch.labels.repeat(2)
        return supcon_loss(
            self.project(images, batch),
            labels,
            temperature=options.temperature,
            variant=options.variant,
            group=self.group,
        )

    def explain(self, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The loss, and how close the two views of an image are and how evenly all lie."""
        projections = self.project(images, batch)
        options = self.options
        loss = supcon_loss(
            projections, batch.labels.repeat(2), temperature=options.temperature, variant=options.variant
        )
        first, second = projections.chunk(2)
        return {"loss": loss} | closeness(first, second)
