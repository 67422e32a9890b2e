"""DINO: a student tells of every view what its own average in time, the teacher, tells of a large one.

The teacher's scores are centred, so that no output wins for all images, and sharpened, so that not all outputs become
equal: the two together keep both kinds of collapse away. On several ranks the centre is that of the whole batch.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from likewise.data.views import ViewOptions
from likewise.losses import dino_loss, sum_over_ranks
from likewise.models import EmbeddingModel
from likewise.objectives._heads import MomentumCopy, cosine_momentum, mlp
from likewise.objectives._objective import Batch, Objective
from likewise.objectives._views import MultiCropOptions, closeness

__all__ = ["DINO", "DINOOptions"]


class DINOOptions(MultiCropOptions):
    """DINO (Caron et al. 2021); see ``likewise.losses.dino_loss`` for the equation.

    Attributes:
        outputs: number of scores; 65,536 in the paper, for ImageNet.
        student_temperature, teacher_temperature: > 0; divide the scores.
        center_momentum: of the running mean of the teacher's scores.
        momentum: of the teacher at the beginning; it rises to 1 as half a cosine. The authors take 0.996 for batches of
            1,024 and advise more for small ones.
        freeze_last: share of the run in which the head's last layer stays as it is; the authors' first epoch of 100.
        hidden_width: of the head.
        bottleneck: width before the last layer, where rows are normalised.
    """

    name: Literal["dino"] = "dino"
    views: ViewOptions = ViewOptions.byol(crop=(0.14, 1.0))
    second_views: ViewOptions | None = ViewOptions.byol(second=True, crop=(0.14, 1.0))
    local_views: ViewOptions = ViewOptions.byol(crop=(0.05, 0.4)).model_copy(update={"blur": 0.5})
    outputs: int = Field(default=65536, ge=2)
    student_temperature: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    teacher_temperature: float = Field(default=0.04, gt=0, allow_inf_nan=False)
    center_momentum: float = Field(default=0.9, ge=0, lt=1)
    momentum: float = Field(default=0.996, ge=0, le=1)
    freeze_last: float = Field(default=0.01, ge=0, le=1)
    hidden_width: int = Field(default=2048, ge=1)
    bottleneck: int = Field(default=256, ge=1)

    def build(self, model: EmbeddingModel) -> DINO:
        """The objective with these options."""
        return DINO(model, self)


class _Head(nn.Module):
    """Three layers to a normalised bottleneck, and scores against directions of norm 1 (weight normalisation, gain 1)."""

    def __init__(self, width: int, options: DINOOptions) -> None:
        super().__init__()
        hidden = options.hidden_width
        widths = (width, hidden, hidden, options.bottleneck)
        self.layers = mlp(widths, norm=False, hidden_bias=True, last_bias=True, activation=nn.GELU)
        for module in self.layers:
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        self.directions = nn.Parameter(nn.Linear(options.bottleneck, options.outputs, bias=False).weight.detach())

    def forward(self, embeddings: Tensor) -> Tensor:
        return F.normalize(self.layers(embeddings).float())

    def scores(self, bottleneck: Tensor) -> Tensor:
        return F.linear(bottleneck, F.normalize(self.directions)).float()


class DINO(Objective):
    """Mean of the loss over all pairs of a large view for the teacher and another view for the student."""

    across_ranks = "mean"
    center: Tensor
    done: Tensor

    def __init__(self, model: EmbeddingModel, options: DINOOptions) -> None:
        super().__init__(model)
        self.options = options
        self.head = _Head(model.embedding_dim, options)
        self.teacher = MomentumCopy(self.model, self.head)
        self.register_buffer("center", torch.zeros(options.outputs))
        self.register_buffer("done", torch.zeros(()))
        self._frozen: bool | None = None
        self._mean: Tensor | None = None

    def _pairs(self, images: Tensor, batch: Batch) -> tuple[Tensor, list[Tensor], Tensor]:
        """Loss, the student's bottleneck of every view, and the teacher's scores of the large ones."""
        o = self.options
        views = o.all_views(images, batch)
        with torch.no_grad():
            teacher_head = self.teacher.copies[1]
            taught = [teacher_head.scores(self.teacher(view)) for view in views[:2]]  # type: ignore[operator]
        bottlenecks = [self.head(self.model(view)) for view in views]
        students = [self.head.scores(bottleneck) for bottleneck in bottlenecks]
        losses = [
            dino_loss(
                student,
                teacher,
                self.center,
                student_temperature=o.student_temperature,
                teacher_temperature=o.teacher_temperature,
            )
            for large, teacher in enumerate(taught)
            for view, student in enumerate(students)
            if view != large
        ]
        return torch.stack(losses).mean(), bottlenecks, torch.cat(taught)

    def forward(self, images: Tensor, batch: Batch) -> Tensor:
        """Loss of the batch."""
        loss, _, taught = self._pairs(images, batch)
        if self.training:
            self._mean = sum_over_ranks(taught.sum(dim=0), self.group) / (2 * (batch.total or len(images)))
        return loss

    def explain(self, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The loss, and how close pairs are and how evenly all lie at the bottleneck."""
        loss, bottlenecks, _ = self._pairs(images, batch)
        return {"loss": loss} | closeness(*bottlenecks[:2])

    def before_step(self) -> None:
        """The last layer stays as it is at first."""
        if self._frozen is None:  # once a process, so that no step waits for the device
            self._frozen = float(self.done) < self.options.freeze_last
        if self._frozen:
            self.head.directions.grad = None

    @torch.no_grad()
    def after_step(self, done: float) -> None:
        """The center follows the teacher's mean scores, the teacher follows the student."""
        if self._mean is not None:
            self.center.lerp_(self._mean, 1 - self.options.center_momentum)
            self._mean = None
        self.done.fill_(done)
        self._frozen = done < self.options.freeze_last
        self.teacher.follow((self.model, self.head), cosine_momentum(self.options.momentum, done))
