"""A function that ``torch.compile`` leaves out of its graphs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch._compile import _disable_dynamo

__all__ = ["uncompiled"]

P = ParamSpec("P")
R = TypeVar("R")


def uncompiled(function: Callable[P, R]) -> Callable[P, R]:
    """As ``torch.compiler.disable``, which imports the compiler there and then: half of what torch itself takes to import.

    A process that never compiles anything, such as a server or a search, never waits for it.
    """
    left_out: Callable[P, R] = _disable_dynamo(function)

    @functools.wraps(function)
    def call(*args: P.args, **options: P.kwargs) -> R:
        # true only while the compiler traces this line
        return (left_out if torch.compiler.is_compiling() else function)(*args, **options)

    return call
