"""scikit-learn's 1,797 handwritten digits of 8 × 8 pixels: inside the library, so there without any download.

The set has no test split of its own; ``load_splits`` draws one. Values 0..16 become 0..255 (× 255/16, rounded).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from likewise.data.pixels import ArrayPixels
from likewise.data.source import RawSplit, SourceOptions, missing_split, row_ids

__all__ = ["DigitsSource"]


@dataclass(frozen=True)
class DigitsSource:
    """The digits that come with scikit-learn."""

    options: SourceOptions
    name: str = "digits"
    splits: tuple[str, ...] = ("train",)

    def read(self, split: str) -> RawSplit:
        """All of it: "train"."""
        if split not in self.splits:
            raise missing_split(self, split)
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = np.round(digits.images * (255 / 16)).astype(np.uint8)[:, None]
        return RawSplit(
            ArrayPixels([images]),
            digits.target.astype(np.int64),
            tuple(str(name) for name in digits.target_names),
            row_ids(split, len(images)),
            "scikit-learn's digits, part of the installed library",
        )
