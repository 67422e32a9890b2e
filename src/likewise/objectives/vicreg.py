"""VICReg: two views agree, each dimension keeps its variance, and no two dimensions say the same."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from likewise.data.views import ViewOptions
from likewise.losses import vicreg_loss
from likewise.models import EmbeddingModel
from likewise.objectives._heads import mlp
from likewise.objectives._objective import Batch, Objective
from likewise.objectives._views import ViewObjectiveOptions, closeness

__all__ = ["VICReg", "VICRegOptions"]


class VICRegOptions(ViewObjectiveOptions):
    """VICReg (Bardes, Ponce & LeCun 2022); see ``likewise.losses.vicreg_loss`` for the equation.

    Attributes:
        invariance: weight of the distance between the two views.
        variance: weight of what a dimension lacks to a standard deviation of 1; 0 and everything collapses.
        covariance: weight of the covariance of different dimensions.
        width: of the three layers of the expander; ``None``: four times the embedding (8192 in the paper, for ResNet-50).
    """

    name: Literal["vicreg"] = "vicreg"
    views: ViewOptions = ViewOptions.byol()
    second_views: ViewOptions | None = ViewOptions.byol(second=True)
    invariance: float = Field(default=25.0, ge=0, allow_inf_nan=False)
    variance: float = Field(default=25.0, ge=0, allow_inf_nan=False)
    covariance: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    width: int | None = Field(default=None, ge=1)

    def build(self, model: EmbeddingModel) -> VICReg:
        """The objective with these options."""
        return VICReg(model, self)


class VICReg(Objective):
    """The VICReg loss of two views' projections; each view passes the network on its own."""

    across_ranks = "group"

    def __init__(self, model: EmbeddingModel, options: VICRegOptions) -> None:
        super().__init__(model)
        self.options = options
        width = options.width or 4 * model.embedding_dim
        self.expander = mlp((model.embedding_dim, width, width, width), hidden_bias=True)

    def project(self, images: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Projections (N, width) of two views of each image."""
        first, second = (self.expander(self.model(v)).float() for v in self.options.two_views(images, batch))
        return first, second

    def forward(self, images: Tensor, batch: Batch) -> Tensor:
        """Loss of the batch."""
        o = self.options
        first, second = self.project(images, batch)
        return vicreg_loss(
            first, second, invariance=o.invariance, variance=o.variance, covariance=o.covariance, group=self.group
        )

    def explain(self, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The loss and its three terms (without weight), and how close pairs are and how evenly all lie."""
        first, second = self.project(images, batch)
        terms = {
            "invariance": vicreg_loss(first, second, invariance=1.0, variance=0.0, covariance=0.0),
            "variance": vicreg_loss(first, second, invariance=0.0, variance=1.0, covariance=0.0),
            "covariance": vicreg_loss(first, second, invariance=0.0, variance=0.0, covariance=1.0),
        }
        loss = sum((getattr(self.options, name) * term for name, term in terms.items()), first.new_zeros(()))
        return {"loss": loss} | terms | closeness(first, second)
