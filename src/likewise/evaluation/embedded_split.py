"""One split of a data set after the model: what every protocol of the suite reads and a run folder stores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from likewise.errors import EvaluationError
from likewise.evaluation._inputs import as_embeddings, as_labels


@dataclass(frozen=True)
class EmbeddedSplit:
    """Embeddings with their labels and ids, row by row.

    Args:
        embeddings: (N, D) float32, finite; a tensor or another real dtype is converted.
        labels: (N,) int64, 0 … K-1; -1 in every row where there are none.
        ids: N names, unique and stable, the same as in the data set.

    Raises:
        EvaluationError: lengths differ, no rows, or a value is not finite.

    Example:
        >>> split = EmbeddedSplit(np.zeros((2, 3), dtype=np.float32), np.array([0, 1]), ("test/0", "test/1"))
        >>> len(split), split.dimension
        (2, 3)
    """

    embeddings: NDArray[np.float32]
    labels: NDArray[np.int64]
    ids: tuple[str, ...]

    def __post_init__(self) -> None:
        embeddings = as_embeddings(self.embeddings, "embeddings").astype(np.float32, copy=False)
        object.__setattr__(self, "embeddings", embeddings)
        unknown = np.full(len(embeddings), -1)
        known = None if np.array_equal(self.labels, unknown) else as_labels(self.labels, "labels", len(embeddings))
        object.__setattr__(self, "labels", unknown if known is None else known)
        object.__setattr__(self, "ids", tuple(self.ids))
        if len(self.ids) != len(embeddings):
            raise EvaluationError(
                f"ids has {len(self.ids)} entries for {len(embeddings)} embeddings.",
                expected="Expected one id per row.",
                advice="Pass the ids of the same data set that was embedded, in the same order.",
            )

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def labeled(self) -> bool:
        """Whether its rows have labels."""
        return bool((self.labels >= 0).all())

    @property
    def dimension(self) -> int:
        """Number of columns of the embeddings."""
        return int(self.embeddings.shape[1])

    def __eq__(self, other: Any) -> bool:
        return (
            isinstance(other, EmbeddedSplit)
            and self.ids == other.ids
            and np.array_equal(self.labels, other.labels)
            and np.array_equal(self.embeddings, other.embeddings)
        )

    __hash__ = None  # type: ignore[assignment]
