"""The text tower: a text encoder and its head, which put texts into the space of an embedding model's images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from likewise.errors import ModelError
from likewise.models._text_options import TextEncoderOptions, Tokens
from likewise.models.heads import Head, build_head
from likewise.models.ragged import Ragged

__all__ = ["TextTower", "check_texts"]

_LONGEST_FIRST = 2048  # texts sorted by length at a time, so that a batch is padded to texts of its own length


def check_texts(texts: Sequence[str]) -> list[str]:
    """Texts as a list of strings, none of them empty.

    Raises:
        ModelError: one text instead of a list, something else than a text, or a text without a character.
    """
    if isinstance(texts, str):
        raise ModelError(
            f"One text was given ({texts[:40]!r}).", expected="Expected a list of texts.", advice="Put it into a list."
        )
    checked = list(texts)
    for position, text in enumerate(checked):
        if not isinstance(text, str) or not text.strip():
            raise ModelError(
                f"Text {position} is {text!r}.",
                expected="Expected a text with at least one character that is no space.",
                advice="Leave it out, or write what is to be found.",
            )
    return checked


class TextTower(nn.Module):
    """Texts to embeddings.

    Args:
        options: of the text encoder, fitted where it has something to fit.
        embedding_dim: D.
        head: as the image side's.
        batch_norm, hidden, dropout: as the image side's; see ``build_head``.

    Example:
        >>> from likewise.models import SmallTransformerOptions
        >>> tower = TextTower(SmallTransformerOptions().fitted(["a red ring"]), 8).eval()
        >>> tower.embed(["a ring", "a red ring"]).shape
        (2, 8)
    """

    def __init__(
        self,
        options: TextEncoderOptions,
        embedding_dim: int,
        *,
        head: Head = "linear",
        batch_norm: bool = False,
        hidden: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder = options.build()
        self.embedding = build_head(
            head, self.encoder.out_features, embedding_dim, batch_norm=batch_norm, hidden=hidden, dropout=dropout
        )
        self.embedding_dim = embedding_dim
        self.encoder_frozen = False
        #: Layers at the end of a frozen encoder that are trained all the same.
        self.trained_blocks = 0

    def freeze_encoder(self, trained_blocks: int = 0) -> None:
        """Leave the encoder as it is from now on, but for its last ``trained_blocks`` layers: no gradient, evaluation mode.

        Raises:
            ModelError: the encoder has fewer layers, or none that can be trained on their own.
        """
        last = self.encoder.last_blocks(trained_blocks) if trained_blocks else []
        self.encoder.requires_grad_(False)
        for block in last:
            block.requires_grad_(True)
        self.encoder_frozen, self.trained_blocks = True, trained_blocks
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Switch training mode; what is frozen stays in evaluation mode."""
        super().train(mode)
        if self.encoder_frozen:
            self.encoder.eval()
            for block in self.encoder.last_blocks(self.trained_blocks) if self.trained_blocks else ():
                block.train(mode)
        return self

    @property
    def options(self) -> TextEncoderOptions:
        """What builds the same encoder again, complete."""
        return self.encoder.options

    def forward(self, tokens: Tokens) -> Tensor:
        """Embeddings (N, D) of tokens, as the objective sees them."""
        embeddings: Tensor = self.embedding(self.encoder(tokens.ids, tokens.lengths))
        return embeddings

    @torch.inference_mode()
    def features(self, tokens: Tokens, *, batch_size: int = 256) -> Tensor:
        """Features (N, F) float32 of the encoder alone, in evaluation mode, on the CPU.

        Args:
            tokens: of any number of texts.
            batch_size: texts at a time; texts of one length stand together.
        """
        found = torch.empty(len(tokens.lengths), self.encoder.out_features)
        with self._evaluated() as device:
            for rows in _by_length(tokens.lengths, batch_size):
                part = tokens.take(rows).to(device)
                found[rows] = self.encoder(part.ids, part.lengths).float().cpu()
        return found

    @torch.inference_mode()
    def frozen_states(self, tokens: Tokens, *, batch_size: int = 256) -> Ragged:
        """What the frozen part of the encoder makes of texts, in evaluation mode, float32 on the CPU.

        Of each text the states that go into the layers that are trained, a row for each token; where none is, its features in
        one row.
        """
        blocks = self.trained_blocks
        if not blocks:
            return Ragged.of_rows(self.features(tokens, batch_size=batch_size))
        states: Ragged | None = None
        with self._evaluated() as device:
            for rows in _by_length(tokens.lengths, batch_size):
                part = tokens.take(rows).to(device)
                hidden = self.encoder.lower(part.ids, part.lengths, blocks).float().cpu()
                states = states or Ragged.empty(tokens.lengths, hidden.shape[2])
                states.put(rows, hidden)
        return states or Ragged.empty(tokens.lengths, self.encoder.out_features)

    def from_frozen(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Embeddings (N, D), as the objective sees them, of states (N, L, width) of ``frozen_states`` and their lengths."""
        embeddings: Tensor = self.embedding(self.features_of_frozen(states, lengths))
        return embeddings

    def features_of_frozen(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Features (N, F) of the same."""
        states = states.to(next(self.encoder.parameters()).dtype)
        return self.encoder.upper(states, lengths, self.trained_blocks) if self.trained_blocks else states[:, 0]

    def embed(self, texts: Sequence[str], *, normalize: bool = True, batch_size: int = 256) -> NDArray[np.float32]:
        """Embeddings (N, D) float32 of texts, in evaluation mode.

        Args:
            texts: at least one character each; what is longer than the encoder reads is cut.
            normalize: divide each by its Euclidean norm.
            batch_size: texts at a time.

        Raises:
            ModelError: a text is empty or none.
        """
        checked = check_texts(texts)
        if not checked:
            return np.empty((0, self.embedding_dim), np.float32)
        states = self.frozen_states(self.encoder.tokenize(checked), batch_size=batch_size)
        return self.embed_frozen(states, normalize=normalize)

    @torch.inference_mode()
    def embed_frozen(self, states: Ragged, *, normalize: bool = True) -> NDArray[np.float32]:
        """Embeddings (N, D) float32 of what ``frozen_states`` gave, in evaluation mode.

        Raises:
            ModelError: an embedding is not finite.
        """
        embeddings = torch.empty(len(states.length), self.embedding_dim)
        with self._evaluated() as device:
            for rows in _by_length(states.length, 1024):
                hidden, lengths = states.take(rows)
                embeddings[rows] = self.from_frozen(hidden.to(device), lengths.to(device)).float().cpu()
        if not bool(torch.isfinite(embeddings).all()):
            raise ModelError(
                "The embeddings of the texts are not finite.",
                expected="Every embedding must be finite.",
                advice="The weights hold NaN or infinity: train again with a lower learning rate.",
            )
        found: NDArray[np.float32] = (F.normalize(embeddings) if normalize else embeddings).numpy()
        return found

    @contextmanager
    def _evaluated(self) -> Iterator[torch.device]:
        """In evaluation mode for a while; gives the device."""
        training = self.training
        self.eval()
        try:
            yield next(self.parameters()).device
        finally:
            self.train(training)


def _by_length(lengths: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Rows cut into batches, within blocks of a few thousand from short to long."""
    for block in torch.arange(len(lengths)).split(max(_LONGEST_FIRST, batch_size)):
        ordered = block[lengths[block].argsort(stable=True)]
        yield from ordered.split(batch_size)
