"""MoCo v2: a query is to find its key among the keys of many earlier batches, which wait in a queue.

The keys come from an average in time of the network, so that those in the queue fit together. Batch normalisation could
give the answer away, because the statistics of a batch know which images are in it. The authors shuffle the keys over
eight GPUs; here one batch is cut into ``batch_splits`` parts that are normalised each on its own, the keys' parts shuffled.
On several ranks each has as many of the parts, the keys are shuffled over all ranks, and all have the same queue.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from likewise.data.views import ViewOptions
from likewise.losses import gather_over_ranks
from likewise.models import EmbeddingModel
from likewise.models.device import to_device
from likewise.objectives._apart import StatisticsInTurn, parts_here
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
        batch_splits: parts of a batch that are normalised on their own, those of all ranks together; 1: none. 8 GPUs in the
            paper.
        hidden_width: of the projection head; ``None``: as wide as the embedding; 0: no hidden layer, the linear head of
            version 1.
        output_width: of the projection.
    """

    name: Literal["moco_v2"] = "moco_v2"
    views: ViewOptions = ViewOptions.moco()
    temperature: float = Field(default=0.2, gt=0, allow_inf_nan=False)
    queue: int = Field(default=65536, ge=1)
    momentum: float = Field(default=0.999, ge=0, le=1)
    batch_splits: int = Field(default=8, ge=1)
    hidden_width: int | None = Field(default=None, ge=0)
    output_width: int = Field(default=128, ge=1)

    def build(self, model: EmbeddingModel) -> MoCoV2:
        """The objective with these options."""
        return MoCoV2(model, self)


class MoCoV2(Objective):
    """-log( exp(q·k/t) / (exp(q·k/t) + sum over the queue exp(q·n/t)) ),  q, k, n normalised, no gradient to k and n."""

    across_ranks = "mean"
    queue: Tensor
    oldest: Tensor

    def __init__(self, model: EmbeddingModel, options: MoCoV2Options) -> None:
        super().__init__(model)
        self.options = options
        width = model.embedding_dim
        hidden = () if options.hidden_width == 0 else (options.hidden_width or width,)
        widths = (width, *hidden, options.output_width)
        self.head = mlp(widths, norm=False, hidden_bias=True, last_bias=True)
        self.keys = MomentumCopy(self.model, self.head)
        self.register_buffer("queue", F.normalize(torch.randn(options.queue, options.output_width)))
        self.register_buffer("oldest", torch.zeros((), dtype=torch.long))
        self._fresh: Tensor | None = None
        self._statistics: StatisticsInTurn | None = None

    @property
    def normalizes_apart(self) -> bool:
        """Where a batch is cut into parts, those of a rank are its own."""
        return self.options.batch_splits > 1

    def _sides(self, images: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Loss, queries, their keys, and the keys of the whole batch."""
        first, second = self.options.two_views(images, batch)
        total, rows = batch.total or len(images), batch.rows
        splits = self.options.batch_splits if self.training else 1
        if splits == 1:
            queries, own = self.head(self.model(first)), self.keys(second)
            whole = gather_over_ranks(F.normalize(own.float()), self.group)[0]
        else:
            parts = parts_here(total, splits, self.group)
            if self.group is not None:
                self._statistics = StatisticsInTurn(self, len(parts), self.group)
            queries = torch.cat([self.head(self.model(first[part])) for part in parts])
            shuffle = torch.randperm(total, generator=batch.generator.generator)
            mine = to_device(shuffle if rows is None else shuffle[rows], images.device)
            moved = gather_over_ranks(second, self.group)[0][mine]
            shuffled = torch.cat([self.keys(moved[part]) for part in parts])
            whole = gather_over_ranks(F.normalize(shuffled.float()), self.group)[0]
            whole = whole[to_device(shuffle.argsort(), images.device)]
        queries = F.normalize(queries.float())
        keys = whole if rows is None or self.group is None else whole[to_device(rows, images.device)]
        with torch.autocast(queries.device.type, enabled=False):  # bfloat16 has two digits of a similarity
            positive = torch.linalg.vecdot(queries, keys)
            negatives = torch.logsumexp(queries @ self.queue.T / self.options.temperature, dim=1)
        return F.softplus(negatives - positive / self.options.temperature).mean(), queries, keys, whole

    def forward(self, images: Tensor, batch: Batch) -> Tensor:
        """Loss of the batch."""
        loss, _, _, keys = self._sides(images, batch)
        if self.training:
            self._fresh = keys
        return loss

    def explain(self, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The loss, and how close pairs are and how evenly all queries lie."""
        loss, queries, keys, _ = self._sides(images, batch)
        return {"loss": loss} | closeness(queries, keys)

    @torch.no_grad()
    def after_step(self, done: float) -> None:
        """The batch's keys take the places of the oldest ones; the key network takes a step after the network."""
        if self._statistics is not None:
            self._statistics.settle()
            self._statistics = None
        if self._fresh is not None:
            fresh = self._fresh[-len(self.queue) :]
            places = (self.oldest + torch.arange(len(fresh), device=fresh.device)) % len(self.queue)
            self.queue[places] = fresh
            self.oldest.copy_((self.oldest + len(fresh)) % len(self.queue))
            self._fresh = None
        self.keys.follow((self.model, self.head), self.options.momentum)
