"""What an objective is: which images stand together in a batch, and the loss of that batch.

An objective is one file in this room with two classes: its options (a checked record with a ``name``) and the
``Objective`` that they build. Recipes, command line and contract tests find it by that name.

Batches are drawn for a whole epoch at once by index arithmetic on the labels, from a generator seeded with the run's
seed and the epoch; so the position inside an epoch is one number, and a resumed run draws the same batches.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.distributed as dist
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from likewise.data import ImageDataset
from likewise.data.draws import Draws
from likewise.data.samplers import shuffled_batches
from likewise.errors import RecipeError, TrainingError
from likewise.losses import Range, sum_over_ranks
from likewise.models import EmbeddingModel
from likewise.models.device import to_device

__all__ = ["Batch", "Objective", "ObjectiveOptions", "find_objective", "objective_names"]


class Batch(NamedTuple):
    """One training batch, as positions in a data set.

    ``indices`` (M,) are the images to load; ``labels`` (M,) their labels; ``different`` (M/2,) is set where the images
    are pairs, first all the first images, then all the second ones: 1 for a pair of different classes, 0 for the same.
    Where the data has no labels all labels are -1. ``draws`` gives everything random in this step (views, masks,
    permutations): the loop seeds it from the run's seed and the step, so that a resumed run draws the same. Where
    images come with captions, ``captions`` (M,) says which one of each image, as a position among all captions of the data
    set, and ``positives`` (M,) has equal ids for pairs that belong together.

    A batch that several ranks share is cut by ``part``: ``rows`` (M,) are then the places of these images in the whole batch,
    and ``total`` is how many images that has.
    """

    indices: Tensor
    labels: Tensor
    different: Tensor | None = None
    draws: Draws | None = None
    captions: Tensor | None = None
    positives: Tensor | None = None
    rows: Tensor | None = None
    total: int | None = None

    def part(self, rank: int, ranks: int) -> Batch:
        """What rank ``rank`` of ``ranks`` computes of this batch: neighbouring images, or pairs, of nearly equal number.

        Raises:
            TrainingError: there are fewer images, or pairs, than ranks.
        """
        if ranks == 1:
            return self
        images, sides = len(self.indices), 1 if self.different is None else 2
        count = images // sides
        if count < ranks:
            raise TrainingError(
                f"A batch of {count} {'images' if sides == 1 else 'pairs'} cannot be shared by {ranks} ranks.",
                expected="Expected at least one for each.",
                advice="Raise batch_size, take more training images, or start fewer ranks.",
            )
        own = torch.arange(rank * count // ranks, (rank + 1) * count // ranks)
        rows = torch.cat([own + side * count for side in range(sides)])
        cut: dict[str, Any] = {
            name: value[own if name == "different" else rows]
            for name, value in self._asdict().items()
            if isinstance(value, Tensor)
        }
        return self._replace(**cut, rows=rows, total=images)

    def to(self, device: torch.device) -> Batch:
        """Labels, pair labels and positives on ``device``; indices, captions and draws stay where they are."""
        given = {name: getattr(self, name) for name in ("labels", "different", "positives")}
        moved: dict[str, Any] = {name: to_device(x, device) for name, x in given.items() if x is not None}
        return self._replace(**moved)

    @property
    def generator(self) -> Draws:
        """``draws``, or those of torch's global generator where none were given."""
        return Draws(torch.default_generator) if self.draws is None else self.draws


class Objective(nn.Module):
    """Loss of a batch under a model, and how its batches are drawn.

    Args:
        model: the embedding model that is trained.

    Attributes:
        across_ranks: how its loss becomes that of the whole batch on several ranks. ``group``: it depends on which images are
            together in a batch, and passes ``self.group`` on to the functions of ``likewise.losses``. ``mean``: it is a mean
            over its images, and the loop averages the ranks' means; what has no gradient may still come from
            ``self.group``. None: it trains on one rank only.
    """

    across_ranks: ClassVar[Literal["group", "mean"] | None] = None

    def __init__(self, model: EmbeddingModel) -> None:
        super().__init__()
        self.model = model
        self._group: dist.ProcessGroup | None = None

    @property
    def normalizes_apart(self) -> bool:
        """Whether its batch normalisation sees parts of a batch on purpose, and must not be that of all ranks together."""
        return False

    @property
    def group(self) -> dist.ProcessGroup | None:
        """The ranks that share a training batch, for losses that take ``group=``; None in evaluation, or for one process."""
        return self._group if self.training else None

    def spread(self, group: dist.ProcessGroup) -> None:
        """Share every training batch with the ranks of ``group`` from now on.

        Raises:
            TrainingError: this objective trains on one rank only.
        """
        if self.across_ranks is None:
            raise TrainingError(
                f"The objective {type(self).__name__} was to train on {dist.get_world_size(group)} ranks.",
                expected="Its loss is not made for parts of a batch yet.",
                advice="Start one process, without torchrun.",
            )
        self._group = group

    def of_whole_batch(self, loss: Tensor, batch: Batch) -> Tensor:
        """What ``forward`` gave for this rank's part of the batch, made the loss of the whole batch.

        Its gradient, averaged over the ranks, is that of one process on the whole batch.
        """
        if self.group is None or batch.total is None or self.across_ranks == "group":
            return loss
        return sum_over_ranks(loss * (len(batch.indices) / batch.total), self.group)

    def attend(self, data: ImageDataset) -> None:
        """Called with the data set that the next batches are drawn from, before ``epoch``: the place to take its captions."""

    def epoch(self, labels: Tensor, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
        """Batches of one epoch over a data set with these labels (N,): by default a shuffle.

        The incomplete last batch is left out where there is a full one before it: each epoch leaves out other images.
        """
        for indices in shuffled_batches(len(labels), batch_size, generator, drop_last=len(labels) >= batch_size):
            yield Batch(indices, labels[indices])

    @abstractmethod
    def forward(self, images: Tensor, batch: Batch) -> Tensor:
        """Scalar loss of ``images`` (M, C, H, W), which are those that ``batch`` names."""
        raise NotImplementedError

    def explain(self, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Scalars that say what the loss of a batch is made of, by name.

        After each epoch their means over the validation batches stand in the epoch's line as ``val_<name>``. Called without
        gradient, with the arguments and in place of ``forward``: the value under ``loss`` is the loss itself.
        """
        return {"loss": self(images, batch)}

    def examples(self, images: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        """Pictures of the task that is made from images: what is asked, what is right, what is answered.

        Args:
            images: (E, C, H, W) uint8.
            draws: CPU generator of everything random in the task.

        Returns:
            ``input``, ``target`` and ``prediction``, (E, C, h, w) uint8 each; nothing for an objective without such a task.
        """
        return {}

    def rate_factors(self) -> dict[str, float]:
        """Learning rates as multiples of the run's, by the beginning of the parameters' names in this module."""
        return {}

    def before_step(self) -> None:
        """Called when the gradients are there, before they are clipped and the optimiser takes its step.

        The place to drop a gradient: a parameter that is left out of the loss instead would keep other ranks waiting.
        """

    def after_step(self, done: float) -> None:
        """Called after each step of the optimiser; ``done`` is the share of the run behind it, in (0, 1].

        The place for what follows the weights without a gradient, such as a momentum encoder.
        """


class ObjectiveOptions(BaseModel):
    """Options of one objective."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    known: ClassVar[dict[str, type[ObjectiveOptions]]] = {}
    name: str

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        name = cls.model_fields["name"].default
        if isinstance(name, str):  # a class without a name is one that others build on
            ObjectiveOptions.known[name] = cls

    @property
    def scores(self) -> Literal["linear", "embedding"] | None:
        """Which class scores the model must have for this objective."""
        return None

    @property
    def needs_labels(self) -> bool:
        """Whether it learns from labels; one that does not also takes data without any."""
        return True

    @property
    def needs_captions(self) -> bool:
        """Whether it learns from captions, and the model must have a text tower."""
        return False

    @property
    def sees_images(self) -> bool:
        """Whether it looks at the images other than through the model, to draw views or to predict their pixels."""
        return False

    @property
    def any_size(self) -> bool:
        """Whether it takes images of other sizes than the model was built for, as far as the encoder does."""
        return True

    @property
    def task(self) -> str:
        """What the columns of ``Objective.examples`` are, in one sentence; empty where there are none."""
        return ""

    @property
    def draws_pairs(self) -> bool:
        """Whether a batch holds twice ``batch_size`` images, as pairs."""
        return False

    @property
    def label(self) -> str:
        """Short name in tables, legends and sentences."""
        return self.name.replace("_", "-")

    @property
    def search_space(self) -> Mapping[str, Range]:
        """Options that ``likewise compare --trials`` chooses on validation, ``key`` or ``loss.key``, and where it looks."""
        return {}

    @abstractmethod
    def build(self, model: EmbeddingModel) -> Objective:
        """The objective with these options, training ``model``."""
        raise NotImplementedError


def objective_names() -> tuple[str, ...]:
    """Names of all objectives in this room, sorted."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"likewise.objectives.{module.name}")
    return tuple(sorted(ObjectiveOptions.known))


def find_objective(name: str) -> type[ObjectiveOptions]:
    """Options class of the objective called ``name``.

    Raises:
        RecipeError: no objective has that name.
    """
    names = objective_names()
    if name not in names:
        raise RecipeError(
            f"Objective {name!r} is not known.",
            expected=f"Known: {', '.join(names)}.",
            advice="Use one of these names as objective.name.",
        )
    return ObjectiveOptions.known[name]
