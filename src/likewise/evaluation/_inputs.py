"""What the protocols accept, checked once at their doors.

Embeddings are (N, D) arrays or tensors of any real dtype, labels are (N,) integers. A wrong shape, a NaN or a missing
label would turn into a plausible wrong number further down, so it stops here with a message that names the argument.
The check of 60,000 × 64 values takes about 5 ms; nothing is copied and no dtype is widened.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from likewise.errors import EvaluationError

ArrayLike = NDArray[Any] | Tensor
"""What a caller may pass: a numpy array or a tensor on any device."""

_ROWS_PER_CHECK = 65_536


def as_embeddings(values: ArrayLike, name: str, *, min_rows: int = 1) -> NDArray[Any]:
    """Embeddings as a contiguous (N, D) array of their own dtype (bfloat16 as float32), every value finite.

    Raises:
        EvaluationError: not (N, D) with D >= 1, fewer than ``min_rows`` rows, not real numbers, NaN or infinity.
    """
    array = _as_array(values, name)
    if array.ndim != 2 or array.shape[1] < 1:
        raise EvaluationError(
            f"{name} has shape {array.shape}.",
            expected="Expected (N, D): one row per sample, at least one column.",
            advice="Flatten each sample to one row, for example with x.reshape(len(x), -1).",
        )
    if len(array) < min_rows:
        raise EvaluationError(
            f"{name} has {len(array)} rows.",
            expected=f"Expected at least {min_rows}.",
            advice="Check the split: it may be empty.",
        )
    if array.dtype.kind not in "fiu":
        raise EvaluationError(
            f"{name} has dtype {array.dtype}.", expected="Expected real numbers.", advice="Convert to float32 first."
        )
    for start in range(0, len(array), _ROWS_PER_CHECK):
        finite = np.isfinite(array[start : start + _ROWS_PER_CHECK])
        if not finite.all():
            row = start + int(np.argmin(finite.all(axis=1)))
            raise EvaluationError(
                f"{name} has NaN or infinity in row {row}.",
                expected="Expected finite values.",
                advice="The model diverged or the input was not normalised; look at the training loss.",
            )
    return array


def as_labels(values: ArrayLike | None, name: str, rows: int) -> NDArray[np.int64]:
    """Labels as (N,) int64 on the CPU, one per row, none negative.

    Raises:
        EvaluationError: missing, not integers, another length than ``rows``, or negative.
    """
    if values is None:
        raise EvaluationError(
            f"{name} is None.",
            expected=f"Expected {rows} integer labels.",
            advice="This protocol needs labels; for data without any use geometry() and project().",
        )
    labels = _as_array(values, name)
    if labels.ndim != 1 or len(labels) != rows:
        raise EvaluationError(
            f"{name} has shape {labels.shape}.",
            expected=f"Expected ({rows},): one label per row of the embeddings.",
            advice="Check that labels and embeddings come from the same split in the same order.",
        )
    if labels.dtype.kind not in "iu":
        raise EvaluationError(
            f"{name} has dtype {labels.dtype}.",
            expected="Expected integers 0 … K-1.",
            advice="Encode class names with numpy.unique(names, return_inverse=True).",
        )
    if rows and labels.min() < 0:
        raise EvaluationError(
            f"{name} has the value {labels.min()} at position {int(labels.argmin())}.",
            expected="Expected labels of 0 or more.",
            advice="Leave unlabelled samples out before evaluating.",
        )
    return labels.astype(np.int64, copy=False)


def check_same_dimension(first: NDArray[Any], first_name: str, second: NDArray[Any], second_name: str) -> None:
    """Raise an EvaluationError where two sets of embeddings do not have the same number of columns."""
    if first.shape[1] != second.shape[1]:
        raise EvaluationError(
            f"{first_name} has {first.shape[1]} columns and {second_name} has {second.shape[1]}.",
            expected="Expected embeddings of the same dimension.",
            advice="Embed both with the same model.",
        )


def check_choice(value: str, name: str, choices: tuple[str, ...]) -> None:
    """Raise an EvaluationError where an option is none of its choices."""
    if value not in choices:
        raise EvaluationError(
            f"{name}={value!r}.",
            expected=f"Expected one of {', '.join(map(repr, choices))}.",
            advice="Correct the name.",
        )


def check_k(k: int, name: str = "k") -> None:
    """Raise an EvaluationError where a number of neighbours is not a whole number of at least 1."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise EvaluationError(
            f"{name}={k!r}.", expected="Expected a whole number of at least 1.", advice=f"Raise {name}."
        )


def _as_array(values: ArrayLike, name: str) -> NDArray[Any]:
    if isinstance(values, Tensor):
        tensor = values.detach().cpu()
        return np.ascontiguousarray((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy())
    try:
        return np.ascontiguousarray(values)
    except (TypeError, ValueError) as error:
        raise EvaluationError(
            f"{name} cannot be read as an array of numbers ({error}).",
            expected="Expected a numpy array or a tensor.",
            advice="Convert it with numpy.asarray(x, dtype='float32').",
        ) from error
