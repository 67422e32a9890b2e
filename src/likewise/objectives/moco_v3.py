"""MoCo v3: no queue any more. The keys of the batch are the negatives, and a predictor stands on the query's side."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from likewise.data.views import ViewOptions
from likewise.losses import info_nce_loss
from likewise.models import EmbeddingModel
from likewise.objectives._heads import MomentumCopy, cosine_momentum, mlp
from likewise.objectives._objective import Batch, Objective
from likewise.objectives._views import ViewObjectiveOptions, closeness

__all__ = ["MoCoV3", "MoCoV3Options"]


class MoCoV3Options(ViewObjectiveOptions):
    """MoCo v3 (Chen, Xie & He 2021), the authors' setting for ResNet-50.

    Attributes:
        temperature: > 0; divides the similarity. 1.0 for ResNet-50, 0.2 for vision transformers.
        momentum: of the key network at the beginning; it rises to 1 as half a cosine. 0.99 for 100 and 300 epochs, 0.996 for
            1,000.
        hidden_width: of projector and predictor; ``None``: twice the embedding (4096 in the paper, for ResNet-50).
        output_width: of projection and prediction.
    """

    name: Literal["moco_v3"] = "moco_v3"
    views: ViewOptions = ViewOptions.byol(crop=(0.2, 1.0))
    second_views: ViewOptions | None = ViewOptions.byol(second=True, crop=(0.2, 1.0))
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    momentum: float = Field(default=0.99, ge=0, le=1)
    hidden_width: int | None = Field(default=None, ge=1)
    output_width: int = Field(default=256, ge=1)

    def build(self, model: EmbeddingModel) -> MoCoV3:
        """The objective with these options."""
        return MoCoV3(model, self)


class MoCoV3(Objective):
    """2t · (InfoNCE(q₁, k₂) + InfoNCE(q₂, k₁)),  q the prediction, k the key network's projection, without gradient."""

    across_ranks = "group"

    def __init__(self, model: EmbeddingModel, options: MoCoV3Options) -> None:
        super().__init__(model)
        self.options = options
        hidden, out = options.hidden_width or 2 * model.embedding_dim, options.output_width
        self.projector = mlp((model.embedding_dim, hidden, out), last=nn.BatchNorm1d(out, affine=False))
        self.predictor = mlp((out, hidden, out), last=nn.BatchNorm1d(out, affine=False))
        self.keys = MomentumCopy(self.model, self.projector)

    def _sides(self, images: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        views = self.options.two_views(images, batch)
        queries = [self.predictor(self.projector(self.model(view))).float() for view in views]
        first, second = (self.keys(view).float() for view in views)
        t = self.options.temperature
        loss = info_nce_loss(queries[0], second, temperature=t, group=self.group)
        loss = loss + info_nce_loss(queries[1], first, temperature=t, group=self.group)
        return 2 * t * loss, first, second

    def forward(self, images: Tensor, batch: Batch) -> Tensor:
        """Loss of the batch."""
        return self._sides(images, batch)[0]

    def explain(self, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The loss, and how close pairs are and how evenly all keys lie."""
        loss, first, second = self._sides(images, batch)
        return {"loss": loss} | closeness(first, second)

    def after_step(self, done: float) -> None:
        """The key network takes a step after the network."""
        self.keys.follow((self.model, self.projector), cosine_momentum(self.options.momentum, done))
