"""Encoders made of blocks, of which the last can be trained while all before them stay as they are.

What goes into the first trained block then depends on the image alone, and can be computed once (``data.feature_store``): an
epoch costs only what is trained.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from likewise.models._options import Encoder, check_blocks

__all__ = ["BlockEncoder"]


class BlockEncoder(Encoder):
    """A stem, blocks one after the other, and what makes features of the last grid."""

    @property
    @abstractmethod
    def blocks(self) -> Sequence[nn.Module]:
        """The blocks, in order."""
        raise NotImplementedError

    @property
    def last(self) -> Sequence[nn.Module]:
        """What is trained behind the blocks."""
        return ()

    @abstractmethod
    def stem(self, images: Tensor) -> Tensor:
        """(N, C, H, W) float to what goes into the first block."""
        raise NotImplementedError

    @abstractmethod
    def pool(self, grid: Tensor) -> Tensor:
        """What comes out of the last block to (N, ``out_features``) float."""
        raise NotImplementedError

    def last_blocks(self, count: int) -> list[nn.Module]:
        """The last ``count`` blocks and what is trained behind them."""
        check_blocks(count, len(self.blocks), "image")
        return [*self.blocks[len(self.blocks) - count :], *self.last]

    def lower(self, images: Tensor, count: int) -> Tensor:
        """(N, C, H, W) float to what goes into the last ``count`` blocks, (N, …) float."""
        grid = self.stem(images)
        for block in self.blocks[: len(self.blocks) - count]:
            grid = block(grid)
        return grid

    def upper(self, grid: Tensor, count: int) -> Tensor:
        """What ``lower`` gave to (N, ``out_features``) float."""
        for block in self.blocks[len(self.blocks) - count :]:
            grid = block(grid)
        return self.pool(grid)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) float to (N, ``out_features``) float."""
        return self.upper(self.lower(images, 0), 0)
