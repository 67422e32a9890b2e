"""Random numbers for the images at hand, drawn for the whole batch and cut.

Where a batch is shared by several processes, each holds some rows of it. If each drew for its own rows alone, the same
batch would get other crops and other noise on two processes than on one. So every process draws the numbers of the whole
batch, which cost next to nothing beside the images, and keeps those of its rows: a run is the same on any number of
processes, and their generators stay in step.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Draws"]


class Draws:
    """A generator that knows which rows of the batch are here.

    Several draws for each image (one for each of its views) are asked for at once as the images, then the images again.

    Args:
        generator: CPU generator that all draws come from; for a number that is one for the whole batch, use it as it is.
        rows: (B,) int64, the places of the images here in the whole batch; None: they are the whole batch.
        total: images of the whole batch, with ``rows``.

    Example:
        >>> whole = Draws(torch.Generator().manual_seed(0)).rand(4, 2)
        >>> part = Draws(torch.Generator().manual_seed(0), torch.tensor([1, 3]), total=4).rand(2, 2)
        >>> torch.equal(part, whole[[1, 3]])
        True
        >>> twice = Draws(torch.Generator().manual_seed(0), torch.tensor([1]), total=2).rand(2, 2)
        >>> torch.equal(twice, whole[[1, 3]])
        True
    """

    def __init__(self, generator: torch.Generator, rows: Tensor | None = None, *, total: int | None = None) -> None:
        self.generator = generator
        self._rows, self._total = rows, total

    @classmethod
    def of(cls, source: torch.Generator | Draws) -> Draws:
        """``source`` itself, or the draws of a generator for a whole batch."""
        return source if isinstance(source, Draws) else cls(source)

    def rand(self, *size: int, dim: int = 0, dtype: torch.dtype | None = None) -> Tensor:
        """Uniform in [0, 1), of ``size``, whose axis ``dim`` are the images here."""
        return self._cut(torch.rand(self._whole(size, dim), generator=self.generator, dtype=dtype), dim)

    def randn(self, *size: int, dim: int = 0) -> Tensor:
        """Standard normal, of ``size``, whose axis ``dim`` are the images here."""
        return self._cut(torch.randn(self._whole(size, dim), generator=self.generator), dim)

    def randint(self, low: int, high: int, *size: int, dim: int = 0) -> Tensor:
        """Whole numbers from ``low`` to ``high`` - 1, of ``size``, whose axis ``dim`` are the images here."""
        return self._cut(torch.randint(low, high, self._whole(size, dim), generator=self.generator), dim)

    def _whole(self, size: tuple[int, ...], dim: int) -> tuple[int, ...]:
        if self._rows is None or self._total is None:
            return size
        if size[dim] % len(self._rows):
            raise ValueError(f"{size[dim]} draws were asked for {len(self._rows)} images: expected as many for each")
        times = size[dim] // len(self._rows)
        return tuple(self._total * times if axis == dim else count for axis, count in enumerate(size))

    def _cut(self, drawn: Tensor, dim: int) -> Tensor:
        if self._rows is None or self._total is None:
            return drawn
        starts = torch.arange(0, drawn.shape[dim], self._total)
        return drawn.index_select(dim, (starts[:, None] + self._rows).flatten())
