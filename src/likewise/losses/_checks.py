"""What every loss asks of its arguments, answered with ``LossInputError`` in three parts.

Shapes and dtypes are always checked: they cost nothing. Values are looked at on the CPU only, one pass over N × D
numbers: on CUDA, looking at a value makes the host wait for the
device each step, and under ``torch.compile`` it would break the graph. There a non-finite input gives a non-finite
loss, which the training loop stops on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from likewise.errors import LossInputError

_WITHOUT_FLOAT64 = ("mps",)  # Metal
_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def may_look(x: Tensor) -> bool:
    """Whether reading a value of ``x`` is free: on the CPU and outside of ``torch.compile``."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def upcast(x: Tensor) -> Tensor:
    """Half precision as float32: a sum over a batch needs more digits than an embedding does."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def sum_dtype(device: torch.device) -> torch.dtype:
    """What sums over a whole matrix are kept in: float64, or float32 on a device that has no wider one."""
    return torch.float32 if device.type in _WITHOUT_FLOAT64 else torch.float64


def check_embeddings(name: str, x: Tensor, *, min_rows: int = 1, values: bool = True) -> Tensor:
    """A finite (N, D) float tensor, in float32 at least. ``values=False``: ``unit`` looks at them, which reads them anyway."""
    if not isinstance(x, Tensor):
        raise LossInputError(
            f"{name} is a {type(x).__name__}.",
            expected="Expected a float tensor of shape (N, D).",
            advice="Convert it with torch.as_tensor.",
        )
    if x.dim() != 2 or x.shape[1] < 1:
        raise LossInputError(
            f"{name} has shape {tuple(x.shape)}.",
            expected="Expected (N, D): one row per sample.",
            advice="Flatten or unsqueeze it first.",
        )
    if not x.is_floating_point():
        raise LossInputError(
            f"{name} has dtype {x.dtype}.",
            expected="Expected a floating-point dtype.",
            advice="Convert it with .float().",
        )
    if x.shape[0] < min_rows:
        raise LossInputError(
            f"{name} has {x.shape[0]} row(s).",
            expected=f"Expected at least {min_rows}.",
            advice="Use a larger batch, or drop the last incomplete one.",
        )
    # one pass where all is well: a sum is finite only where all its terms are
    if values and may_look(x) and not math.isfinite(x.detach().sum()):
        check_finite(name, x)
    return upcast(x)


def check_finite(name: str, x: Tensor) -> None:
    """Name the first row that holds a value that is not finite."""
    broken = ~torch.isfinite(x.detach()).all(dim=1)
    if bool(broken.any()):
        raise LossInputError(
            f"{name} has a value that is not finite, first in row {int(broken.nonzero()[0])}.",
            expected="Expected finite numbers only.",
            advice="Lower the learning rate, clip gradients, or check that input for NaN.",
        )


def check_labels(labels: Tensor, rows: int, *, name: str = "labels") -> Tensor:
    """A 1-D integer tensor with one entry per row, as int64."""
    if not isinstance(labels, Tensor):
        raise LossInputError(
            f"{name} is {'missing' if labels is None else 'a ' + type(labels).__name__}.",
            expected=f"Expected an integer tensor of shape ({rows},).",
            advice="This loss needs one label per row; for data without labels use a loss on two views.",
        )
    if labels.dtype not in _INTEGERS:
        raise LossInputError(
            f"{name} has dtype {labels.dtype}.",
            expected="Expected integers, one class number per row.",
            advice="Convert class numbers with .long().",
        )
    if labels.dim() != 1 or labels.shape[0] != rows:
        raise LossInputError(
            f"{name} has shape {tuple(labels.shape)} for {rows} row(s) of embeddings.",
            expected=f"Expected ({rows},).",
            advice="Pass one label per row; repeat the labels where a batch holds two views of each sample.",
        )
    return labels.long()


def check_same_shape(name_a: str, a: Tensor, name_b: str, b: Tensor) -> None:
    """Two tensors of one shape and one device."""
    if a.shape != b.shape:
        raise LossInputError(
            f"{name_a} has shape {tuple(a.shape)} and {name_b} has {tuple(b.shape)}.",
            expected="Expected the same shape: row i of both belongs together.",
            advice="Pass both from the same batch and the same head.",
        )


def check_positive(name: str, value: float | Tensor) -> None:
    """A number above 0. A tensor (a learned temperature) must hold one element; its value is read on the CPU only."""
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise LossInputError(
                f"{name} has {value.numel()} elements.",
                expected="Expected one number.",
                advice="Pass a float or a tensor with one element.",
            )
        if not may_look(value):
            return
        value = float(value.detach())
    if not (value > 0 and math.isfinite(value)):
        raise LossInputError(
            f"{name} is {value}.",
            expected="Expected a finite number above 0.",
            advice=f"Typical values stand in the documentation of the loss; check the unit of {name}.",
        )


def check_not_negative(name: str, value: float) -> None:
    """A finite number, 0 or above."""
    if not (value >= 0 and math.isfinite(value)):
        raise LossInputError(
            f"{name} is {value}.", expected="Expected a finite number, 0 or above.", advice="Check its sign."
        )


def check_choice(name: str, value: str, allowed: Iterable[str]) -> None:
    """One of a few words."""
    allowed = tuple(allowed)
    if value not in allowed:
        raise LossInputError(
            f"{name} is {value!r}.",
            expected=f"Expected one of {', '.join(repr(a) for a in allowed)}.",
            advice="Check the spelling.",
        )
