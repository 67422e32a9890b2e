"""The miners by name, and a loss on what one of them finds in each batch.

| name | gives | which |
|---|---|---|
| ``all`` | triplets | every one |
| ``hard`` | triplets | farthest positive, nearest negative of each anchor |
| ``semihard`` | triplets | each positive with the nearest negative beyond it |
| ``easy_positive`` | triplets | nearest positive, nearest negative beyond it |
| ``distance_weighted`` | triplets | each positive with a negative drawn by its distance |
| ``multi_similarity`` | pairs | those hard relative to the other kind |

A loss of triplets takes triplets; a loss of pairs takes both (``Row.tuples`` in the table of losses says which).
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from likewise.errors import LossInputError
from likewise.losses._gather import Group
from likewise.losses._tuples import Pairs, Triplets
from likewise.losses.pair_miners import multi_similarity_pairs
from likewise.losses.triplet_miners import (
    all_triplets,
    distance_weighted_triplets,
    easy_positive_triplets,
    hard_triplets,
    semihard_triplets,
)

_SHARED = ("group", "memory", "tile_size")


@dataclass(frozen=True, slots=True)
class Miner:
    """One miner: its name in recipes, its function, and whether it gives ``triplets`` or ``pairs``."""

    name: str
    function: Callable[..., Triplets | Pairs]
    gives: str
    source: str

    def __call__(self, embeddings: Tensor, labels: Tensor, **options: Any) -> Triplets | Pairs:
        """The tuples of this batch."""
        return self.function(embeddings, labels, **options)

    @property
    def options(self) -> dict[str, Any]:
        """Options of its own with their defaults: not ``group``, ``memory`` and ``tile_size``, which all have."""
        parameters = inspect.signature(self.function).parameters.values()
        own = (p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY and p.name not in _SHARED)
        return {p.name: p.default for p in own}


MINERS: tuple[Miner, ...] = (
    Miner("all", all_triplets, "triplets", "Hermans et al. 2017"),
    Miner("hard", hard_triplets, "triplets", "Hermans et al. 2017"),
    Miner("semihard", semihard_triplets, "triplets", "Schroff et al. 2015"),
    Miner("easy_positive", easy_positive_triplets, "triplets", "Xuan et al. 2020"),
    Miner("distance_weighted", distance_weighted_triplets, "triplets", "Wu et al. 2017"),
    Miner("multi_similarity", multi_similarity_pairs, "pairs", "Wang et al. 2019"),
)


def find_miner(name: str) -> Miner:
    """The miner of this name.

    Raises:
        LossInputError: there is none.

    Example:
        >>> find_miner("multi_similarity").gives
        'pairs'
        >>> find_miner("semihard").options
        {'distance': 'euclidean'}
    """
    known = {miner.name: miner for miner in MINERS}
    if name not in known:
        close = difflib.get_close_matches(str(name), known, n=1)
        raise LossInputError(
            f"{name!r} is no miner.",
            expected=f"Expected one of {', '.join(known)}.",
            advice=f"Did you mean {close[0]!r}?" if close else "Check the spelling.",
        )
    return known[name]


class MinedLoss(nn.Module):
    """A label loss on the triplets or pairs that a miner finds in each batch.

    Args:
        loss: a label loss that takes ``tuples=``: a module of this library or a function.
        miner: name of a miner, or a callable that is called like one.
        group: ranks that hold the rest of the batch, for both; None: this process alone.
        **options: options of the miner.

    Raises:
        LossInputError: no miner of that name, or an option that it does not have.

    Example:
        >>> import torch
        >>> from likewise.losses import MinedLoss, TripletLoss, triplet_loss
        >>> x, y = torch.tensor([[0.0], [1.0], [1.5]]), torch.tensor([0, 0, 1])
        >>> float(MinedLoss(TripletLoss(margin=0.2), "hard")(x, y)) == float(triplet_loss(x, y, mining="hard"))
        True
    """

    def __init__(
        self,
        loss: Callable[..., Tensor],
        miner: str | Callable[..., Triplets | Pairs],
        *,
        group: Group = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.loss, self.group, self.options = loss, group, options
        self.miner: Callable[..., Triplets | Pairs] = find_miner(miner) if isinstance(miner, str) else miner
        if isinstance(self.miner, Miner) and (unknown := sorted(set(options) - set(self.miner.options))):
            raise LossInputError(
                f"The miner {self.miner.name!r} got unknown option {unknown[0]!r}.",
                expected=f"Expected: {', '.join(self.miner.options) or 'none'}.",
                advice="Check the spelling; group is an argument of MinedLoss itself.",
            )

    def forward(self, embeddings: Tensor, labels: Tensor, **options: Any) -> Tensor:
        """The loss of what the miner finds; ``group`` and ``memory`` go to both."""
        shared = {"group": self.group, **options} if self.group is not None else options
        found = self.miner(embeddings, labels, **shared, **self.options)
        return self.loss(embeddings, labels, tuples=found, **shared)
