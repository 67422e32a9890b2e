"""One engine for everything that looks at all pairs of a batch, in memory that grows with N and not with N².

The N × M matrix of similarities or distances is never formed: tiles of it are computed forward, reduced to a few
numbers per row by a ``Rule``, and computed again backward. For D = 128 that is faster than keeping the matrix,
because a tile of 512 × 512 stays in the cache: 3.8 times for NT-Xent at N = 4,096 (benchmarks/losses.py). Where rows and
columns are the same batch only the upper triangle is computed and each tile feeds its rows and its columns. A batch
whose matrix has at most 2^20 entries keeps its tiles for the backward pass (4 MiB), which is the plain formulation.

Rows and columns are sorted by label first. Positives then lie in blocks along the diagonal: away from it a tile holds
negatives only and needs no mask. On CUDA nothing is read back, so each tile is masked there.

Shapes: R rows and C columns of one tile, D embedding width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

KEEP_ENTRIES = 1 << 20


def default_tile(device: torch.device) -> int:
    """Side of a tile: 512 on the CPU (1 MiB, fits the cache); measure again with benchmarks/losses.py --tiles."""
    return 512 if device.type == "cpu" else 2048


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile: its rows, its columns, whether it also stands for its mirror image, and what does not count in it."""

    rows: slice
    cols: slice
    mirrored: bool
    barred: Tensor | None  # (R, C) bool: pairs of the other kind; None: every pair counts
    selves: Tensor | None = None  # (R, C) bool, for ``both`` kinds only: a row and itself


class Layout:
    """Rows against columns: their labels, who is who, and the order in which tiles are walked.

    Args:
        row_labels, col_labels: (N,), (M,) int64; equal label = positive pair.
        row_ids, col_ids: int64 names of samples; an equal id is the sample itself. None: no column is a row.
        symmetric: rows and columns are the same tensor.
        tile_size: side of a tile; None: chosen by size.
    """

    def __init__(
        self,
        row_labels: Tensor,
        col_labels: Tensor | None = None,
        *,
        row_ids: Tensor | None = None,
        col_ids: Tensor | None = None,
        tile_size: int | None = None,
    ) -> None:
        self.symmetric = col_labels is None
        self.tile = tile_size or default_tile(row_labels.device)
        self.row_labels, self.row_order = _sorted(row_labels)
        self.col_labels, self.col_order = self.row_labels, self.row_order
        if col_labels is not None:
            self.col_labels, self.col_order = _sorted(col_labels)
        self._row_ids, self._col_ids = _take(row_ids, self.row_order), _take(col_ids, self.col_order)
        # labels as int32 places in the sorted columns, -1 for one that no column has: half the traffic of comparing
        first = torch.searchsorted(self.col_labels, self.row_labels)
        absent = first == torch.searchsorted(self.col_labels, self.row_labels, right=True)
        self._row_codes = first.masked_fill(absent, -1).int()
        self._col_codes = torch.searchsorted(self.col_labels, self.col_labels).int()
        self.shape = (len(self.row_labels), len(self.col_labels))
        self.keep = self.shape[0] * self.shape[1] <= KEEP_ENTRIES
        self._row_ends = _ends(self.row_labels, self.tile)
        self._col_ends = self._row_ends if self.symmetric else _ends(self.col_labels, self.tile)

    def tiles(self, over: str, with_self: bool = False) -> Iterator[Tile]:
        """The tiles that can hold a ``negative``, or a ``positive`` pair (a row and itself only if asked for).

        ``both``: every tile; barred then are the positives.
        """
        for a, first in enumerate(range(0, self.shape[0], self.tile)):
            rows = slice(first, min(first + self.tile, self.shape[0]))
            for b in range(a if self.symmetric else 0, (self.shape[1] + self.tile - 1) // self.tile):
                cols = slice(b * self.tile, min((b + 1) * self.tile, self.shape[1]))
                kind = self._kind(a, b)
                if over == "both":
                    barred = None if kind == "negative" else self._barred(rows, cols, "negative", kind, with_self)
                    selves = None if barred is None or with_self else self._selves(rows, cols)
                    yield Tile(rows, cols, self.symmetric and b != a, barred, selves)
                elif kind in ("mixed", over):
                    barred = self._barred(rows, cols, over, kind, with_self)
                    yield Tile(rows, cols, self.symmetric and b != a, barred)

    def _kind(self, a: int, b: int) -> str:
        if self._row_ends is None or self._col_ends is None:
            return "mixed"
        (low, high), (left, right) = self._row_ends[a], self._col_ends[b]
        if high < left or right < low:
            return "negative"
        return "positive" if low == high == left == right else "mixed"

    def _barred(self, rows: slice, cols: slice, over: str, kind: str, with_self: bool) -> Tensor | None:
        row_codes, col_codes = self._row_codes[rows, None], self._col_codes[None, cols]
        if over == "negative":
            return None if kind == "negative" else row_codes == col_codes
        barred = None if kind == "positive" else row_codes != col_codes
        if with_self:
            return barred
        selves = self._selves(rows, cols)
        if barred is None or selves is None:
            return selves if barred is None else barred
        return barred.logical_or_(selves)

    def _selves(self, rows: slice, cols: slice) -> Tensor | None:
        if self.symmetric:
            return (
                torch.eye(rows.stop - rows.start, dtype=torch.bool, device=self._row_codes.device)
                if rows == cols
                else None
            )
        if self._row_ids is None or self._col_ids is None:
            return None
        return self._row_ids[rows, None] == self._col_ids[None, cols]

    def barred_for(self, rows: Tensor, cols: slice, over: str) -> Tensor:
        """What does not count for a few rows, by their place in the order, in one block of columns."""
        same = self._row_codes[rows, None] == self._col_codes[None, cols]
        if over == "negative":
            return same
        barred = ~same
        if self.symmetric:
            every = torch.arange(cols.start, cols.stop, device=rows.device)
            return barred.logical_or_(rows[:, None] == every)
        if self._row_ids is not None and self._col_ids is not None:
            barred.logical_or_(self._row_ids[rows, None] == self._col_ids[None, cols])
        return barred


def _sorted(labels: Tensor) -> tuple[Tensor, Tensor | None]:
    if labels.device.type == "cpu" and bool((labels[1:] >= labels[:-1]).all()):
        return labels, None
    ordered, order = torch.sort(labels, stable=True)
    return ordered, order


def _take(x: Tensor | None, order: Tensor | None) -> Tensor | None:
    return x if x is None or order is None else x[order]


def _ends(labels: Tensor, tile: int) -> list[tuple[int, int]] | None:
    if labels.device.type != "cpu":
        return None
    first, last = labels[::tile].tolist(), labels[tile - 1 :: tile].tolist()
    if len(last) < len(first):
        last.append(int(labels[-1]))
    return list(zip(first, last, strict=True))


class Rule:
    """What is done with a tile. One instance serves one call: it holds the running statistics.

    ``metric`` says what a tile holds: ``dot`` scale · x·y, ``squared`` ||x - y||², ``euclidean`` ||x - y||.
    """

    metric = "dot"
    over = "negative"
    with_self = False
    keeps = False  # reduce() leaves in the tile what slope() needs, so that it may be kept for the backward pass
    separable = False  # a plain sum over pairs: slope() needs no statistic of other tiles

    def reduce(self, tile_RC: Tensor, tile: Tile) -> None:
        """Add this tile to the statistics; may overwrite the tile."""
        raise NotImplementedError

    def results(self) -> tuple[Tensor, ...]:
        """The statistics, as fresh tensors."""
        raise NotImplementedError

    def prepare(self, grads: tuple[Tensor, ...]) -> None:
        """Take the gradients of the results."""
        raise NotImplementedError

    def slope(self, tile_RC: Tensor, tile: Tile, kept: bool) -> Tensor:
        """Derivative by the tile's entries (both directions where mirrored), given the tile or what reduce() left."""
        raise NotImplementedError


class Space:
    """Sorted rows and columns, the metric between them, and their gradients."""

    def __init__(self, x_ND: Tensor, y_MD: Tensor, metric: str, scale: float, same: bool) -> None:
        self.x, self.y, self.metric, self.scale, self.same = x_ND, y_MD, metric, scale, same
        if metric != "dot":
            self.x_norm = x_ND.pow(2).sum(dim=1, keepdim=True)
            self.y_norm = self.x_norm.T if same else y_MD.pow(2).sum(dim=1)[None, :]
        self._buffer = x_ND.new_empty(0)

    def measure(self, tile: Tile, fresh: bool) -> Tensor:
        """The tile of the matrix, in a buffer that is used again unless a fresh one is asked for."""
        x_RD, y_CD = self.x[tile.rows], self.y[tile.cols]
        size = len(x_RD) * len(y_CD)
        if fresh:
            out_RC = x_RD.new_empty(len(x_RD), len(y_CD))
        else:
            if self._buffer.numel() < size:
                self._buffer = x_RD.new_empty(size)
            out_RC = self._buffer[:size].view(len(x_RD), len(y_CD))
        if self.metric == "dot":
            return torch.addmm(out_RC, x_RD, y_CD.T, beta=0, alpha=self.scale, out=out_RC)
        torch.addmm(self.y_norm[:, tile.cols], x_RD, y_CD.T, alpha=-2, out=out_RC)
        out_RC.add_(self.x_norm[tile.rows]).clamp_min_(0)
        return out_RC.sqrt_() if self.metric == "euclidean" else out_RC

    def open_gradients(self) -> None:
        """Start from zero."""
        self.dx = torch.zeros_like(self.x)
        self.dy = self.dx if self.same else torch.zeros_like(self.y)

    def add(self, slope_RC: Tensor, tile: Tile) -> None:
        """Add what one tile's slopes (by dot product or squared distance) mean for rows and columns."""
        dx_RD, dy_CD, x_RD, y_CD = self.dx[tile.rows], self.dy[tile.cols], self.x[tile.rows], self.y[tile.cols]
        if self.metric == "dot":
            dx_RD.addmm_(slope_RC, y_CD, alpha=self.scale)
            dy_CD.addmm_(slope_RC.T, x_RD, alpha=self.scale)
            return
        dx_RD.addmm_(slope_RC, y_CD, alpha=-2).addcmul_(slope_RC.sum(dim=1, keepdim=True), x_RD, value=2)
        dy_CD.addmm_(slope_RC.T, x_RD, alpha=-2).addcmul_(slope_RC.sum(dim=0)[:, None], y_CD, value=2)


class _Tiles(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor | None, layout: Layout, rule: Rule, scale: float) -> tuple[Tensor, ...]:
        wanted = x.requires_grad or (y is not None and y.requires_grad)
        with torch.autocast(x.device.type, enabled=False):
            rows = x.detach() if layout.row_order is None else x.detach()[layout.row_order]
            cols = rows if y is None else (y.detach() if layout.col_order is None else y.detach()[layout.col_order])
            space = Space(rows, cols, rule.metric, scale, y is None)
            at_once = wanted and rule.separable
            keep = wanted and rule.keeps and layout.keep
            kept: list[Tensor] = []
            if at_once:
                space.open_gradients()
            for tile in layout.tiles(rule.over, rule.with_self):
                tile_RC = space.measure(tile, fresh=keep)
                rule.reduce(tile_RC, tile)
                if keep:
                    kept.append(tile_RC)
                if at_once:
                    space.add(rule.slope(tile_RC, tile, kept=False), tile)
        ctx.layout, ctx.rule, ctx.space, ctx.kept = layout, rule, space, kept
        return rule.results()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        layout, rule, space = ctx.layout, ctx.rule, ctx.space
        with torch.autocast(space.x.device.type, enabled=False):
            if rule.separable:
                dx = space.dx * grads[0]
                dy = None if space.same else space.dy * grads[0]
            else:
                rule.prepare(grads)
                space.open_gradients()
                for number, tile in enumerate(layout.tiles(rule.over, rule.with_self)):
                    if ctx.kept:
                        space.add(rule.slope(ctx.kept[number], tile, kept=True), tile)
                    else:
                        space.add(rule.slope(space.measure(tile, fresh=False), tile, kept=False), tile)
                dx, dy = space.dx, None if space.same else space.dy
                del space.dx, space.dy
            return _back(dx, layout.row_order), None if dy is None else _back(dy, layout.col_order), None, None, None


def _back(grad: Tensor, order: Tensor | None) -> Tensor:
    if order is None:
        return grad
    out = torch.empty_like(grad)
    out[order] = grad
    return out


def run_tiles(x: Tensor, y: Tensor | None, layout: Layout, rule: Rule, scale: float = 1.0) -> tuple[Tensor, ...]:
    """The results of a rule over all pairs of rows of ``x`` and ``y`` (None: of ``x`` and itself), differentiable.

    Results that belong to rows or columns come in sorted order; ``Layout.unsort_rows`` puts them back.
    """
    results: tuple[Tensor, ...] = _Tiles.apply(x, y, layout, rule, scale)  # type: ignore[no-untyped-call]
    return results
