"""SwAV: images are assigned to prototypes, equally many to each, and every view predicts the assignment of another.

The assignment of a view is found by Sinkhorn's iteration over the batch, so that not all images can choose the same
prototype: that is what takes the place of negatives. Small views only predict. On several ranks the assignment is that of
the whole batch.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from likewise.data.views import ViewOptions
from likewise.losses import sinkhorn
from likewise.models import EmbeddingModel
from likewise.objectives._heads import mlp
from likewise.objectives._objective import Batch, Objective
from likewise.objectives._views import MultiCropOptions, closeness

__all__ = ["SwAV", "SwAVOptions"]


class SwAVOptions(MultiCropOptions):
    """SwAV (Caron et al. 2020); see ``likewise.losses.swav_loss`` for the equation with two views.

    Attributes:
        prototypes: how many; 3,000 for the 1,000 classes of ImageNet.
        temperature: > 0; divides the scores of the prediction.
        epsilon: > 0; smaller makes sharper assignments.
        sinkhorn_iterations: of the assignment.
        freeze_prototypes: share of the run in which the prototypes stay as they are; the authors' first epoch of 100.
        hidden_width: of the projection head; ``None``: as wide as the embedding (2048 in the paper, for ResNet-50).
        output_width: of the projection.
    """

    name: Literal["swav"] = "swav"
    views: ViewOptions = ViewOptions.simclr(crop=(0.14, 1.0))
    local_views: ViewOptions = ViewOptions.simclr(crop=(0.05, 0.14))
    prototypes: int = Field(default=3000, ge=2)
    temperature: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    epsilon: float = Field(default=0.05, gt=0, allow_inf_nan=False)
    sinkhorn_iterations: int = Field(default=3, ge=1)
    freeze_prototypes: float = Field(default=0.01, ge=0, le=1)
    hidden_width: int | None = Field(default=None, ge=1)
    output_width: int = Field(default=128, ge=1)

    def build(self, model: EmbeddingModel) -> SwAV:
        """The objective with these options."""
        return SwAV(model, self)


class SwAV(Objective):
    """Mean over the two large views and over all other views of them of  -sum_k q_k log softmax(scores/t)_k."""

    across_ranks = "mean"
    done: Tensor

    def __init__(self, model: EmbeddingModel, options: SwAVOptions) -> None:
        super().__init__(model)
        self.options = options
        width = model.embedding_dim
        widths = (width, options.hidden_width or width, options.output_width)
        self.head = mlp(widths, hidden_bias=True, last_bias=True)
        self.prototypes = nn.Linear(options.output_width, options.prototypes, bias=False)
        self.register_buffer("done", torch.zeros(()))
        self._frozen: bool | None = None
        self._normalize_prototypes()

    @torch.no_grad()
    def _normalize_prototypes(self) -> None:
        self.prototypes.weight.copy_(F.normalize(self.prototypes.weight))

    def _predict(self, images: Tensor, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """Loss, and the projections of all views."""
        projections = [
            F.normalize(self.head(self.model(view)).float()) for view in self.options.all_views(images, batch)
        ]
        with torch.autocast(images.device.type, enabled=False):
            scores = [projection @ self.prototypes.weight.T for projection in projections]
        o = self.options
        logarithms = [torch.log_softmax(score / o.temperature, dim=1) for score in scores]
        losses = []
        for assigned in range(2):
            code = sinkhorn(scores[assigned], epsilon=o.epsilon, iterations=o.sinkhorn_iterations, group=self.group)
            losses += [-(code * log).sum(dim=1).mean() for view, log in enumerate(logarithms) if view != assigned]
        return torch.stack(losses).mean(), projections

    def forward(self, images: Tensor, batch: Batch) -> Tensor:
        """Loss of the batch."""
        return self._predict(images, batch)[0]

    def explain(self, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The loss, and how close pairs are and how evenly all projections lie."""
        loss, projections = self._predict(images, batch)
        return {"loss": loss} | closeness(*projections[:2])

    def before_step(self) -> None:
        """The prototypes stay as they are at first."""
        if self._frozen is None:  # once a process, so that no step waits for the device
            self._frozen = float(self.done) < self.options.freeze_prototypes
        if self._frozen:
            self.prototypes.weight.grad = None

    def after_step(self, done: float) -> None:
        """The prototypes go back to norm 1."""
        self.done.fill_(done)
        self._frozen = done < self.options.freeze_prototypes
        self._normalize_prototypes()
