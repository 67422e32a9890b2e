"""A small text transformer, trained from scratch: for captions whose words can be learned from the captions alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from likewise.errors import ModelError
from likewise.models._text_options import TextEncoder, TextEncoderOptions, Tokens, pad
from likewise.models.words import count_words, encode_words

__all__ = ["SmallTransformer", "SmallTransformerOptions"]


class SmallTransformer(TextEncoder):
    """Word and position embeddings, pre-norm transformer layers, and the mean over the words.

    Args:
        options: with a vocabulary.
    """

    options: SmallTransformerOptions

    def __init__(self, options: SmallTransformerOptions) -> None:
        super().__init__()
        self.options = options
        self.out_features = width = options.width
        self._numbers = {word: number for number, word in enumerate(options.vocabulary, start=2)}
        self.words = nn.Embedding(len(options.vocabulary) + 2, width, padding_idx=0)
        self.positions = nn.Parameter(torch.empty(options.max_tokens, width))
        layer = nn.TransformerEncoderLayer(
            width, options.heads, 4 * width, options.dropout, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, options.layers, nn.LayerNorm(width), enable_nested_tensor=False)
        nn.init.normal_(self.words.weight, std=0.02)
        nn.init.normal_(self.positions, std=0.01)

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        """Words as numbers; what is longer than ``max_tokens`` words is cut."""
        return pad(encode_words(texts, self._numbers), self.options.max_tokens)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """(N, L) int64 and (N,) int64 to (N, width) float."""
        padding = torch.arange(ids.shape[1], device=ids.device) >= lengths[:, None]
        hidden = self.layers(self.words(ids) + self.positions[: ids.shape[1]], src_key_padding_mask=padding)
        hidden = hidden.masked_fill(padding[:, :, None], 0)
        mean: Tensor = hidden.sum(dim=1) / lengths[:, None]
        return mean


class SmallTransformerOptions(TextEncoderOptions):
    """Our small text transformer.

    Attributes:
        width: of the embeddings; a multiple of ``heads``.
        layers: how many.
        heads: of the attention.
        dropout: inside the layers, while training.
        max_tokens: words and signs of a text that are read; the rest is cut, counted and reported.
        least: occurrences in the training captions that make a word part of the vocabulary.
        most: words in the vocabulary at most.
        vocabulary: filled in from the training captions.
    """

    name: Literal["small_transformer"] = "small_transformer"
    width: int = Field(default=128, ge=8)
    layers: int = Field(default=2, ge=1)
    heads: int = Field(default=4, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    max_tokens: int = Field(default=48, ge=1)
    least: int = Field(default=1, ge=1)
    most: int = Field(default=20_000, ge=1)
    vocabulary: tuple[str, ...] = ()

    def fitted(self, captions: Sequence[str]) -> Self:
        """With the vocabulary of the captions, unless there is one."""
        if self.vocabulary:
            return self
        return self.model_copy(update={"vocabulary": count_words(captions, least=self.least, most=self.most)})

    def build(self) -> SmallTransformer:
        """Build the network; see ``SmallTransformer``."""
        if not self.vocabulary:
            raise ModelError(
                "The small text transformer has no vocabulary.",
                expected="Its words come from the training captions.",
                advice="Call fitted(captions) on the options first, or lower text_encoder.least.",
            )
        if self.width % self.heads:
            raise ModelError(
                f"text_encoder.width is {self.width} with {self.heads} heads.",
                expected="Expected a multiple of the heads.",
            )
        return SmallTransformer(self)
