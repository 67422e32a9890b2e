"""A loss of labelled embeddings by its name and options, as it stands in a recipe.

``{name: triplet, margin: 0.3}`` names any loss of ``likewise.losses`` that takes embeddings and labels, those with learned
vectors per class included; the options left out get the loss's defaults. ``{name: "pml:TripletMarginLoss", margin: 0.3}``
names one of pytorch-metric-learning. A choice is tried on four embeddings when the recipe is read, so that a wrong
option is named before an image is loaded; only where that library is absent the recipe of a run made with it can be
read all the same, and training says what is missing.
"""

from __future__ import annotations

import difflib
import importlib.util
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, model_validator
from torch import nn

from likewise.errors import LossInputError, RecipeError
from likewise.losses import TABLE, PMLLoss, Range, Row
from likewise.objectives._miner import MinerChoice

__all__ = ["LossChoice", "label_losses"]

#: Options that a run sets, not a recipe.
_NOT_IN_A_RECIPE = ("group", "memory", "tuples")
_PML = "pml:"
_TRIAL_DIM = 2
_TRIAL_LABELS = (0, 0, 1, 1)


def label_losses() -> dict[str, Row]:
    """Every loss that needs embeddings and labels and nothing else, by its name without ``_loss`` or ``_embedding_loss``."""
    return {_short(row.name): row for row in TABLE if row.data in ("labels", "proxies")}


def _short(name: str) -> str:
    return name.removesuffix("_loss").removesuffix("_embedding")


class LossChoice(BaseModel):
    """One loss with its options.

    Attributes:
        name: of a loss in ``likewise.losses``, with or without ``_loss`` at its end, or ``pml:`` and the name of a class
            in ``pytorch_metric_learning.losses``; its options stand beside it.

    Example:
        >>> LossChoice.model_validate({"name": "triplet", "margin": 0.3}).model_dump()
        {'name': 'triplet', 'margin': 0.3, 'mining': 'all', 'distance': 'euclidean', 'tile_size': None}
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any) -> Any:
        values = {"name": given} if isinstance(given, str) else given
        if not isinstance(values, dict) or not isinstance(values.get("name"), str):
            return values
        if values["name"].startswith(_PML):
            return values
        name = _short(values["name"])
        try:
            options = find_label_loss(name).options
        except RecipeError as error:
            raise ValueError(str(error)) from error
        defaults = {
            key: value
            for key, value in options.items()
            if key not in _NOT_IN_A_RECIPE and value is not inspect.Parameter.empty
        }
        return {"name": name} | defaults | {key: value for key, value in values.items() if key != "name"}

    @model_validator(mode="after")
    def _try(self) -> LossChoice:
        if self.name.startswith(_PML) and importlib.util.find_spec("pytorch_metric_learning") is None:
            return self
        self._try_with(None)
        return self

    def _try_with(self, miner: MinerChoice | None) -> None:
        x = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-0.6, 0.8]])
        labels = torch.tensor(_TRIAL_LABELS)
        with torch.random.fork_rng(devices=[]):
            try:
                self.build(num_classes=2, embedding_dim=_TRIAL_DIM, miner=miner)(x, labels)
            except (LossInputError, TypeError, ValueError, AttributeError, RuntimeError, AssertionError) as error:
                raise ValueError(self._wrong(error)) from error

    def check_miner(self, miner: MinerChoice) -> None:
        """Whether the loss takes what the miner gives.

        Raises:
            ValueError: it does not, or an option of the miner is wrong.
        """
        rows = label_losses()
        takes = rows[self.name].tuples if self.name in rows else ""
        if not takes or (takes == "triplets" and miner.gives == "pairs"):
            fitting = [name for name, row in rows.items() if row.tuples in ("pairs", miner.gives)]
            raise ValueError(
                f"The loss {self.name} takes no {miner.gives}, which the miner {miner.name} gives. "
                f"Expected one of the losses that do: {', '.join(sorted(fitting))}. "
                "Set objective.miner=null, or objective.loss to one of these."
            )
        self._try_with(miner)

    def check_memory(self) -> None:
        """Whether the loss takes rows of earlier batches as further columns.

        Raises:
            ValueError: it does not.
        """
        fitting = [name for name, row in label_losses().items() if "memory" in row.options]
        if self.name not in fitting:
            raise ValueError(
                f"The loss {self.name} compares with nothing that a memory could hold. "
                f"Expected one of the losses that compare with other images: {', '.join(sorted(fitting))}. "
                "Set objective.memory=null, or objective.loss to one of these."
            )

    def _wrong(self, error: Exception) -> str:
        if isinstance(error, LossInputError):
            return str(error)
        given = ", ".join(f"{key}={value!r}" for key, value in (self.model_extra or {}).items())
        return (
            f"The loss {self.name} cannot use its options ({error}). Expected values of the right type for {given}. "
            "Its documentation has the type and the range of each."
        )

    @property
    def has_parameters(self) -> bool:
        """Whether the loss learns vectors of its own."""
        return any(True for _ in self.build(num_classes=2, embedding_dim=_TRIAL_DIM).parameters())

    @property
    def search_space(self) -> Mapping[str, Range]:
        """Options that a search chooses; those of pytorch-metric-learning stay as they are."""
        return {} if self.name.startswith(_PML) else find_label_loss(self.name).search

    def build(self, *, num_classes: int, embedding_dim: int, miner: MinerChoice | None = None) -> nn.Module:
        """The loss as a module that is called with embeddings (N, D) and labels (N,).

        Args:
            num_classes: C, for losses with one learned vector per class.
            embedding_dim: D, for the same.
            miner: which tuples of a batch it sees.
        """
        options, sizes = dict(self.model_extra or {}), {"num_classes": num_classes, "embedding_dim": embedding_dim}
        if self.name.startswith(_PML):
            return PMLLoss(self.name.removeprefix(_PML), **options, **sizes)
        row = find_label_loss(self.name)
        loss = row.module(**options, **(sizes if row.data == "proxies" else {}))
        return loss if miner is None else miner.before(loss)


def find_label_loss(name: str) -> Row:
    """The row of a loss of labelled embeddings.

    Raises:
        RecipeError: there is none of that name, or it needs something else than labels.
    """
    known = label_losses()
    if name in known:
        return known[name]
    other = next((row for row in TABLE if _short(row.name) == name), None)
    near = difflib.get_close_matches(name, known, n=1)
    raise RecipeError(
        f"The loss {name!r} is not known." if other is None else f"The loss {name!r} needs {other.data}, not labels.",
        expected=f"Losses of labelled embeddings: {', '.join(sorted(known))}, and pml:… of pytorch-metric-learning.",
        advice=f"Use objective.loss={near[0]}." if near else "Use one of these names as objective.loss.",
    )
