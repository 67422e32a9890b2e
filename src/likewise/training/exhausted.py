"""No memory left, and matrices that cannot be decomposed: what ends a training but is no bug, as an error with advice.

A run that asks for more than there is says so in one message, and a comparison writes it down and goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from likewise.errors import TrainingError

__all__ = ["exhaustion_told"]

# Torch has no class of its own for memory that the CPU lacks, but names its source.
_CPU_ALLOCATOR = "DefaultCPUAllocator"


@contextmanager
def exhaustion_told() -> Iterator[None]:
    """Around a training, or as a decorator of what trains.

    Raises:
        TrainingError: in the place of torch's and Python's own errors for memory, and NumPy's and torch's for linear algebra.

    Example:
        >>> with exhaustion_told():
        ...     raise MemoryError("Unable to allocate 8.00 TiB")
        Traceback (most recent call last):
        ...
        likewise.errors.TrainingError: There is not enough memory (Unable to allocate 8.00 TiB). Expected ...
    """
    try:
        yield
    except (torch.linalg.LinAlgError, np.linalg.LinAlgError) as error:  # type: ignore[attr-defined]
        raise TrainingError(
            f"A matrix could not be decomposed ({_first_line(error)}).",
            expected="Expected embeddings and weights that linear algebra can work with.",
            advice="They have mostly grown without bound or collapsed: lower training.learning_rate.",
        ) from error
    except (MemoryError, RuntimeError) as error:
        if not _is_for_memory(error):
            raise
        raise TrainingError(
            f"There is not enough memory ({_first_line(error)}).",
            expected="Expected a batch, its gradients and the images to fit beside all else that runs.",
            advice="Lower training.batch_size, cut batches into chunks with training.gradcache, or use fewer --jobs.",
        ) from error


def _is_for_memory(error: Exception) -> bool:
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or _CPU_ALLOCATOR in str(error)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200].rstrip(".") if lines else type(error).__name__
