"""SwAV: images are assigned to prototypes, equally many to each, and every view predicts the assignment of another.

The assignment of a view is found by Sinkhorn's iteration over the batch, so that not all images can choose the same
prototype: that is what takes the place of negatives. Small views only predict. On several ranks the assignment is that of
the whole batch. A batch that is small beside the number of prototypes cannot be spread over them: with ``queue`` projections
of earlier batches are assigned together with it.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.distributed as dist
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from likewise.data.views import ViewOptions
from likewise.losses import gather_over_ranks, sinkhorn
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
        queue: projections of each large view from earlier batches that take part in the assignment, once there are so many; 0:
            none. The authors take 3,840 for batches of 256 and 3,000 prototypes, none for batches of 4,096.
        queue_from: share of the run before they do; the authors' first 15 epochs of 200.
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
    queue: int = Field(default=0, ge=0)
    queue_from: float = Field(default=0.075, ge=0, le=1)
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
    earlier: Tensor
    held: Tensor

    def __init__(self, model: EmbeddingModel, options: SwAVOptions) -> None:
        super().__init__(model)
        self.options = options
        width = model.embedding_dim
        widths = (width, options.hidden_width or width, options.output_width)
        self.head = mlp(widths, hidden_bias=True, last_bias=True)
        self.prototypes = nn.Linear(options.output_width, options.prototypes, bias=False)
        self.register_buffer("done", torch.zeros(()))
        if options.queue:
            self.register_buffer("earlier", torch.zeros(2, options.queue, options.output_width))
            self.register_buffer("held", torch.zeros((), dtype=torch.long))
        self._place: tuple[float, int] | None = None
        self._fresh: Tensor | None = None
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
            together = torch.cat([scores[assigned], self._earlier_scores(assigned, scores[assigned])])
            code = sinkhorn(together, epsilon=o.epsilon, iterations=o.sinkhorn_iterations, group=self.group)
            code = code[: len(images)]
            losses += [-(code * log).sum(dim=1).mean() for view, log in enumerate(logarithms) if view != assigned]
        if self.training and o.queue:
            whole = [gather_over_ranks(projection.detach(), self.group)[0] for projection in projections[:2]]
            self._fresh = torch.stack(whole)
        return torch.stack(losses).mean(), projections

    def _earlier_scores(self, view: int, scores: Tensor) -> Tensor:
        """Scores of what this rank takes of the queue; none where it does not take part yet."""
        o = self.options
        done, held = self._at()
        if not self.training or held < max(1, o.queue) or done < o.queue_from:
            return scores[:0]
        ranks, rank = (1, 0) if self.group is None else (dist.get_world_size(self.group), dist.get_rank(self.group))
        own = self.earlier[view].tensor_split(ranks)[rank]
        with torch.autocast(scores.device.type, enabled=False):  # as precise as the scores they stand beside
            return own @ self.prototypes.weight.T.detach()

    def _at(self) -> tuple[float, int]:
        """Share of the run that is done, and projections in the queue: read once a process, so that no step waits for the
        device."""
        if self._place is None:
            self._place = float(self.done), int(self.held) if self.options.queue else 0
        return self._place

    def forward(self, images: Tensor, batch: Batch) -> Tensor:
        """Loss of the batch."""
        return self._predict(images, batch)[0]

    def explain(self, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The loss, and how close pairs are and how evenly all projections lie."""
        loss, projections = self._predict(images, batch)
        return {"loss": loss} | closeness(*projections[:2])

    def before_step(self) -> None:
        """The prototypes stay as they are at first."""
        if self._at()[0] < self.options.freeze_prototypes:
            self.prototypes.weight.grad = None

    def after_step(self, done: float) -> None:
        """The prototypes go back to norm 1, and the batch's projections take the places of the oldest ones."""
        held = self._at()[1]
        if self._fresh is not None:
            fresh = self._fresh[:, -self.options.queue :]
            places = (held + torch.arange(fresh.shape[1], device=fresh.device)) % self.options.queue
            self.earlier[:, places] = fresh
            held += fresh.shape[1]
            self.held.fill_(held)
            self._fresh = None
        self.done.fill_(done)
        self._place = done, held
        self._normalize_prototypes()
