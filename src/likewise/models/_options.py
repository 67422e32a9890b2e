"""What the options of an encoder are: a frozen, checked record whose ``name`` says which encoder it builds.

An encoder is found by the record that describes it: a new file in this room that defines a subclass of
``EncoderOptions`` is known to the recipes, the command line and the contract tests without another line anywhere.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from likewise.errors import ModelError

__all__ = ["Encoder", "EncoderOptions", "check_blocks", "encoder_names", "find_encoder"]


class Encoder(nn.Module):
    """Images to features: (N, C, H, W) float to (N, ``out_features``) float."""

    out_features: int
    #: What builds it again, where that says more than the options it was built from.
    options: EncoderOptions | None = None

    def fit_to(self, pixels: Tensor) -> None:
        """Set what is computed from data once and not trained, such as a whitening layer; nothing by default.

        Args:
            pixels: (N, C, H, W) float training images, normalised as ``forward`` gets them.
        """

    def last_blocks(self, count: int) -> list[nn.Module]:
        """What is trained where all but the last ``count`` blocks stay as they are; see ``BlockEncoder``.

        Raises:
            ModelError: it has fewer blocks, or none that can be trained on their own.
        """
        raise ModelError(
            f"The last blocks of the image encoder {type(self).__name__} were to be trained.",
            expected="Expected an encoder that is made of blocks: efficientnet_lite or resnet.",
            advice="Choose one of them, or set training.image_blocks=0.",
        )

    def lower(self, images: Tensor, count: int) -> Tensor:
        """(N, C, H, W) float to what goes into the last ``count`` blocks, (N, …) float."""
        raise NotImplementedError

    def upper(self, grid: Tensor, count: int) -> Tensor:
        """What ``lower`` gave to (N, ``out_features``) float."""
        raise NotImplementedError


class EncoderOptions(BaseModel):
    """Options of one encoder; ``build`` makes it for images of a given shape."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    known: ClassVar[dict[str, type[EncoderOptions]]] = {}
    #: Whether the network built takes images of other sizes than it was built for, with as many features.
    any_size: ClassVar[bool] = False
    name: str

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        EncoderOptions.known[cls.model_fields["name"].default] = cls

    @property
    def pixel_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Mean and deviation of each channel, in 0 … 1, that pretrained weights were trained with; None: those of the data."""
        return None

    def stored(self) -> EncoderOptions:
        """What a model folder keeps of these options: enough to build the encoder for weights that are stored beside them."""
        return self

    @abstractmethod
    def build(self, in_channels: int, image_size: tuple[int, int]) -> Encoder:
        """Build the encoder with fresh weights from torch's global random state.

        Args:
            in_channels: 1 for grey, 3 for colour.
            image_size: (height, width) in pixels.
        """
        raise NotImplementedError


def check_blocks(count: int, blocks: int, kind: str) -> None:
    """Raise a ModelError where more blocks of an ``image`` or ``text`` encoder are to be trained than there are."""
    if count > blocks:
        raise ModelError(
            f"The last {count} blocks of the {kind} encoder were to be trained, and it has {blocks}.",
            expected=f"Expected at most {blocks}.",
            advice=f"Lower training.{kind}_blocks, or train the whole encoder with training.freeze.",
        )


def encoder_names() -> tuple[str, ...]:
    """Names of all encoders in this room, sorted."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"likewise.models.{module.name}")
    return tuple(sorted(EncoderOptions.known))


def find_encoder(name: str) -> type[EncoderOptions]:
    """Options class of the encoder called ``name``.

    Raises:
        ModelError: no encoder has that name.
    """
    names = encoder_names()
    if name not in names:
        raise ModelError(
            f"Encoder {name!r} is not known.", expected=f"Known: {', '.join(names)}.", advice="Use one of these names."
        )
    return EncoderOptions.known[name]
