"""One engine for everything that looks at all pairs of a batch, in memory that grows with N and not with N².

The N × M matrix of similarities or distances is never formed: tiles of it are computed forward, reduced to a few
numbers per row by a ``Rule``, and computed again backward. For D = 128 that is faster than keeping the matrix,
because a tile of 512 × 512 stays in the cache (benchmarks/losses.py). Where rows and columns are the same batch only the
upper triangle is computed and each tile feeds its rows and its columns. In the largest batches each thread walks over tiles
of its own (``Lanes``). A batch whose matrix has at most 2^20 entries keeps its tiles for the backward pass (4 MiB). A rule
whose slopes need nothing from other tiles is differentiated in the same pass that computes it; its gradient waits for the
factor that comes from above.

Shapes: R rows and C columns of one tile, D embedding width.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from likewise.losses._checks import sum_dtype
from likewise.losses._lanes import Lanes, lanes_for
from likewise.losses._layout import Tile
from likewise.losses._opaque import full_precision
from likewise.losses._space import Space, row_parts, sorted_rows
from likewise.losses._whole import Pairs

KEEP_ENTRIES = 1 << 20


class Rule:
    """What is done with a tile. One instance serves one call: it holds the running statistics.

    ``metric`` says what a tile holds (see ``Space``).
    """

    metric = "dot"
    over = "negative"
    keeps = False  # reduce() leaves in the tile what slope() needs, so that it may be kept for the backward pass
    separable = (
        False  # slope() needs no statistic of other groups, and follows close() with the tile as reduce() left it
    )

    one_adds = False  # groups of one turn meet in columns: one thread adds to the gradients after the turn

    def open(self, lanes: int) -> None:
        """So many lanes will call ``reduce``, each with tiles of its own."""

    def turns(self, layout: Pairs, lanes: int) -> Iterator[list[Iterator[list[Tile]]]]:
        """Turn by turn the groups of each lane; the tiles of a group are in memory at once."""
        for turn in layout.turns(self.over, lanes):
            yield [([tile] for tile in tiles) for tiles in turn]

    def reduce(self, tile_RC: Tensor, tile: Tile) -> None:
        """Add this tile to the statistics; may overwrite the tile."""
        raise NotImplementedError

    def close(self, group: list[Tile]) -> None:
        """A separable rule: all tiles of the group have been reduced."""

    def add(self, space: Space, group: list[tuple[Tile, Tensor]]) -> None:
        """A separable rule: add to the gradients what the closed group means, given the tiles as reduce() left them."""
        for tile, tile_RC in group:
            space.add(self.slope(tile_RC, tile, kept=False), tile)

    def finish(self, space: Space) -> None:
        """A separable rule: add to the gradients what is not in a tile."""

    def results(self) -> tuple[Tensor, ...]:
        """The statistics, as fresh tensors."""
        raise NotImplementedError

    def prepare(self, grads: tuple[Tensor, ...]) -> None:
        """Take the gradients of the results."""
        raise NotImplementedError

    def slope(self, tile_RC: Tensor, tile: Tile, kept: bool) -> Tensor:
        """Derivative by the tile's entries (both directions where mirrored), given the tile or what reduce() left.

        May overwrite the tile.
        """
        raise NotImplementedError


class SumRule(Rule):
    """A separable rule whose result is one number. Each lane has a sum of its own, in ``sum_dtype``."""

    separable = True

    def __init__(self, like: Tensor) -> None:
        self._sums = like.new_zeros(1, dtype=sum_dtype(like.device))

    def open(self, lanes: int) -> None:
        """A sum for each."""
        self._sums = self._sums.new_zeros(lanes)

    def count(self, value: Tensor, tile: Tile) -> None:
        """Add to the result."""
        self._sums[tile.lane] += value

    def results(self) -> tuple[Tensor, ...]:
        """The sum, a scalar."""
        return (self._sums.sum(),)


class _Tiles(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor | None, layout: Pairs, rule: Rule, scale: float) -> tuple[Tensor, ...]:
        wanted = x.requires_grad or (y is not None and y.requires_grad)
        with full_precision(x):
            space = _space(x, y, layout, rule, scale)
            at_once = wanted and rule.separable
            keep = wanted and rule.keeps and layout.shape[0] * layout.shape[1] <= KEEP_ENTRIES
            kept: dict[tuple[int, int], Tensor] = {}
            if at_once:
                space.open_gradients()

            def visit(groups: Iterator[list[Tile]], waiting: list[list[tuple[Tile, Tensor]]]) -> None:
                for group in groups:
                    held = []
                    for place, tile in enumerate(group):
                        tile_RC = space.measure(tile, None if keep else place)
                        rule.reduce(tile_RC, tile)
                        if keep:
                            kept[tile.rows.start, tile.cols.start] = tile_RC
                        held.append((tile, tile_RC))
                    rule.close(group)
                    if at_once and rule.one_adds:
                        waiting.append(held)
                    elif at_once:
                        rule.add(space, held)

            with Lanes(lanes_for(*layout.shape, on_host=layout.on_host)) as lanes:
                rule.open(lanes.number)
                for turn in rule.turns(layout, lanes.number):
                    waiting: list[list[list[tuple[Tile, Tensor]]]] = [[] for _ in turn]
                    lanes.run([functools.partial(visit, *each) for each in zip(turn, waiting, strict=True)])
                    for held in itertools.chain.from_iterable(waiting):
                        rule.add(space, held)
            if at_once:
                rule.finish(space)
                ctx.grads = space.close_gradients()
        ctx.layout, ctx.rule, ctx.scale, ctx.kept = layout, rule, scale, kept
        if not rule.separable:
            # the sorted copies are made again: two losses of one batch would hold them twice
            ctx.save_for_backward(x, y)
        return rule.results()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        layout, rule = ctx.layout, ctx.rule
        if rule.separable:
            dx, dy = ctx.grads
            return _back(dx, layout.row_order, grads[0]), _back(dy, layout.col_order, grads[0]), None, None, None
        x, y = ctx.saved_tensors
        with full_precision(x):
            space = _space(x, y, layout, rule, ctx.scale)
            rule.prepare(grads)
            space.open_gradients()

            def visit(groups: Iterator[list[Tile]]) -> None:
                for tile in itertools.chain.from_iterable(groups):
                    known = ctx.kept.get((tile.rows.start, tile.cols.start))
                    tile_RC = space.measure(tile, 0) if known is None else known
                    space.add(rule.slope(tile_RC, tile, kept=known is not None), tile)

            with Lanes(lanes_for(*layout.shape, on_host=layout.on_host)) as lanes:
                for turn in rule.turns(layout, lanes.number):
                    lanes.run([functools.partial(visit, groups) for groups in turn])
            dx, dy = space.close_gradients()
        return _back(dx, layout.row_order), _back(dy, layout.col_order), None, None, None


def _space(x: Tensor, y: Tensor | None, layout: Pairs, rule: Rule, scale: float) -> Space:
    rows = sorted_rows(x.detach(), layout.row_order)
    cols = rows if y is None else sorted_rows(y.detach(), layout.col_order)
    return Space(rows, cols, rule.metric, scale, y is None)


def _back(grad: Tensor | None, order: Tensor | None, factor: Tensor | None = None) -> Tensor | None:
    """From the layout's order back to the one given, times a factor."""
    if grad is None:
        return None
    if order is None:
        return grad if factor is None else grad * factor
    out = torch.empty_like(grad)
    for part in row_parts(grad):
        out.index_copy_(0, order[part], grad[part] if factor is None else grad[part] * factor)
    return out


def one_group_each(groups: Iterator[list[Tile]], lanes: int) -> Iterator[list[Iterator[list[Tile]]]]:
    """Turns in which each lane has one of the groups."""
    while turn := list(itertools.islice(groups, lanes)):
        yield [iter([[replace(tile, lane=lane) for tile in group]]) for lane, group in enumerate(turn)]


def run_tiles(x: Tensor, y: Tensor | None, layout: Pairs, rule: Rule, scale: float = 1.0) -> tuple[Tensor, ...]:
    """The results of a rule over all pairs of rows of ``x`` and ``y`` (None: of ``x`` and itself), differentiable.

    Results that belong to rows or columns come in sorted order; ``unsort`` puts them back.
    """
    results: tuple[Tensor, ...] = _Tiles.apply(x, y, layout, rule, scale)  # type: ignore[no-untyped-call]
    return results
