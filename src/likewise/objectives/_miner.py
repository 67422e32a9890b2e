"""A miner by its name and options, as it stands in a recipe: which pairs or triplets of a batch the loss sees."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from torch import nn

from likewise.errors import LossInputError
from likewise.losses import MinedLoss, find_miner

__all__ = ["MinerChoice"]

#: What a run sets, not a recipe.
_DRAWS = "generator"


class MinerChoice(BaseModel):
    """One miner with its options.

    Attributes:
        name: of a miner in ``likewise.losses``; its options stand beside it.

    Example:
        >>> MinerChoice.model_validate("semihard").model_dump()
        {'name': 'semihard', 'distance': 'euclidean'}
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any) -> Any:
        values = {"name": given} if isinstance(given, str) else given
        if not isinstance(values, dict) or not isinstance(values.get("name"), str):
            return values
        try:
            options = find_miner(values["name"]).options
        except LossInputError as error:
            raise ValueError(str(error)) from error
        return {key: value for key, value in options.items() if key != _DRAWS} | values

    @property
    def gives(self) -> str:
        """``triplets`` or ``pairs``."""
        return find_miner(self.name).gives

    @property
    def draws(self) -> bool:
        """Whether it draws at random."""
        return _DRAWS in find_miner(self.name).options

    def before(self, loss: nn.Module) -> MinedLoss:
        """The loss on what this miner finds."""
        return MinedLoss(loss, self.name, **(self.model_extra or {}))
