"""What is looked at after every epoch, on validation and never on test.

The loss on validation batches drawn the same way each time, with what the objective explains it by, and on a fixed
sample of embeddings their health (collapse) and the accuracy of the nearest neighbour among as many training images. On two
cores it costs well under a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from likewise.data import ImageDataset
from likewise.data.draws import Draws
from likewise.errors import LossInputError
from likewise.evaluation import knn, linear_probe
from likewise.objectives import Objective
from likewise.training.collapse import inspect_embeddings

__all__ = ["Monitor"]

BATCH = 512
PROBE_STRENGTH = 1e-2
"""Fixed, so that nothing is chosen on the images that the probe is scored on."""


class Monitor:
    """Looks at a model in training.

    Args:
        train: training images.
        validation: validation images.
        batch_size: of the validation loss: batch-coupled losses depend on it.
        sample: images of each split whose embeddings are looked at.
        seed: fixes the sample and the validation batches.
        probe: also fit a linear probe on the training sample and score it on the validation sample.
    """

    def __init__(
        self,
        train: ImageDataset,
        validation: ImageDataset,
        *,
        batch_size: int,
        sample: int,
        seed: int,
        probe: bool = False,
    ) -> None:
        draws = torch.Generator().manual_seed(seed)
        self._gallery = _sample(train, sample, draws)
        self._queries = _sample(validation, sample, draws)
        self._batch_size = batch_size
        self._seed = seed
        self._probe = probe

    def look(self, objective: Objective, device: torch.device) -> dict[str, Any]:
        """Numbers for the epoch's line: val_loss (and what explains it), val_effective_rank, val_spread (both of two images
        or more), val_knn1_accuracy, val_linear_probe_accuracy (where asked for), collapsed.
        """
        training = objective.training
        objective.eval()
        with torch.inference_mode(), torch.compiler.set_stance("force_eager"):
            line: dict[str, Any] = self._explained(objective, device)
            queries, _ = objective.model.embed_batches(_blocks(self._queries))
            line["collapsed"] = False
            if len(queries) > 1:  # a single one says nothing about the space
                health = inspect_embeddings(torch.from_numpy(queries))
                line["val_effective_rank"] = health.effective_rank
                line["val_spread"] = health.spread
                line["collapsed"] = health.collapsed
                if health.collapsed:
                    line["collapse_reason"] = health.reason
            if self._gallery.labels is not None and self._queries.labels is not None:
                gallery, _ = objective.model.embed_batches(_blocks(self._gallery))
                found = knn(gallery, self._gallery.labels, queries, self._queries.labels, k=1)
                line["val_knn1_accuracy"] = found.accuracy
                if self._probe and len(self._gallery.labels.unique()) > 1:
                    asked = (queries, self._queries.labels)
                    probe = linear_probe((gallery, self._gallery.labels), asked, asked, strengths=(PROBE_STRENGTH,))
                    line["val_linear_probe_accuracy"] = probe.accuracy
        objective.train(training)
        return line

    def _explained(self, objective: Objective, device: torch.device) -> dict[str, float]:
        """``val_loss`` and the means of what explains it; empty for fewer than two images."""
        count = len(self._queries)
        if count < 2:
            return {}
        labels = torch.full((count,), -1) if self._queries.labels is None else self._queries.labels
        order, draws = (torch.Generator().manual_seed(self._seed + purpose) for purpose in (0, 1))
        sums: dict[str, float] = {}
        batches = 0
        objective.attend(self._queries)
        for batch in objective.epoch(labels, min(self._batch_size, count), order):
            images = self._queries.take(batch.indices).to(device)
            try:
                explained = objective.explain(images, batch.to(device)._replace(draws=Draws(draws)))
            except LossInputError:  # a batch without a positive pair, as a small sample may have, has no loss
                continue
            for name, value in explained.items():
                sums[name] = sums.get(name, 0.0) + float(value)
            batches += 1
        return {f"val_{name}": total / batches for name, total in sums.items()}


def _sample(data: ImageDataset, count: int, generator: torch.Generator) -> ImageDataset:
    chosen = torch.randperm(len(data), generator=generator)[:count]
    return data.subset(chosen.sort().values)


def _blocks(data: ImageDataset) -> Iterator[Tensor]:
    for _, images in data.batches(torch.arange(len(data)).split(BATCH)):
        yield images
