"""All-pairs contrastive learning: every pair of images in the batch, pulled together or pushed past a margin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field
from torch import Tensor

from likewise.losses import Range, contrastive_loss
from likewise.models import EmbeddingModel
from likewise.objectives._objective import Batch, Objective, ObjectiveOptions

__all__ = ["Contrastive", "ContrastiveOptions"]


class ContrastiveOptions(ObjectiveOptions):
    """Contrastive loss over all pairs of a batch; see ``likewise.losses.contrastive_loss`` for the equations.

    Attributes:
        margin: how far apart different classes are pushed: a squared distance for ``squared``, a distance for ``hadsell``.
        form: ``squared`` (max(0, m - D²), the course sheet's) or ``hadsell`` (½ max(0, m - D)², Hadsell et al. 2006).
        reduction: ``sum`` over the pairs or their ``mean``.
    """

    name: Literal["contrastive"] = "contrastive"
    margin: float = Field(default=1.0, gt=0)
    form: Literal["squared", "hadsell"] = "squared"
    reduction: Literal["sum", "mean"] = "mean"

    @property
    def search_space(self) -> Mapping[str, Range]:
        """Where a search looks."""
        return {"margin": Range(0.5, 50.0)}

    def build(self, model: EmbeddingModel) -> Contrastive:
        """The objective with these options."""
        return Contrastive(model, self)


class Contrastive(Objective):
    """Contrastive loss of all pairs i < j of the batch."""

    across_ranks = "group"

    def __init__(self, model: EmbeddingModel, options: ContrastiveOptions) -> None:
        super().__init__(model)
        self.options = options

    def forward(self, images: Tensor, batch: Batch) -> Tensor:
        """Loss of the batch."""
        options = self.options
        return contrastive_loss(
            self.model(images).float(),
            batch.labels,
            margin=options.margin,
            form=options.form,
            reduction=options.reduction,
            group=self.group,
        )
