"""Metric learning: any loss of labelled embeddings, with the batches and the miner that suit it.

Losses with learned vectors per class (proxies, ArcFace …) own them; they train with the model, at a learning rate of
their own where the recipe says so, and are left behind when it is done: what is kept and measured is the embedding. So is
the memory of earlier batches, which is part of the checkpoints until then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import torch
import torch.distributed as dist
from pydantic import Field, SerializeAsAny, model_validator
from torch import Tensor, nn

from likewise.errors import DatasetError, RecipeError, TrainingError
from likewise.losses import CrossBatchMemory, MinedLoss, PMLLoss, Range
from likewise.models import EmbeddingModel
from likewise.objectives._label_loss import LossChoice
from likewise.objectives._miner import MinerChoice
from likewise.objectives._named import named
from likewise.objectives._objective import Batch, Objective, ObjectiveOptions
from likewise.objectives._sampling import SamplerOptions, Shuffle, find_sampler

__all__ = ["Metric", "MetricOptions"]


class MetricOptions(ObjectiveOptions):
    """Any loss of labelled embeddings, by name.

    Attributes:
        loss: name and options: ``{name: triplet, margin: 0.2}``, or the name alone.
        miner: which pairs or triplets of a batch the loss sees, for losses that take some: ``{name: hard}``, or the name
            alone; ``None``: what the loss itself says.
        memory: images of earlier batches, the newest, whose embeddings the loss also compares with, without gradient;
            ``None``: the batch alone.
        sampler: how batches are drawn: ``shuffle``, ``classes`` (P × K), ``balanced``, ``hierarchical`` or ``distinct``.
        loss_learning_rate: learning rate of the loss's own vectors, as a multiple of ``training.learning_rate``.
    """

    name: Literal["metric"] = "metric"
    loss: LossChoice = Field(default_factory=lambda: LossChoice(name="triplet"))
    miner: MinerChoice | None = None
    memory: int | None = Field(default=None, ge=1)
    sampler: Annotated[SerializeAsAny[SamplerOptions], named(find_sampler)] = Shuffle()
    loss_learning_rate: float = Field(default=1.0, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _loss_takes_them(self) -> MetricOptions:
        if self.miner is not None:
            self.loss.check_miner(self.miner)
        if self.memory is not None:
            self.loss.check_memory()
        return self

    @property
    def label(self) -> str:
        """The loss stands for the objective."""
        return self.loss.name.replace("_", "-")

    @property
    def search_space(self) -> Mapping[str, Range]:
        """The options of the loss, and how fast its own vectors learn."""
        space = {f"loss.{option}": found for option, found in self.loss.search_space.items()}
        return space | ({"loss_learning_rate": Range(1.0, 300.0)} if self.loss.has_parameters else {})

    def build(self, model: EmbeddingModel) -> Metric:
        """The objective with these options."""
        return Metric(model, self)


class Metric(Objective):
    """The loss of a batch's embeddings and labels."""

    across_ranks = "group"

    def __init__(self, model: EmbeddingModel, options: MetricOptions) -> None:
        super().__init__(model)
        self.options = options
        loss = options.loss.build(
            num_classes=len(model.class_names), embedding_dim=model.embedding_dim, miner=options.miner
        )
        self.loss: nn.Module = (
            loss if options.memory is None else CrossBatchMemory(loss, options.memory, model.embedding_dim)
        )

    def spread(self, group: dist.ProcessGroup) -> None:
        """Share every training batch with the ranks of ``group`` from now on.

        Raises:
            TrainingError: the loss is one of pytorch-metric-learning, which would see the images of one rank only.
        """
        if any(isinstance(module, PMLLoss) for module in self.loss.modules()):
            raise TrainingError(
                f"The loss {self.options.loss.name} was to train on {dist.get_world_size(group)} ranks.",
                expected="Expected a loss of Likewise: it compares the images of all ranks, others those of one.",
                advice="Start one process, or take a loss without pml: in its name.",
            )
        super().spread(group)

    def rate_factors(self) -> dict[str, float]:
        """The loss's own vectors may take other steps than the model."""
        return {"loss.": self.options.loss_learning_rate}

    def epoch(self, labels: Tensor, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
        """Batches by the sampler; a validation sample that lacks classes for them is shuffled instead."""
        options = self.options.sampler
        try:
            batches = options.epoch(labels, batch_size, generator, self.model.class_names)
        except (DatasetError, RecipeError):
            if self.training:
                raise
            batches = Shuffle().epoch(labels, batch_size, generator, self.model.class_names)
        for indices in batches:
            yield Batch(indices, labels[indices])

    def forward(self, images: Tensor, batch: Batch) -> Tensor:
        """Loss of the batch."""
        mined = self.loss.loss if isinstance(self.loss, CrossBatchMemory) else self.loss
        if isinstance(mined, MinedLoss) and self.options.miner is not None and self.options.miner.draws:
            mined.options["generator"] = batch.generator.generator
        options = {} if self.group is None else {"group": self.group}
        loss: Tensor = self.loss(self.model(images).float(), batch.labels, **options)
        return loss
