"""One clean break for ``torch.compile`` and for autocast around a loss that walks over tiles.

Traced, the loop over tiles would be unrolled into a graph of thousands of nodes for each batch size. A loss is a few
large matrix products and has nothing to gain from that; the model around it does, and is compiled up to the loss. Under
autocast a loss computes in the precision it is given, float32 at least: a similarity in bfloat16 has two digits.
"""

from __future__ import annotations

import contextlib
import functools
import types
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import torch
from torch import Tensor

from likewise.losses._uncompiled import uncompiled

P = ParamSpec("P")
R = TypeVar("R")


def full_precision(x: Tensor | None) -> contextlib.AbstractContextManager[object]:
    """Autocast off on the device of this tensor, where it is on."""
    device = "cpu" if x is None else x.device.type
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return contextlib.nullcontext()
    return torch.autocast(device, enabled=False)


def opaque(function: Callable[P, R]) -> Callable[P, R]:
    """The same function, run as it is under ``torch.compile`` and in full precision under autocast."""

    def guarded(*args: Any, **options: Any) -> Any:
        with full_precision(next((a for a in (*args, *options.values()) if isinstance(a, Tensor)), None)):
            return function(*args, **options)

    inner = uncompiled(guarded)

    def call(*args: Any, **options: Any) -> Any:
        return inner(*args, **options)

    # with the globals of the loss's own module, so that doctest takes it for a function of that module
    own = cast(types.FunctionType, function).__globals__
    copy = types.FunctionType(call.__code__, own, call.__name__, None, call.__closure__)
    return cast(Callable[P, R], functools.update_wrapper(copy, function))
