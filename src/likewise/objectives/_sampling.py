"""How the batches of an epoch are drawn, as it stands in a recipe: ``{name: classes, images_per_class: 4}``.

``training.batch_size`` stays the number of images in a batch, whatever the sampler: with it and the images per class the
number of classes follows.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor

from likewise.data.samplers import (
    ClassBalancedSampler,
    DistinctSampler,
    HierarchicalSampler,
    PKSampler,
    shuffled_batches,
)
from likewise.errors import RecipeError

__all__ = ["SamplerOptions", "find_sampler"]


class SamplerOptions(BaseModel):
    """Options of one sampler."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    known: ClassVar[dict[str, type[SamplerOptions]]] = {}
    name: str

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        SamplerOptions.known[cls.model_fields["name"].default] = cls

    @abstractmethod
    def epoch(
        self, labels: Tensor, batch_size: int, generator: torch.Generator, class_names: Sequence[str]
    ) -> Iterable[Tensor]:
        """Batches of one epoch as positions in ``labels`` (N,), each about ``batch_size`` long."""
        raise NotImplementedError


class Shuffle(SamplerOptions):
    """A shuffle: every image once an epoch, whatever its class."""

    name: Literal["shuffle"] = "shuffle"

    def epoch(
        self, labels: Tensor, batch_size: int, generator: torch.Generator, class_names: Sequence[str]
    ) -> Iterable[Tensor]:
        """Shuffled batches; the incomplete last one is left out."""
        return shuffled_batches(len(labels), batch_size, generator, drop_last=len(labels) >= batch_size)


class Classes(SamplerOptions):
    """P classes with K images each (P × K).

    Attributes:
        images_per_class: K; the classes in a batch are ``training.batch_size`` / K.
    """

    name: Literal["classes"] = "classes"
    images_per_class: int = Field(default=4, ge=1)

    def epoch(
        self, labels: Tensor, batch_size: int, generator: torch.Generator, class_names: Sequence[str]
    ) -> Iterable[Tensor]:
        """P × K batches."""
        classes = _share(batch_size, self.images_per_class, f"{self.images_per_class} images per class")
        known = len(labels.unique())
        if classes > known:
            raise RecipeError(
                f"Batches of {batch_size} images with {self.images_per_class} per class are {classes} classes.",
                expected=f"Expected at most {known}: the training images have {known} classes.",
                advice=f"Raise objective.sampler.images_per_class to {-(-batch_size // known)} or more, "
                "or lower training.batch_size.",
            )
        return PKSampler(labels, classes, self.images_per_class).epoch(generator)


class Balanced(SamplerOptions):
    """All classes equally often, however uneven the data is; chance decides which meet in a batch."""

    name: Literal["balanced"] = "balanced"

    def epoch(
        self, labels: Tensor, batch_size: int, generator: torch.Generator, class_names: Sequence[str]
    ) -> Iterable[Tensor]:
        """Class-balanced batches."""
        return ClassBalancedSampler(labels, batch_size).epoch(generator)


class Hierarchical(SamplerOptions):
    """Some super-classes, of each some classes, of each class K images: related classes meet in a batch.

    Attributes:
        super_classes: names of the classes in each super-class, every class of the data in exactly one.
        super_classes_per_batch: G.
        images_per_class: K; the classes of a super-class in a batch are ``training.batch_size`` / (G·K).
    """

    name: Literal["hierarchical"] = "hierarchical"
    super_classes: dict[str, tuple[str, ...]] = Field(min_length=1)
    super_classes_per_batch: int = Field(default=2, ge=1)
    images_per_class: int = Field(default=4, ge=1)

    @field_validator("super_classes")
    @classmethod
    def _each_once(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        names = [name for classes in value.values() for name in classes]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} stands in two super-classes. Expected each class in exactly one.")
        return value

    def epoch(
        self, labels: Tensor, batch_size: int, generator: torch.Generator, class_names: Sequence[str]
    ) -> Iterable[Tensor]:
        """Batches of G super-classes."""
        place = {name: at for at, classes in enumerate(self.super_classes.values()) for name in classes}
        missing = [name for name in class_names if name not in place]
        if missing:
            raise RecipeError(
                f"{len(missing)} of {len(class_names)} classes have no super-class: {', '.join(missing[:5])}"
                f"{' …' if len(missing) > 5 else ''}.",
                expected="Expected every class of the data in exactly one super-class.",
                advice="Add them to objective.sampler.super_classes.",
            )
        above = torch.tensor([place[name] for name in class_names])[labels.cpu()]
        G, K = self.super_classes_per_batch, self.images_per_class
        P = _share(batch_size, G * K, f"{G} super-classes and {K} images per class")
        return HierarchicalSampler(labels.cpu(), above, G, P, K).epoch(generator)


class Distinct(SamplerOptions):
    """Every image of a batch of another class, for losses that compare with class vectors and not within the batch."""

    name: Literal["distinct"] = "distinct"

    def epoch(
        self, labels: Tensor, batch_size: int, generator: torch.Generator, class_names: Sequence[str]
    ) -> Iterable[Tensor]:
        """Batches without two images of a class."""
        return DistinctSampler(labels, batch_size).epoch(generator)


def _share(batch_size: int, divisor: int, what: str) -> int:
    if batch_size % divisor:
        raise RecipeError(
            f"training.batch_size is {batch_size} with {what}.",
            expected=f"Expected a multiple of {divisor}.",
            advice=f"Use training.batch_size={max(1, round(batch_size / divisor)) * divisor}.",
        )
    return batch_size // divisor


def find_sampler(name: str) -> type[SamplerOptions]:
    """Options class of the sampler called ``name``.

    Raises:
        RecipeError: no sampler has that name.
    """
    if name not in SamplerOptions.known:
        raise RecipeError(
            f"Sampler {name!r} is not known.",
            expected=f"Known: {', '.join(sorted(SamplerOptions.known))}.",
            advice="Use one of these names as objective.sampler.",
        )
    return SamplerOptions.known[name]
