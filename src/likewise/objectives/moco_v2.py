"""MoCo v2: a query is to find its key among the keys of many earlier batches, which wait in a queue.

The keys come from an average in time of the network, so that those in the queue fit together. Batch normalisation could
give the answer away, because the statistics of a batch know which images are in it. The authors shuffle the keys over
eight GPUs; here one batch is cut into ``batch_splits`` parts that are normalised each on its own, the keys' parts shuffled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from likewise.data.views import ViewOptions
from likewise.models import EmbeddingModel
from likewise.objectives._heads import MomentumCopy, mlp
from likewise.objectives._objective import Batch, Objective
from likewise.objectives._views import ViewObjectiveOptions, closeness

__all__ = ["MoCoV2", "MoCoV2Options"]


class MoCoV2Options(ViewObjectiveOptions):
    """MoCo v2 (Chen, Fan, Girshick & He 2020, on He et al. 2020).

    Attributes:
        temperature: > 0; divides the similarity. 0.2 in version 2, 0.07 in version 1.
        queue: keys of earlier batches that are negatives; 65,536 for ImageNet, 4,096 in the authors' CIFAR-10 example. A
            queue longer than the training set holds keys of the image itself.
        momentum: of the key network.
        batch_splits: parts of a batch that are normalised on their own; 1: none. 8 GPUs in the paper.
        hidden_width: of the projection head; ``None``: as wide as the embedding.
        output_width: of the projection.
    """

    name: Literal["moco_v2"] = "moco_v2"
    views: ViewOptions = ViewOptions.moco()
    temperature: float = Field(default=0.2, gt=0, allow_inf_nan=False)
    queue: int = Field(default=65536, ge=1)
    momentum: float = Field(default=0.999, ge=0, le=1)
    batch_splits: int = Field(default=8, ge=1)
    hidden_width: int | None = Field(default=None, ge=1)
    output_width: int = Field(default=128, ge=1)

    def build(self, model: EmbeddingModel) -> MoCoV2:
        """The objective with these options."""
        return MoCoV2(model, self)


class MoCoV2(Objective):
    """-log( exp(q·k/t) / (exp(q·k/t) + sum over the queue exp(q·n/t)) ),  q, k, n normalised, no gradient to k and n."""

    queue: Tensor
    oldest: Tensor

    def __init__(self, model: EmbeddingModel, options: MoCoV2Options) -> None:
        super().__init__(model)
        self.options = options
        width = model.embedding_dim
        widths = (width, options.hidden_width or width, options.output_width)
        self.head = mlp(widths, norm=False, hidden_bias=True, last_bias=True)
        self.keys = MomentumCopy(self.model, self.head)
        self.register_buffer("queue", F.normalize(torch.randn(options.queue, options.output_width)))
        self.register_buffer("oldest", torch.zeros((), dtype=torch.long))
        self._fresh: Tensor | None = None

    def _sides(self, images: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        first, second = self.options.two_views(images, batch)
        shuffle = torch.randperm(len(images), generator=batch.generator.generator).to(images.device)
        queries = F.normalize(self._in_parts(first, lambda views: self.head(self.model(views))).float())
        shuffled = self._in_parts(second[shuffle], self.keys)
        keys = F.normalize(shuffled[shuffle.argsort()].float())
        positive = torch.linalg.vecdot(queries, keys)
        negatives = torch.logsumexp(queries @ self.queue.T / self.options.temperature, dim=1)
        return F.softplus(negatives - positive / self.options.temperature).mean(), queries, keys

    def _in_parts(self, views: Tensor, network: Callable[[Tensor], Tensor]) -> Tensor:
        """In training ``network`` of each part on its own; a part has two images at least."""
        parts = max(1, min(self.options.batch_splits, len(views) // 2)) if self.training else 1
        return torch.cat([network(part) for part in views.tensor_split(parts)])

    def forward(self, images: Tensor, batch: Batch) -> Tensor:
        """Loss of the batch."""
        loss, _, keys = self._sides(images, batch)
        if self.training:
            self._fresh = keys
        return loss

    def explain(self, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The loss, and how close pairs are and how evenly all queries lie."""
        loss, queries, keys = self._sides(images, batch)
        return {"loss": loss} | closeness(queries, keys)

    @torch.no_grad()
    def after_step(self, done: float) -> None:
        """The batch's keys take the places of the oldest ones; the key network takes a step after the network."""
        if self._fresh is not None:
            fresh = self._fresh[-len(self.queue) :]
            places = (self.oldest + torch.arange(len(fresh), device=fresh.device)) % len(self.queue)
            self.queue[places] = fresh
            self.oldest.copy_((self.oldest + len(fresh)) % len(self.queue))
            self._fresh = None
        self.keys.follow((self.model, self.head), self.options.momentum)
