"""CLIP: an image and its caption are drawn together, against all other captions and images of the batch.

Every image of a batch comes with one of its captions, drawn anew each epoch. Pairs that share a caption or are the same
pixels are positives of each other, not false negatives. Which encoders are trained is a setting of the training,
``training.freeze``: what a frozen text encoder makes of the captions is computed once and kept, and so are the images'
features.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from likewise.data import ImageDataset
from likewise.data.captions import Captions
from likewise.data.feature_store import FrozenTexts
from likewise.errors import TrainingError
from likewise.losses import clip_loss, sigmoid_loss
from likewise.models import EmbeddingModel, Ragged, Tokens
from likewise.models.device import to_device
from likewise.models.towers import TextTower
from likewise.objectives._objective import Batch, Objective, ObjectiveOptions
from likewise.objectives._soft_targets import soft_target_loss

__all__ = ["CLIP", "CLIPOptions"]


class CLIPOptions(ObjectiveOptions):
    """Images against captions.

    Attributes:
        loss: ``info_nce``, CLIP's symmetric cross-entropy (``likewise.losses.clip_loss``); ``sigmoid``, SigLIP's
            (``likewise.losses.sigmoid_loss``); ``soft_targets``, the course sheet's source: unnormalised products against
            targets softened by the batch's own similarities.
        temperature: divides the similarity; where it is learned, the value it starts from. The papers start at 0.07
            (CLIP), 0.1 (SigLIP) and 1 (the sheet's source, which does not learn it).
        learn_temperature: train it; it stays within 0.01 … 1, as in CLIP.
        bias: of the sigmoid loss, learned from this value.
        duplicates: pairs that share a caption or their pixels are ``positives`` of each other, are kept ``apart`` in
            different batches, or ``ignored``, which makes them negatives. The targets of ``soft_targets`` say by themselves
            what is alike: there ``positives`` changes nothing.
    """

    name: Literal["clip"] = "clip"
    loss: Literal["info_nce", "sigmoid", "soft_targets"] = "info_nce"
    temperature: float = Field(default=0.07, ge=0.01, le=1.0)
    learn_temperature: bool = True
    bias: float = Field(default=-10.0, allow_inf_nan=False)
    duplicates: Literal["positives", "apart", "ignored"] = "positives"

    @property
    def needs_labels(self) -> bool:
        """It learns from captions."""
        return False

    @property
    def needs_captions(self) -> bool:
        """It learns from captions."""
        return True

    def build(self, model: EmbeddingModel) -> CLIP:
        """The objective with these options."""
        return CLIP(model, self)


class _Table(NamedTuple):
    """A data set's captions, with what a frozen text encoder makes of them, else with their tokens."""

    captions: Captions
    frozen: Ragged | None
    tokens: Tokens | None


class CLIP(Objective):
    """Symmetric contrastive loss of images and captions.

    Raises:
        TrainingError: the model has no text tower.
    """

    across_ranks = "group"

    def __init__(self, model: EmbeddingModel, options: CLIPOptions) -> None:
        super().__init__(model)
        if model.text is None:
            raise TrainingError(
                "The objective clip was given a model without a text tower.",
                expected="Expected an encoder for the captions.",
                advice="Set text_encoder, for example --set text_encoder=small_transformer.",
            )
        self.options = options
        # In a list, so that the module, which is part of the model, is not registered a second time.
        self._tower: list[TextTower] = [model.text]
        self._frozen_texts = FrozenTexts.of_model(model) if model.text.encoder_frozen else None
        self.log_temperature = nn.Parameter(
            torch.tensor(math.log(options.temperature)), requires_grad=options.learn_temperature
        )
        self.bias = nn.Parameter(torch.tensor(options.bias), requires_grad=options.loss == "sigmoid")
        self._tables: dict[str, _Table] = {}
        self._table: _Table | None = None

    def attend(self, data: ImageDataset) -> None:
        """Take the captions of ``data`` for the batches that follow."""
        if data.fingerprint not in self._tables:
            captions = Captions(data)
            kept = None if self._frozen_texts is None else self._frozen_texts.of(captions.texts)
            tokens = self._tower[0].encoder.tokenize(captions.texts) if kept is None else None
            self._tables[data.fingerprint] = _Table(captions, kept, tokens)
        self._table = self._tables[data.fingerprint]

    def _attended(self) -> _Table:
        if self._table is None:
            raise TrainingError(
                "The objective clip was asked for batches or their loss before it was given captions.",
                expected="Expected attend(data) first: it takes the captions of the data set.",
                advice="Call objective.attend(data), or train by a recipe, which does.",
            )
        return self._table

    def epoch(self, labels: Tensor, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
        """Batches of images, each with one of its captions."""
        captions = self._attended().captions
        planned = super().epoch(labels, batch_size, generator)
        if self.options.duplicates == "apart":
            planned = (Batch(rows, labels[rows]) for rows in captions.batches_apart(batch_size, generator))
        for batch in planned:
            alike = captions.alike(batch.indices) if self.options.duplicates == "positives" else None
            yield batch._replace(captions=captions.draw(batch.indices, generator), positives=alike)

    def forward(self, images: Tensor, batch: Batch) -> Tensor:
        """Loss of the batch."""
        options = self.options
        image, text = self.model(images).float(), self._text(batch).float()
        temperature = self.log_temperature.exp()
        if options.loss == "sigmoid":
            return sigmoid_loss(
                image, text, temperature=temperature, bias=self.bias, positives=batch.positives, group=self.group
            )
        if options.loss == "soft_targets":
            return soft_target_loss(image, text, temperature=temperature, group=self.group)
        return clip_loss(image, text, temperature=temperature, positives=batch.positives, group=self.group)

    def _text(self, batch: Batch) -> Tensor:
        table, tower = self._attended(), self._tower[0]
        if batch.captions is None:
            raise TrainingError(
                "A batch without captions was given to the objective clip.",
                expected="Expected Batch.captions: which caption of each image it is about.",
                advice="Take the batches from objective.epoch.",
            )
        chosen = table.captions.text[batch.captions]
        device = self.log_temperature.device
        if table.frozen is not None:
            states, lengths = table.frozen.take(chosen)
            embeddings = tower.from_frozen(to_device(states, device), to_device(lengths, device))
        else:
            assert table.tokens is not None
            embeddings = tower(table.tokens.take(chosen).to(device))
        return embeddings

    @torch.no_grad()
    def after_step(self, done: float) -> None:
        """Keep the temperature within 0.01 … 1."""
        self.log_temperature.clamp_(math.log(0.01), 0.0)
