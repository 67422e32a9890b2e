"""Any loss of pytorch-metric-learning by its name, through the optional extra ``pml``.

Its arguments are given as that library names them. Where one is an object of the library (a distance, a reducer, a
regularizer), its name stands for it, or its name with its own arguments: ``distance={"name": "LpDistance", "p": 1}``.
The numbers are that library's: on several ranks its losses know the rows of their own rank only, so they are refused there.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from likewise.errors import LossInputError
from likewise.losses._checks import check_embeddings, check_labels

__all__ = ["PMLLoss"]

_LIBRARY = "pytorch_metric_learning"
#: Arguments that are objects, and the module that has them.
_ROOMS = {
    "distance": "distances",
    "reducer": "reducers",
    "embedding_regularizer": "regularizers",
    "weight_regularizer": "regularizers",
}
_ONE = {"losses": "loss", "distances": "distance", "reducers": "reducer", "regularizers": "regularizer"}
#: What the losses with learned vectors call the two sizes.
_NUM_CLASSES = ("num_classes",)
_EMBEDDING_DIM = ("embedding_size", "descriptors_dim")
#: Losses of two views or of no labels, and the bases of others.
_NOT_OF_LABELS = ("BaseMetricLossFunction", "GenericPairLoss", "ManifoldLoss", "VICRegLoss")


class PMLLoss(nn.Module):
    """A loss of pytorch-metric-learning as a module of embeddings (N, D) and labels (N,).

    Args:
        name: of a class in ``pytorch_metric_learning.losses``.
        num_classes: C, passed on where the loss has learned vectors.
        embedding_dim: D, for the same.
        **options: the arguments of that class.

    Raises:
        LossInputError: the library is not installed, has no such loss, or the loss not such an argument; several ranks.

    Example:
        >>> loss = PMLLoss("TripletMarginLoss", margin=0.2, distance="CosineSimilarity")    # doctest: +SKIP
        >>> loss(torch.eye(3), torch.tensor([0, 0, 1]))                                     # doctest: +SKIP
        tensor(0.2000)
    """

    def __init__(
        self, name: str, *, num_classes: int | None = None, embedding_dim: int | None = None, **options: Any
    ) -> None:
        super().__init__()
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            ranks = torch.distributed.get_world_size()
            if ranks > 1:
                raise LossInputError(
                    f"pml:{name} was asked for on {ranks} ranks.",
                    expected="Losses of pytorch-metric-learning see the rows of one rank only.",
                    advice="Use one process, or the loss of likewise.losses, which is exact on any number of ranks.",
                )
        self.name = name
        kind = _find("losses", name)
        taken = _parameters(kind)
        given = {key: _resolve(key, value) for key, value in options.items()}
        for sizes, value in ((_NUM_CLASSES, num_classes), (_EMBEDDING_DIM, embedding_dim)):
            given |= {key: value for key in sizes if key in taken and key not in given and value is not None}
        unknown = [key for key in given if key not in taken]
        if unknown:
            raise LossInputError(
                f"pml:{name} got unknown argument {unknown[0]!r}.",
                expected=f"Expected: {', '.join(taken)}.",
                advice="Check the spelling in the documentation of pytorch-metric-learning.",
            )
        try:
            self.loss: nn.Module = kind(**given)
        except (TypeError, ValueError, AssertionError) as error:
            raise LossInputError(
                f"pml:{name} cannot be made ({error}).",
                expected=f"Its arguments are {', '.join(taken)}.",
                advice="Check their values in the documentation of pytorch-metric-learning.",
            ) from error

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss of a labelled batch."""
        x = check_embeddings("embeddings", embeddings)
        with torch.autocast(x.device.type, enabled=False):
            value: Tensor = self.loss(x, check_labels(labels, len(x)))
        return value


def _room(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"{_LIBRARY}.{name}")
    except ImportError as error:
        raise LossInputError(
            f"pytorch-metric-learning cannot be imported ({error}).",
            expected="A loss called pml:… is one of that library's.",
            advice="Install it with `pip install likewise[pml]`.",
        ) from error


def _find(room: str, name: str) -> Any:
    found = {
        key: value
        for key, value in vars(_room(room)).items()
        if inspect.isclass(value) and issubclass(value, nn.Module) and key not in _NOT_OF_LABELS
    }
    if room == "losses":
        base = vars(_room(room))["BaseMetricLossFunction"]
        found = {key: value for key, value in found.items() if issubclass(value, base)}
    if name in found:
        return found[name]
    near = difflib.get_close_matches(name, found, n=1)
    raise LossInputError(
        f"pytorch-metric-learning has no {_ONE[room]} {name!r} for labelled embeddings.",
        expected=f"It has {', '.join(sorted(found))}.",
        advice=f"Did you mean {near[0]}?" if near else "Check the spelling.",
    )


def _parameters(kind: Any) -> list[str]:
    """Keyword arguments that a class takes, those that it hands on to its bases included."""
    names: dict[str, None] = {}
    for base in kind.__mro__:
        if base.__module__.startswith(_LIBRARY) and "__init__" in vars(base):
            parameters = list(inspect.signature(base.__init__).parameters.values())[1:]
            names |= dict.fromkeys(p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))
    return list(names)


def _resolve(key: str, value: Any) -> Any:
    """The object that a name, or a mapping with a name, stands for."""
    room = _ROOMS.get(key)
    if room is None or not isinstance(value, str | Mapping):
        return value
    options = {"name": value} if isinstance(value, str) else dict(value)
    name = str(options.pop("name", None))
    try:
        return _find(room, name)(**options)
    except TypeError as error:
        raise LossInputError(
            f"{key} {name} cannot be made ({error}).",
            expected=f"Expected its arguments in {key}: {{name: {name}, …}}.",
            advice="Check the spelling in the documentation of pytorch-metric-learning.",
        ) from error
