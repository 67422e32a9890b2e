"""Cross-entropy: the embedding layer stands before the class scores, and the embedding is what is evaluated.

With ``class_scores="embedding"`` the embedding is the vector of class scores itself, as in the course sheet's own
cross-entropy network, whose ten outputs are used both ways.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from likewise.losses import Range
from likewise.models import EmbeddingModel
from likewise.objectives._objective import Batch, Objective, ObjectiveOptions

__all__ = ["CrossEntropy", "CrossEntropyOptions"]


class CrossEntropyOptions(ObjectiveOptions):
    """Softmax cross-entropy over the classes.

    Attributes:
        class_scores: ``linear``, a linear layer from embedding to class scores; ``embedding``, the embedding itself.
        label_smoothing: share of the target spread evenly over all classes, in [0, 1).
    """

    name: Literal["cross_entropy"] = "cross_entropy"
    class_scores: Literal["linear", "embedding"] = "linear"
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=1.0)

    @property
    def scores(self) -> Literal["linear", "embedding"] | None:
        """Which class scores the model must have."""
        return self.class_scores

    @property
    def search_space(self) -> Mapping[str, Range]:
        """Where a search looks."""
        return {"label_smoothing": Range(0.0, 0.3, log=False)}

    def build(self, model: EmbeddingModel) -> CrossEntropy:
        """The objective with these options."""
        return CrossEntropy(model, self)


class CrossEntropy(Objective):
    """Mean over the batch of  -Σ_k q_k log softmax(scores)_k,  q the (smoothed) one-hot label."""

    across_ranks = "mean"

    def __init__(self, model: EmbeddingModel, options: CrossEntropyOptions) -> None:
        super().__init__(model)
        self.options = options

    def forward(self, images: Tensor, batch: Batch) -> Tensor:
        """Loss of the batch; the smoothing of the labels is left out in evaluation mode."""
        scores = self.model.classify(self.model(images))
        smoothing = self.options.label_smoothing if self.training else 0.0
        return F.cross_entropy(scores.float(), batch.labels, label_smoothing=smoothing)
