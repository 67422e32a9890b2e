"""Each row's farthest positive and nearest negative, streamed over tiles: what hard mining needs, never N × N.

A tile first gives its smallest value per row (a minimum without an index is ten times cheaper on the CPU), and each row
remembers which tile held its best. The column inside that tile is looked up at the end, once per row.
"""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.losses._batch import LabelledBatch
from likewise.losses._tiled import Layout, Space, Tile


def nearest_negatives(batch: LabelledBatch) -> Tensor:
    """(N,) int64: the column of another class at the smallest Euclidean distance; any column where there is none."""
    return _extreme(batch, "negative", -1.0)[0]


def farthest_positives(batch: LabelledBatch) -> Tensor:
    """(N,) int64: the column of the same class, not the row itself, at the largest Euclidean distance."""
    return _extreme(batch, "positive", 1.0)[0]


def _extreme(batch: LabelledBatch, over: str, sign: float) -> tuple[Tensor, Tensor]:
    """Per row the column with the largest sign · squared distance, and that value; -inf over none."""
    layout = batch.layout
    center = batch.all_columns.detach().mean(dim=0)
    rows = batch.rows.detach() - center
    rows = rows if layout.row_order is None else rows[layout.row_order]
    cols = rows
    if batch.columns is not None:
        cols = batch.columns.detach() - center
        cols = cols if layout.col_order is None else cols[layout.col_order]
    space = Space(rows, cols, "squared", 1.0, layout.symmetric)
    best = rows.new_full((len(rows),), -torch.inf)
    block = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
    for tile in layout.tiles(over):
        tile_RC = _scores(space, tile, sign)
        _improve(best, block, tile.rows, tile_RC.amax(dim=1), tile.cols.start)
        if tile.mirrored:
            _improve(best, block, tile.cols, tile_RC.amax(dim=0), tile.rows.start)
    column = _columns(space, layout, over, sign, block)
    values = best
    if layout.col_order is not None:
        column = layout.col_order[column]
    if layout.row_order is not None:
        column = torch.empty_like(column).index_copy(0, layout.row_order, column)
        values = torch.empty_like(best).index_copy(0, layout.row_order, best)
    return column, values


def _scores(space: Space, tile: Tile, sign: float) -> Tensor:
    tile_RC = space.measure(tile, fresh=False)
    if sign < 0:
        tile_RC.neg_()
    return tile_RC if tile.barred is None else tile_RC.masked_fill_(tile.barred, -torch.inf)


def _improve(best: Tensor, block: Tensor, part: slice, found: Tensor, start: int) -> None:
    better = found > best[part]
    best[part] = torch.where(better, found, best[part])
    block[part] = torch.where(better, start, block[part])


def _columns(space: Space, layout: Layout, over: str, sign: float, block: Tensor) -> Tensor:
    """The column inside the block that each row remembers."""
    column = torch.zeros_like(block)
    for start in range(0, layout.shape[1], layout.tile):
        members = (block == start).nonzero().squeeze(1)
        cols = slice(start, min(start + layout.tile, layout.shape[1]))
        for some in torch.split(members, layout.tile):
            barred = layout.barred_for(some, cols, over)
            squared = space.x_norm[some] + space.y_norm[:, cols] - 2 * space.x[some] @ space.y[cols].T
            column[some] = start + (sign * squared).masked_fill_(barred, -torch.inf).argmax(dim=1)
    return column
