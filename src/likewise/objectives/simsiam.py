"""SimSiam: one view's projection, through a predictor, says the other's, which is taken as given (stop-gradient).

No negatives, no momentum. Without the stop-gradient or without the predictor the views agree on a constant (Chen & He 2021,
figure 2 and table 1). ``stop_gradient=False`` is the experiment of that figure; the predictor is always there. Without a
projector (``projector_layers=0``) it is the embedding itself that collapses.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from likewise.data.views import ViewOptions
from likewise.losses import negative_cosine_loss
from likewise.models import EmbeddingModel
from likewise.objectives._heads import mlp
from likewise.objectives._objective import Batch, Objective
from likewise.objectives._views import ViewObjectiveOptions, closeness

__all__ = ["SimSiam", "SimSiamOptions"]


class SimSiamOptions(ViewObjectiveOptions):
    """SimSiam (Chen & He 2021); see ``likewise.losses.negative_cosine_loss`` for the equation.

    Attributes:
        stop_gradient: whether the target is taken as given; without, everything collapses.
        projector_layers: 3 in the paper, 2 for CIFAR-10; 0: none.
        width: of the projector; ``None``: as wide as the embedding (2048 in the paper, for ResNet-50).
        predictor_width: hidden layer of the predictor; ``None``: a quarter of ``width``.
    """

    name: Literal["simsiam"] = "simsiam"
    views: ViewOptions = ViewOptions.moco()
    stop_gradient: bool = True
    projector_layers: int = Field(default=3, ge=0)
    width: int | None = Field(default=None, ge=1)
    predictor_width: int | None = Field(default=None, ge=1)

    def build(self, model: EmbeddingModel) -> SimSiam:
        """The objective with these options."""
        return SimSiam(model, self)


class SimSiam(Objective):
    """½ L(p₁, z₂) + ½ L(p₂, z₁),  L the negative cosine, z the projection, p the prediction from it."""

    across_ranks = "mean"

    def __init__(self, model: EmbeddingModel, options: SimSiamOptions) -> None:
        super().__init__(model)
        self.options = options
        width = (options.width or model.embedding_dim) if options.projector_layers else model.embedding_dim
        self.projector: nn.Module = nn.Identity()
        if options.projector_layers:
            widths = [model.embedding_dim, *[width] * options.projector_layers]
            self.projector = mlp(widths, last=nn.BatchNorm1d(width, affine=False))
        self.predictor = mlp((width, options.predictor_width or max(1, width // 4), width), last_bias=True)

    def _sides(self, images: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        projections = [self.projector(self.model(view)) for view in self.options.two_views(images, batch)]
        first, second = (projection.float() for projection in projections)
        predicted = [self.predictor(projection).float() for projection in projections]
        if self.options.stop_gradient:
            loss = 0.5 * (negative_cosine_loss(predicted[0], second) + negative_cosine_loss(predicted[1], first))
        else:
            loss = -0.5 * (_cosine(predicted[0], second) + _cosine(predicted[1], first))
        return loss, first, second

    def forward(self, images: Tensor, batch: Batch) -> Tensor:
        """Loss of the batch."""
        return self._sides(images, batch)[0]

    def explain(self, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The loss, and how close pairs are and how evenly all projections lie."""
        loss, first, second = self._sides(images, batch)
        return {"loss": loss} | closeness(first, second)


def _cosine(one: Tensor, two: Tensor) -> Tensor:
    return nn.functional.cosine_similarity(one, two).mean()
