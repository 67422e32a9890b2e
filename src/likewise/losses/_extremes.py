"""Each row's farthest positive and nearest negative, streamed over tiles: what hard mining needs, never N × N.

On the CPU the largest value of a run of entries is ten times cheaper than its place. So each row remembers the run of 64
columns that held its best, and the place inside that run is looked up at the end, once per row. On CUDA the place comes
with the value and nothing is read back.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch
from torch import Tensor

from likewise.losses._batch import LabelledBatch
from likewise.losses._lanes import Lanes, lanes_for
from likewise.losses._layout import Layout, Tile
from likewise.losses._space import Space, sorted_rows
from likewise.losses._strips import squared_distances
from likewise.losses._whole import Whole

RUN = 64


def hardest(batch: LabelledBatch) -> tuple[Tensor, Tensor]:
    """(N,) and (N,) int64: of each row the positive, not the row itself, at the largest Euclidean distance, and the
    negative at the smallest; any column where there is none."""
    if isinstance(batch.pairs, Whole):
        return _of_whole(batch, batch.pairs)
    return _extreme(batch, "positive", 1.0), _extreme(batch, "negative", -1.0)


def _of_whole(batch: LabelledBatch, pairs: Whole) -> tuple[Tensor, Tensor]:
    if 0 in pairs.shape:
        none = torch.zeros(pairs.shape[0], dtype=torch.int64, device=pairs.same.device)
        return none, none
    rows, columns = batch.centered
    squared_RC = squared_distances(rows.detach(), (rows if columns is None else columns).detach())
    far = squared_RC.masked_fill(~pairs.positive, -torch.inf).argmax(dim=1)
    return far, squared_RC.masked_fill_(pairs.same, torch.inf).argmin(dim=1)


def _extreme(batch: LabelledBatch, over: str, sign: float) -> Tensor:
    """Per row the column with the largest sign · squared distance."""
    layout = batch.layout
    rows, columns = batch.centered
    rows = sorted_rows(rows.detach(), layout.row_order)
    cols = rows
    if columns is not None:
        cols = sorted_rows(columns.detach(), layout.col_order)
    space = Space(rows, cols, "squared", sign, layout.symmetric)
    find = _run_of_best if layout.on_host else _place_of_best
    best = rows.new_full((len(rows),), -torch.inf)
    column = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)

    def visit(tiles: Iterator[Tile]) -> None:
        for tile in tiles:
            tile_RC = space.measure(tile, 0)
            tile.bar(tile_RC, -torch.inf)
            _improve(best, column, tile.rows, *find(tile_RC, 1), tile.cols.start)
            if tile.mirrored:
                _improve(best, column, tile.cols, *find(tile_RC, 0), tile.rows.start)

    with Lanes(lanes_for(*layout.shape, on_host=layout.on_host)) as lanes:
        for turn in layout.turns(over, lanes.number):
            lanes.run([functools.partial(visit, tiles) for tiles in turn])
    if layout.on_host:
        column = _look_up(space, layout, over, column)
    if layout.col_order is not None:
        column = layout.col_order[column]
    return column if layout.row_order is None else torch.empty_like(column).index_copy(0, layout.row_order, column)


def _place_of_best(tile_RC: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    values, places = tile_RC.max(dim=dim)
    return values, places


def _run_of_best(tile_RC: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The largest value, and where its run begins."""
    length = tile_RC.shape[dim]
    whole = length // RUN * RUN
    tops = []
    if whole:
        tops.append(tile_RC.narrow(dim, 0, whole).unflatten(dim, (-1, RUN)).amax(dim=dim + 1))
    if whole < length:
        tops.append(tile_RC.narrow(dim, whole, length - whole).amax(dim=dim, keepdim=True))
    values, runs = torch.cat(tops, dim=dim).max(dim=dim)
    return values, runs.mul_(RUN)


def _improve(best: Tensor, column: Tensor, part: slice, found: Tensor, places: Tensor, start: int) -> None:
    better = found > best[part]
    best[part] = torch.where(better, found, best[part])
    column[part] = torch.where(better, places + start, column[part])


def _look_up(space: Space, layout: Layout, over: str, column: Tensor) -> Tensor:
    """The column inside the run that each row remembers."""
    by_run = torch.argsort(column, stable=True)
    starts, counts = torch.unique_consecutive(column[by_run], return_counts=True)
    out = torch.empty_like(column)
    for start, rows in zip(starts.tolist(), torch.split(by_run, counts.tolist()), strict=True):
        cols = slice(start, min(start + RUN, layout.shape[1]))
        for some in torch.split(rows, layout.tile):
            barred = layout.barred_for(some, cols, over)
            out[some] = start + space.between(some, cols).masked_fill_(barred, -torch.inf).argmax(dim=1)
    return out
