"""Sums over all triplets, or over the semi-hard ones, without forming a triplet: strips of rows against sorted distances.

With an anchor's negative distances sorted, the triplets of a positive that cost something are a prefix of them: how many
there are is one binary search, and how often a negative is met is a running count. So is the slope of each distance, and
a strip is finished, value and gradient, before the next: O(N² log N) where N³ triplets exist.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from likewise.losses._batch import LabelledBatch
from likewise.losses._checks import sum_dtype
from likewise.losses._layout import Layout, Tile
from likewise.losses._space import without_zero
from likewise.losses._tiled import SumRule, one_group_each, run_tiles
from likewise.losses._whole import Pairs

ENTRIES = 1 << 18  # of a strip: a distance is sorted as eight bytes, and met in several passes
LARGEST = (1 << 31) - 1
END = (LARGEST << 32) | LARGEST  # beyond every distance
Names = npt.NDArray[np.int32]


class TripletRows(SumRule):
    """Sum of max(0, d_ap - d_an + margin) over all triplets, or over each positive and its semi-hard negative.

    Args:
        layout: rows and columns.
        own: (N,) the place of each sorted row among the sorted columns.
        like: a tensor of the right kind.
        metric: ``euclidean``, ``squared`` or ``dot`` (times -1: larger is farther).
        semihard: the nearest negative beyond each positive, else the farthest; False: all negatives.
    """

    one_adds = True

    def __init__(
        self, layout: Layout, own: Tensor, like: Tensor, *, metric: str, margin: float, semihard: bool
    ) -> None:
        self.layout, self.metric, self.margin, self.semihard = layout, metric, margin, semihard
        self.labels, self.col_labels, self.own = layout.row_labels, layout.col_labels, own
        self.first = torch.searchsorted(self.col_labels, self.labels)
        self.same = torch.searchsorted(self.col_labels, self.labels, right=True) - self.first
        widest = int(self.same.max()) if len(self.same) else 1
        self.reach = torch.arange(widest, device=like.device)
        super().__init__(like)
        self._slopes: dict[int, Tensor] = {}

    def turns(self, layout: Pairs, lanes: int) -> Iterator[list[Iterator[list[Tile]]]]:
        """A strip for each lane."""
        return one_group_each(([strip] for strip in self.layout.strips(ENTRIES // lanes)), lanes)

    def reduce(self, tile_RC: Tensor, tile: Tile) -> None:
        """Adds the strip's sum; notes the slope of each distance."""
        first_B1, same_B1 = self.first[tile.rows, None], self.same[tile.rows, None]
        place_BP = first_B1 + self.reach
        usable_BP = (self.reach < same_B1) & (place_BP != self.own[tile.rows, None])
        usable_BP &= same_B1 < len(self.col_labels)
        place_BP.clamp_max_(len(self.col_labels) - 1)
        if tile_RC.dtype == torch.float32 and tile_RC.device.type == "cpu":
            own_B1, beyond = self.own[tile.rows, None], 0.0 if self.semihard else self.margin
            names_BM = _sorted_names(tile_RC, place_BP, usable_BP, own_B1, beyond)
            by_names = self._semihard_by_names if self.semihard else self._all_by_names
            self._slopes[tile.lane] = by_names(tile_RC, names_BM, tile)
            return
        barred_BM = self.labels[tile.rows, None] == self.col_labels
        negative_BM, order_BM = tile_RC.masked_fill(barred_BM, torch.inf).sort(dim=1)
        number_B1 = len(self.col_labels) - same_B1
        positive_BP = tile_RC.gather(1, place_BP)
        slope_BM = self._slopes[tile.lane] = torch.zeros_like(tile_RC)
        if self.semihard:
            beyond_BP = torch.searchsorted(negative_BM, positive_BP, right=True)
            pick_BP = torch.minimum(beyond_BP, number_B1 - 1).clamp_min_(0)
            gap_BP = positive_BP - negative_BM.gather(1, pick_BP) + self.margin
            met_BP = (usable_BP & (gap_BP > 0)).to(tile_RC.dtype)
            self.count(torch.where(met_BP > 0, gap_BP, 0).sum(), tile)
            slope_BM.scatter_add_(1, order_BM.gather(1, pick_BP), -met_BP)
            slope_BM.scatter_add_(1, place_BP, met_BP)
            return
        met_BP = torch.minimum(torch.searchsorted(negative_BM, positive_BP + self.margin), number_B1)
        ends_BM = torch.zeros_like(negative_BM)
        ends_BM.scatter_add_(1, (met_BP - 1).clamp_min_(0), (usable_BP & (met_BP > 0)).to(tile_RC.dtype))
        # a negative is met by the positives whose prefix ends at it or beyond
        often_BM = ends_BM.flip(1).cumsum(dim=1).flip(1)
        met_BP = torch.where(usable_BP, met_BP, 0).to(tile_RC.dtype)
        slope_BM.scatter_(1, order_BM, often_BM.neg_()).scatter_add_(1, place_BP, met_BP)
        product = (slope_BM * tile_RC).sum(dtype=sum_dtype(tile_RC.device))
        self.count(product + self.margin * met_BP.sum(), tile)

    def _semihard_by_names(self, tile_RC: Tensor, names_BM: Names, tile: Tile) -> Tensor:
        width, steps = tile_RC.shape[1], names_BM.shape[1]
        flat = np.flatnonzero(names_BM < 0)
        # positives side by side have the same negative behind them; the end of a row parts it from the next
        ends = np.flatnonzero(np.diff(flat, append=-1) != 1)
        starts = np.concatenate([ends[:1] * 0, ends[:-1] + 1])
        after = flat[ends] + 1
        last = after % steps == steps - 1
        # beyond all negatives: the farthest of them, which is before the run
        after[last] = flat[starts[last]] - 1
        first = flat // steps * width
        near = torch.from_numpy(first + (names_BM.ravel()[flat] & LARGEST))
        far = torch.from_numpy(first + np.repeat(names_BM.ravel()[after], ends + 1 - starts))
        distance = tile_RC.view(-1)
        gap = distance[near].sub_(distance[far]).add_(self.margin).clamp_min_(0)
        self.count(gap.sum(), tile)
        met = gap.sign_()
        slope = torch.zeros_like(distance)
        slope[near] = met
        return slope.scatter_add_(0, far, met.neg_()).view_as(tile_RC)

    def _all_by_names(self, tile_RC: Tensor, names_BM: Names, tile: Tile) -> Tensor:
        names = torch.from_numpy(names_BM[:, :-1])
        positive_BM = names >> 31 & 1
        before_BM = positive_BM.cumsum(dim=1)
        step_M = torch.arange(1, names.shape[1] + 1)
        # a negative costs against every positive behind it, a positive against every negative before it
        often_BM = (step_M - before_BM).mul_(positive_BM)
        often_BM += (before_BM - before_BM[:, -1:]).mul_(1 - positive_BM)
        often_BM = often_BM.to(tile_RC.dtype)
        slope = torch.zeros_like(tile_RC).scatter_(1, (names & LARGEST).long(), often_BM)
        met = often_BM.clamp_min(0).sum(dtype=torch.float64)
        self.count((slope * tile_RC).sum(dtype=torch.float64) + self.margin * met, tile)
        return slope

    def slope(self, tile_RC: Tensor, tile: Tile, kept: bool) -> Tensor:
        """Slope of the sum by each distance; by its square for ``euclidean``, where rows that lie together have none."""
        if self.metric != "euclidean":
            return self._slopes[tile.lane]
        return self._slopes[tile.lane].mul_(0.5).div_(without_zero(tile_RC))


def _sorted_names(tile_RC: Tensor, place_BP: Tensor, usable_BP: Tensor, own_B1: Tensor, margin: float) -> Names:
    """The columns of each row in the order of their distances, itself left out, positives with the sign bit set; an end.

    A positive counts ``margin`` farther, and stands behind a negative at the same distance. Distance and column are the
    upper and the lower half of one integer: numpy sorts those ten times faster on a CPU than torch sorts floats with
    their places, and a positive then stands where a binary search would find it.
    """
    height, width = tile_RC.shape
    keys = torch.empty(height, width + 1, dtype=torch.int64)
    halves = keys.view(torch.int32).view(height, width + 1, 2)
    low, high = (0, 1) if sys.byteorder == "little" else (1, 0)
    halves[:, :-1, high] = _ordered_bits(tile_RC)
    halves[:, :-1, low] = torch.arange(width, dtype=torch.int32)
    near_BP = _ordered_bits(tile_RC.gather(1, place_BP).add_(margin)).long() << 32 | place_BP | 1 << 31
    # the last column takes what is not a positive, and sorts behind all others together with the row itself
    keys.scatter_(1, torch.where(usable_BP, place_BP, width), near_BP)
    keys.scatter_(1, own_B1, END)
    keys[:, -1] = END
    _sort_rows(keys.numpy())
    return np.ascontiguousarray(halves[:, :-1, low].numpy())


def _sort_rows(keys: npt.NDArray[np.int64]) -> None:
    """In place, by as many threads as torch has: numpy sorts on one and lets go of the interpreter meanwhile."""
    threads = min(torch.get_num_threads(), keys.size >> 16)
    if threads < 2:
        keys.sort(axis=1)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: part.sort(axis=1), np.array_split(keys, threads)))


def _ordered_bits(x: Tensor) -> Tensor:
    """Floats as int32 of the same order."""
    bits = x.view(torch.int32)
    return bits ^ (bits >> 31 & LARGEST)


def triplet_rows_sum(batch: LabelledBatch, *, distance: str, margin: float, semihard: bool) -> Tensor:
    """The sum over this rank's anchors. ``distance`` is ``euclidean``, ``squared`` or ``cosine`` (unit rows)."""
    rows, columns, layout = batch.rows, batch.columns, batch.layout
    own = torch.arange(len(rows), device=rows.device)
    if columns is not None:
        place = torch.arange(len(columns), device=rows.device)
        if layout.col_order is not None:
            place = torch.empty_like(place).index_copy(0, layout.col_order, place)
        own = place[batch.own_columns()]
        own = own if layout.row_order is None else own[layout.row_order]
    if distance != "cosine":
        rows, columns = batch.centered
    metric, scale = ("dot", -1.0) if distance == "cosine" else (distance, 1.0)
    rule = TripletRows(layout, own, rows, metric=metric, margin=margin, semihard=semihard)
    total: Tensor = run_tiles(rows, columns, layout, rule, scale)[0]
    return total.to(rows.dtype)
