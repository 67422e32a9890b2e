"""What the table of losses says about one loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Range:
    """The values of one option that a search on validation tries: evenly from ``low`` to ``high``, or in their logarithm."""

    low: float
    high: float
    log: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """One loss of the library.

    ``data`` says what it needs: ``labels`` (embeddings, labels), ``views`` (two tensors, row i belongs together),
    ``given pairs``, ``matrix`` (a similarity matrix, labels), ``embeddings`` (nothing else), ``scores`` (of two
    views over K prototypes), ``proxies`` (embeddings, labels, one learned vector per class, which the module owns).
    ``tuples`` says what of a miner's it takes: ``triplets``, ``pairs`` (and triplets as pairs), or nothing.
    ``batch_coupled``: rows of the batch meet each other, so that the loss depends on which other rows are there.
    ``search``: the options that a search chooses, and where it looks.
    """

    function: Callable[..., Tensor]
    module: type[nn.Module]
    family: str
    data: str
    equation: str
    source: str
    batch_coupled: bool = True
    search: Mapping[str, Range] = field(default_factory=dict)
    tuples: str = ""

    @property
    def name(self) -> str:
        """Name of the function."""
        return getattr(self.function, "__name__", "")

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of the module and their defaults."""
        return dict(getattr(self.module, "defaults", {}))
