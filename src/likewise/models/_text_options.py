"""What the options of a text encoder are: a frozen, checked record whose ``name`` says which text encoder it builds.

As with encoders of images, a new file in this room that defines a subclass of ``TextEncoderOptions`` is known everywhere.
Once built, a text encoder's ``options`` are complete (vocabulary or tokenizer, architecture): what a model folder keeps
builds the same encoder anywhere, without a hub and without the folder that it first came from.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from likewise.errors import ModelError
from likewise.models.device import to_device

__all__ = ["TextEncoder", "TextEncoderOptions", "Tokens", "find_text_encoder", "pad", "text_encoder_names"]


class Tokens(NamedTuple):
    """Texts as numbers: ``ids`` (N, L) int64, right of each text's ``lengths`` (N,) padding; ``truncated`` (N,) bool."""

    ids: Tensor
    lengths: Tensor
    truncated: Tensor

    def take(self, indices: Tensor) -> Tokens:
        """Some of the texts, padded no further than the longest of them."""
        lengths = self.lengths[indices]
        longest = int(lengths.max()) if len(lengths) else 0
        return Tokens(self.ids[indices, :longest], lengths, self.truncated[indices])

    def to(self, device: torch.device) -> Tokens:
        """The same on ``device``."""
        return Tokens(*(to_device(part, device) for part in self))


def pad(rows: Sequence[Sequence[int]], most: int) -> Tokens:
    """Lists of token ids as ``Tokens``; what is longer than ``most`` is cut.

    Example:
        >>> pad([[5, 6], [7]], 8).ids.tolist()
        [[5, 6], [7, 0]]
    """
    lengths = torch.tensor([min(len(row), most) for row in rows], dtype=torch.int64)
    ids = torch.zeros(len(rows), int(lengths.max()) if rows else 0, dtype=torch.int64)
    for position, row in enumerate(rows):
        ids[position, : min(len(row), most)] = torch.tensor(row[:most], dtype=torch.int64)
    return Tokens(ids, lengths, torch.tensor([len(row) > most for row in rows], dtype=torch.bool))


class TextEncoder(nn.Module):
    """Tokens to features: (N, L) ids and (N,) lengths to (N, ``out_features``) float.

    Attributes:
        out_features: numbers a text.
        options: what it was built from, complete.
    """

    out_features: int
    options: TextEncoderOptions

    @abstractmethod
    def tokenize(self, texts: Sequence[str]) -> Tokens:
        """Texts as this encoder's tokens, on the CPU."""
        raise NotImplementedError

    def last_blocks(self, count: int) -> list[nn.Module]:
        """What is trained where all but the last ``count`` layers stay as they are.

        Raises:
            ModelError: it has fewer layers, or none that can be trained on their own.
        """
        raise ModelError(
            f"The last layers of the text encoder {self.options.name} were to be trained.",
            expected="Expected a BERT or DistilBERT of transformers, MiniLM among them.",
            advice="Choose one of them, or set training.text_blocks=0.",
        )

    def lower(self, ids: Tensor, lengths: Tensor, count: int) -> Tensor:
        """Tokens to what goes into the last ``count`` layers, (N, L, width) float; at padding without meaning."""
        raise NotImplementedError

    def upper(self, hidden: Tensor, lengths: Tensor, count: int) -> Tensor:
        """What ``lower`` gave to (N, ``out_features``) float."""
        raise NotImplementedError


class TextEncoderOptions(BaseModel):
    """Options of one text encoder; ``build`` makes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    known: ClassVar[dict[str, type[TextEncoderOptions]]] = {}
    name: str

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        TextEncoderOptions.known[cls.model_fields["name"].default] = cls

    def fitted(self, captions: Sequence[str]) -> Self:
        """These options with what has to be learned from the training captions before building: a vocabulary."""
        return self

    @abstractmethod
    def build(self) -> TextEncoder:
        """Build the text encoder, with fresh weights from torch's global random state or with pretrained ones."""
        raise NotImplementedError


def text_encoder_names() -> tuple[str, ...]:
    """Names of all text encoders in this room, sorted."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"likewise.models.{module.name}")
    return tuple(sorted(TextEncoderOptions.known))


def find_text_encoder(name: str) -> type[TextEncoderOptions]:
    """Options class of the text encoder called ``name``.

    Raises:
        ModelError: no text encoder has that name.
    """
    names = text_encoder_names()
    if name not in names:
        raise ModelError(
            f"Text encoder {name!r} is not known.",
            expected=f"Known: {', '.join(names)}.",
            advice="Use one of these names.",
        )
    return TextEncoderOptions.known[name]
