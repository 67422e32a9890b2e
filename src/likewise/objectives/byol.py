"""BYOL: the network predicts what its own average in time says of the other view. No negatives."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from likewise.data.views import ViewOptions
from likewise.losses import negative_cosine_loss
from likewise.models import EmbeddingModel
from likewise.objectives._heads import MomentumCopy, cosine_momentum, mlp
from likewise.objectives._objective import Batch, Objective
from likewise.objectives._views import ViewObjectiveOptions, closeness

__all__ = ["BYOL", "BYOLOptions"]


class BYOLOptions(ViewObjectiveOptions):
    """BYOL (Grill et al. 2020).

    Attributes:
        momentum: of the target network at the beginning; it rises to 1 as half a cosine. 0.996 for 1,000 epochs; the authors
            take 0.99 for 100 and 300 epochs and 0.97 for 40.
        hidden_width: of projector and predictor; ``None``: twice the embedding (4096 in the paper, for ResNet-50).
        output_width: of projection and prediction.
    """

    name: Literal["byol"] = "byol"
    views: ViewOptions = ViewOptions.byol()
    second_views: ViewOptions | None = ViewOptions.byol(second=True)
    momentum: float = Field(default=0.996, ge=0, le=1)
    hidden_width: int | None = Field(default=None, ge=1)
    output_width: int = Field(default=256, ge=1)

    def build(self, model: EmbeddingModel) -> BYOL:
        """The objective with these options."""
        return BYOL(model, self)


class BYOL(Objective):
    """‖q̂₁ - ẑ₂‖² + ‖q̂₂ - ẑ₁‖²,  q̂ the normalised prediction, ẑ the normalised projection of the target network."""

    across_ranks = "mean"

    def __init__(self, model: EmbeddingModel, options: BYOLOptions) -> None:
        super().__init__(model)
        self.options = options
        hidden, out = options.hidden_width or 2 * model.embedding_dim, options.output_width
        self.projector = mlp((model.embedding_dim, hidden, out), hidden_bias=True)
        self.predictor = mlp((out, hidden, out), hidden_bias=True)
        self.target = MomentumCopy(self.model, self.projector)

    def _sides(self, images: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        views = self.options.two_views(images, batch)
        first, second = (self.target(view).float() for view in views)
        predicted = [self.predictor(self.projector(self.model(view))).float() for view in views]
        cosines = negative_cosine_loss(predicted[0], second) + negative_cosine_loss(predicted[1], first)
        return 4 + 2 * cosines, first, second

    def forward(self, images: Tensor, batch: Batch) -> Tensor:
        """Loss of the batch."""
        return self._sides(images, batch)[0]

    def explain(self, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The loss, and how close pairs are and how evenly all target projections lie."""
        loss, first, second = self._sides(images, batch)
        return {"loss": loss} | closeness(first, second)

    def after_step(self, done: float) -> None:
        """The target network takes a step after the network."""
        self.target.follow((self.model, self.projector), cosine_momentum(self.options.momentum, done))
