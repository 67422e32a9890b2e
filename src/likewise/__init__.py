"""Likewise teaches a model what "alike" means, and measures whether it learned.

The names below are imported when they are first used, so that ``likewise --help`` does not wait for torch.

Example:
    >>> import likewise as lw
    >>> lw.Recipe(name="mine", data={"source": "digits"}, objective="cross_entropy").objective.name
    'cross_entropy'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from likewise import evaluation, losses
    from likewise.data import ImageDataset, load_dataset
    from likewise.errors import LikewiseError
    from likewise.estimator import Embedder
    from likewise.index import Index
    from likewise.models import EmbeddingModel, load_model, save_model
    from likewise.recipe import Recipe
    from likewise.training import Run
    from likewise.verbs import compare, train

__all__ = [
    "Embedder",
    "EmbeddingModel",
    "ImageDataset",
    "Index",
    "LikewiseError",
    "Recipe",
    "Run",
    "compare",
    "evaluation",
    "load_dataset",
    "load_model",
    "losses",
    "save_model",
    "train",
]
__version__ = "0.1.0"

_HOMES = {
    "Embedder": "likewise.estimator",
    "EmbeddingModel": "likewise.models",
    "ImageDataset": "likewise.data",
    "Index": "likewise.index",
    "LikewiseError": "likewise.errors",
    "Recipe": "likewise.recipe",
    "Run": "likewise.training",
    "compare": "likewise.verbs",
    "load_dataset": "likewise.data",
    "load_model": "likewise.models",
    "save_model": "likewise.models",
    "train": "likewise.verbs",
}


def __getattr__(name: str) -> object:
    if name in ("evaluation", "losses"):
        return importlib.import_module(f"likewise.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'likewise' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
