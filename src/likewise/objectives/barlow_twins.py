"""Barlow Twins: over the batch, each dimension of one view agrees with the same one of the other and with no other."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from likewise.data.views import ViewOptions
from likewise.losses import barlow_twins_loss
from likewise.models import EmbeddingModel
from likewise.objectives._heads import mlp
from likewise.objectives._objective import Batch, Objective
from likewise.objectives._views import ViewObjectiveOptions, closeness

__all__ = ["BarlowTwins", "BarlowTwinsOptions"]


class BarlowTwinsOptions(ViewObjectiveOptions):
    """Barlow Twins (Zbontar et al. 2021); see ``likewise.losses.barlow_twins_loss`` for the equation.

    Attributes:
        redundancy: weight of the agreement with other dimensions, the paper's lambda.
        width: of the three layers of the projector; ``None``: four times the embedding (8192 in the paper, for
            ResNet-50).
    """

    name: Literal["barlow_twins"] = "barlow_twins"
    views: ViewOptions = ViewOptions.byol()
    second_views: ViewOptions | None = ViewOptions.byol(second=True)
    redundancy: float = Field(default=0.005, ge=0, allow_inf_nan=False)
    width: int | None = Field(default=None, ge=1)

    def build(self, model: EmbeddingModel) -> BarlowTwins:
        """The objective with these options."""
        return BarlowTwins(model, self)


class BarlowTwins(Objective):
    """The Barlow Twins loss of two views' projections; each view passes the network on its own."""

    across_ranks = "group"

    def __init__(self, model: EmbeddingModel, options: BarlowTwinsOptions) -> None:
        super().__init__(model)
        self.options = options
        width = options.width or 4 * model.embedding_dim
        self.projector = mlp((model.embedding_dim, width, width, width))

    def project(self, images: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Projections (N, width) of two views of each image."""
        first, second = (self.projector(self.model(v)).float() for v in self.options.two_views(images, batch))
        return first, second

    def forward(self, images: Tensor, batch: Batch) -> Tensor:
        """Loss of the batch."""
        return barlow_twins_loss(*self.project(images, batch), redundancy=self.options.redundancy, group=self.group)

    def explain(self, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The loss and its two terms (both without weight), and how close pairs are and how evenly all lie."""
        first, second = self.project(images, batch)
        invariance = barlow_twins_loss(first, second, redundancy=0.0)
        redundancy = barlow_twins_loss(first, second, redundancy=1.0) - invariance
        loss = invariance + self.options.redundancy * redundancy
        return {"loss": loss, "invariance": invariance, "redundancy": redundancy} | closeness(first, second)
