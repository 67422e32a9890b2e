"""Rows against columns: who is whose positive, and the order in which tiles of the matrix are walked.

Rows and columns are sorted by label first. Positives then lie in blocks along the diagonal: away from it a tile holds
negatives only, and a walk over the positives visits the blocks alone. On CUDA nothing is read back, so each tile is
visited and masked there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from likewise.losses._lanes import meetings, stripes
from likewise.losses._strips import row_strips, strip_entries

# fewer classes than this in a tile are barred as boxes, more as single entries
MOST_BOXES = 12
# classes that stand in one block of at most this side share it, masked
SMALL_BLOCK = 128


def default_tile(device: torch.device) -> int:
    """Side of a tile: 512 on the CPU (1 MiB, fits the cache); measure again with benchmarks/losses.py --tiles."""
    return 512 if device.type == "cpu" else 2048


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile: its rows, its columns, whether it also stands for its mirror image, and what does not count in it.

    On the CPU what does not count is known as boxes (classes) or numbers of entries: a comparison of all labels and a
    masked fill would cost as much as the matrix product. On CUDA it is a mask.
    """

    rows: slice
    cols: slice
    mirrored: bool
    boxes: tuple[tuple[slice, slice], ...] = ()
    entries: Tensor | None = None  # int64, places in the flattened tile
    mask: Tensor | None = None  # (R, C) bool
    diagonal: bool = False
    selves: Tensor | None = None  # (R, C) bool, for ``both`` kinds only: a row and itself
    lane: int = 0  # who works on it

    def bar(self, x_RC: Tensor, value: float) -> None:
        """Put a value wherever a pair does not count."""
        for box in self.boxes:
            x_RC[box].fill_(value)
        if self.entries is not None:
            x_RC.view(-1).index_fill_(0, self.entries, value)
        if self.mask is not None:
            x_RC.masked_fill_(self.mask, value)
        if self.diagonal:
            x_RC.diagonal().fill_(value)


class Layout:
    """Rows against columns: their labels, who is who, and the order in which tiles are walked.

    Args:
        row_labels, col_labels: (N,), (M,) int64; equal label = positive pair.
        row_ids, col_ids: int64 names of samples; an equal id is the sample itself. None: no column is a row.
        symmetric: rows and columns are the same tensor.
        tile_size: side of a tile; None: chosen by size.
        ascending: the labels are known to be sorted.
    """

    def __init__(
        self,
        row_labels: Tensor,
        col_labels: Tensor | None = None,
        *,
        row_ids: Tensor | None = None,
        col_ids: Tensor | None = None,
        tile_size: int | None = None,
        ascending: bool = False,
    ) -> None:
        self.symmetric = col_labels is None
        self.tile_size, self.tile = tile_size, tile_size or default_tile(row_labels.device)
        self.on_host = row_labels.device.type == "cpu"
        self.row_labels, self.row_order = (row_labels, None) if ascending else _sorted(row_labels)
        self.col_labels, self.col_order = self.row_labels, self.row_order
        if col_labels is not None:
            self.col_labels, self.col_order = (col_labels, None) if ascending else _sorted(col_labels)
        self._row_ids, self._col_ids = _take(row_ids, self.row_order), _take(col_ids, self.col_order)
        # where the positives of each row begin and end among the sorted columns
        self._left = torch.searchsorted(self.col_labels, self.row_labels)
        self._right = torch.searchsorted(self.col_labels, self.row_labels, right=True)
        self.shape = (len(self.row_labels), len(self.col_labels))

    def tiles(self, over: str, rows_at_once: int | None = None) -> Iterator[Tile]:
        """The tiles that can hold a ``negative``, or a ``positive`` pair (a row and itself is neither).

        ``both``: every tile; the mask then says which are positives (None: none), the row itself among them.
        """
        if over == "positive" and self.on_host:
            yield from self._blocks(self._class_runs())
            return
        yield from self._within(
            slice(0, self.shape[0]), slice(0, self.shape[1]), over, rows_at_once or self.tile, self.tile
        )

    def turns(self, over: str, lanes: int) -> Iterator[list[Iterator[Tile]]]:
        """The same tiles for several lanes; in one turn no two lanes touch a row or a column in common."""
        if lanes == 1:
            yield [self.tiles(over)]
            return
        if over == "positive":
            runs = self._class_runs()
            dealt: list[list[tuple[slice, slice, bool]]] = [[] for _ in range(lanes)]
            entries = [0] * lanes
            for run in runs:
                least = entries.index(min(entries))
                dealt[least].append(run)
                entries[least] += (run[0].stop - run[0].start) * (run[1].stop - run[1].start)
            yield [_in_lane(self._blocks(iter(some)), lane) for lane, some in enumerate(dealt)]
            return
        for turn in self._fields(lanes):
            yield [_in_lane(self._field(rows, cols, over), lane) for lane, (rows, cols) in enumerate(turn)]

    def _fields(self, lanes: int) -> Iterator[list[tuple[slice, slice]]]:
        """For each turn the rows and columns of each lane."""
        if not self.symmetric:
            rows, cols = stripes(self.shape[0], lanes), stripes(self.shape[1], lanes)
            for turn in range(lanes):
                yield [(rows[lane], cols[(lane + turn) % lanes]) for lane in range(lanes)]
            return
        # each lane the square of its rows first; then its halves meet all others in turn
        yield [(part, part) for part in stripes(self.shape[0], lanes)]
        halves = stripes(self.shape[0], 2 * lanes)
        for pairs in itertools.islice(meetings(2 * lanes), 1, None):
            yield [(halves[a], halves[b]) for a, b in pairs]

    def _field(self, rows: slice, cols: slice, over: str) -> Iterator[Tile]:
        """Its tiles, of one size: a narrow one at the end would waste the cache."""
        height, width = (_even(part.stop - part.start, self.tile) for part in (rows, cols))
        yield from self._within(rows, cols, over, height, width)

    def _within(self, rows: slice, cols: slice, over: str, height: int, width: int) -> Iterator[Tile]:
        triangle = self.symmetric and rows == cols
        for part in _parts(rows.start, rows.stop, height):
            for other in _parts(part.start if triangle else cols.start, cols.stop, width):
                mirrored = self.symmetric and other != part
                if over == "both":
                    yield self._of_both(part, other, mirrored)
                elif self.on_host:
                    yield from self._negatives(part, other, mirrored)
                else:
                    yield Tile(part, other, mirrored, mask=self._mask(part, other, over))

    def _of_both(self, rows: slice, cols: slice, mirrored: bool) -> Tile:
        if self.on_host and (self._left[rows.start] >= cols.stop or self._right[rows.stop - 1] <= cols.start):
            return Tile(rows, cols, mirrored)
        return Tile(rows, cols, mirrored, mask=self._mask(rows, cols, "negative"), selves=self._selves(rows, cols))

    def _selves(self, rows: slice, cols: slice) -> Tensor | None:
        if self.symmetric:
            height = rows.stop - rows.start
            return torch.eye(height, dtype=torch.bool, device=self.row_labels.device) if rows == cols else None
        if self._row_ids is None or self._col_ids is None:
            return None
        return self._row_ids[rows, None] == self._col_ids[None, cols]

    def strips(self, entries: int) -> Iterator[Tile]:
        """Runs of rows against all columns, of at most so many entries on a CPU."""
        for rows in row_strips(*self.shape, self.tile_size, strip_entries(self.row_labels.device, entries)):
            yield Tile(rows, slice(0, self.shape[1]), False)

    def _negatives(self, rows: slice, cols: slice, mirrored: bool) -> Iterator[Tile]:
        """The tile with its positives barred; none where all are positives."""
        height, width = rows.stop - rows.start, cols.stop - cols.start
        left_R = (self._left[rows] - cols.start).clamp_(0, width)
        right_R = (self._right[rows] - cols.start).clamp_(0, width)
        first, last = int(left_R[0]), int(right_R[-1])
        if first >= last:
            yield Tile(rows, cols, mirrored)
            return
        runs, counts = torch.unique_consecutive(left_R * (width + 1) + right_R, return_counts=True)
        if len(runs) > MOST_BOXES:
            length_R = right_R - left_R
            start_R = torch.arange(height) * width + left_R
            before_R = length_R.cumsum(0) - length_R
            entries = torch.repeat_interleave(start_R - before_R, length_R)
            yield Tile(rows, cols, mirrored, entries=entries + torch.arange(len(entries)))
            return
        boxes = []
        top = 0
        for run, count in zip(runs.tolist(), counts.tolist(), strict=True):
            left, right = divmod(run, width + 1)
            if right > left:
                boxes.append((slice(top, top + count), slice(left, right)))
            top += count
        if boxes != [(slice(0, height), slice(0, width))]:
            yield Tile(rows, cols, mirrored, boxes=tuple(boxes))

    def _blocks(self, runs: Iterator[tuple[slice, slice, bool]]) -> Iterator[Tile]:
        """Whole classes side by side, as many as stay small; a larger class in tiles."""
        for rows, cols, several in runs:
            for part in _parts(rows.start, rows.stop, self.tile):
                for other in _parts(part.start if self.symmetric else cols.start, cols.stop, self.tile):
                    mirrored = self.symmetric and other != part
                    if several or not self.symmetric:
                        yield Tile(part, other, mirrored, mask=self._mask(part, other, "positive"))
                    else:
                        yield Tile(part, other, mirrored, diagonal=part == other)

    def _class_runs(self) -> Iterator[tuple[slice, slice, bool]]:
        """Runs of rows, those of columns with the same labels, and whether there are several classes in them."""
        labels, counts = torch.unique_consecutive(self.row_labels, return_counts=True)
        ends = zip(counts.cumsum(0).tolist(), counts.tolist(), strict=True)
        lefts, rights = (torch.searchsorted(self.col_labels, labels, right=side).tolist() for side in (False, True))
        most = min(self.tile, SMALL_BLOCK)
        run: list[int] = []
        for (stop, count), left, right in zip(ends, lefts, rights, strict=True):
            if right == left:
                continue
            if run and stop - run[0] <= most and right - run[2] <= most:
                run[1], run[3], run[4] = stop, right, run[4] + 1
                continue
            if run:
                yield slice(run[0], run[1]), slice(run[2], run[3]), run[4] > 1
            run = [stop - count, stop, left, right, 1]
        if run:
            yield slice(run[0], run[1]), slice(run[2], run[3]), run[4] > 1

    def _mask(self, rows: slice, cols: slice, over: str) -> Tensor:
        return self.barred_for(torch.arange(rows.start, rows.stop, device=self.row_labels.device), cols, over)

    def barred_for(self, rows: Tensor, cols: slice, over: str) -> Tensor:
        """What does not count for a few rows, by their place in the order, in one block of columns."""
        place_C = torch.arange(cols.start, cols.stop, device=rows.device)
        same = (place_C >= self._left[rows, None]) & (place_C < self._right[rows, None])
        if over == "negative":
            return same
        barred = ~same
        if self.symmetric:
            return barred.logical_or_(rows[:, None] == place_C)
        if self._row_ids is not None and self._col_ids is not None:
            barred.logical_or_(self._row_ids[rows, None] == self._col_ids[None, cols])
        return barred


def _parts(start: int, stop: int, size: int) -> Iterator[slice]:
    for first in range(start, stop, size):
        yield slice(first, min(first + size, stop))


def _even(length: int, most: int) -> int:
    """The size of equal parts, none above the most."""
    return max(1, -(-length // max(1, -(-length // most))))


def _in_lane(tiles: Iterator[Tile], lane: int) -> Iterator[Tile]:
    return (replace(tile, lane=lane) for tile in tiles) if lane else tiles


def _sorted(labels: Tensor) -> tuple[Tensor, Tensor | None]:
    if labels.device.type == "cpu" and bool((labels[1:] >= labels[:-1]).all()):
        return labels, None
    ordered, order = torch.sort(labels, stable=True)
    return ordered, order


def _take(x: Tensor | None, order: Tensor | None) -> Tensor | None:
    return x if x is None or order is None else x[order]
