"""What a tile is reduced to: the logarithm of a sum of exponentials per row, or a plain sum over pairs.

Exponentials: where |score| <= 60 is known, nothing is shifted (e^60 times a million columns is far from float32's
e^88), one exponential serves rows and columns, and the backward pass multiplies it by weights. Beyond that, rows
and columns each carry a running maximum: exact at any temperature, about twice the time.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from likewise.losses._tiled import Layout, Rule, Tile, run_tiles

SAFE_SCORE = 60.0
Elementwise = Callable[[Tensor], Tensor]


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)) to the last digit of float64; torch's default turns linear at 20, which is off by 2e-9."""
    return F.softplus(x, threshold=40.0)


class LogSumExp(Rule):
    """Per row (and per column) log of the sum of exp(score) over its negatives or its positives; -inf over none.

    Args:
        over: ``negative`` or ``positive`` pairs; a row itself is neither, unless ``with_self`` makes it a positive.
        safe: |score| <= 60 is known.
        both: columns are wanted too where they are not the rows.
        score, slope: elementwise function of the metric and its derivative; None: the metric itself.
    """

    def __init__(
        self,
        layout: Layout,
        like: Tensor,
        *,
        over: str,
        safe: bool,
        both: bool = True,
        metric: str = "dot",
        with_self: bool = False,
        score: Elementwise | None = None,
        slope: Elementwise | None = None,
    ) -> None:
        self.both = both and not layout.symmetric
        self.over, self.safe, self.metric, self.with_self = over, safe, metric, with_self
        self.score_of, self.slope_of = score, slope
        self.keeps = safe and score is None and metric == "dot"
        self.symmetric = layout.symmetric
        rows, cols = layout.shape
        self.row_sum = like.new_zeros(rows)
        self.col_sum = self.row_sum if self.symmetric else like.new_zeros(cols)
        if not safe:
            low = torch.finfo(like.dtype).min / 4
            self.row_max = like.new_full((rows,), low)
            self.col_max = self.row_max if self.symmetric else like.new_full((cols,), low)

    def _scores(self, tile_RC: Tensor) -> Tensor:
        return tile_RC if self.score_of is None else self.score_of(tile_RC)

    def reduce(self, tile_RC: Tensor, tile: Tile) -> None:
        """Add the tile's exponentials to its rows, and to its columns where they are wanted."""
        score_RC = self._scores(tile_RC)
        columns_too = tile.mirrored or self.both
        if self.safe:
            _bar(score_RC.exp_(), tile.barred, 0)
            self.row_sum[tile.rows] += score_RC.sum(dim=1)
            if columns_too:
                self.col_sum[tile.cols] += score_RC.sum(dim=0)
            return
        _bar(score_RC, tile.barred, torch.finfo(score_RC.dtype).min / 4)
        _online(self.row_max[tile.rows], self.row_sum[tile.rows], score_RC, tile.barred, 1)
        if columns_too:
            _online(self.col_max[tile.cols], self.col_sum[tile.cols], score_RC, tile.barred, 0)

    def results(self) -> tuple[Tensor, ...]:
        """Rows; and columns where the matrix is not symmetric."""
        if self.safe:
            rows, cols = self.row_sum.log(), self.col_sum.log()
        else:
            rows, cols = self.row_sum.log() + self.row_max, self.col_sum.log() + self.col_max
        return (rows, cols) if self.both else (rows,)

    def prepare(self, grads: tuple[Tensor, ...]) -> None:
        """Weights of exp(score): gradient over sum. An empty sum has no slope."""
        row_grad = grads[0]
        col_grad = grads[1] if self.both else row_grad
        self.row_weight, self.row_log = self._weights(row_grad, self.row_sum, None if self.safe else self.row_max)
        self.col_weight, self.col_log = self.row_weight, self.row_log
        if self.both:
            self.col_weight, self.col_log = self._weights(col_grad, self.col_sum, None if self.safe else self.col_max)

    def _weights(self, grad: Tensor, total: Tensor, maximum: Tensor | None) -> tuple[Tensor, Tensor]:
        if maximum is None:
            return torch.where(total > 0, grad / total, 0), total
        return torch.where(total > 0, grad, 0), torch.where(total > 0, total.log() + maximum, 0)

    def slope(self, tile_RC: Tensor, tile: Tile, kept: bool) -> Tensor:
        """The softmax weights of this tile times the gradients of the rows and columns they belong to."""
        columns_too = tile.mirrored or self.both
        rows = self.row_weight[tile.rows, None]
        cols = self.col_weight[None, tile.cols] if columns_too else rows
        weight_RC = rows + cols if columns_too else rows
        if kept:
            return tile_RC * weight_RC
        chain = None if self.slope_of is None else self.slope_of(tile_RC)
        if self.metric == "euclidean":
            per_squared = torch.where(tile_RC > 0, 0.5 / tile_RC, 0)
            chain = per_squared if chain is None else chain.mul_(per_squared)
        score_RC = self._scores(tile_RC)
        if self.safe:
            out_RC = score_RC.exp_().mul_(weight_RC)
        else:
            # barred scores may lie above the row's logarithm: taken down before exp, out after it
            _bar(score_RC, tile.barred, 0)
            out_RC = (score_RC - self.row_log[tile.rows, None]).clamp_max_(0).exp_().mul_(rows)
            if columns_too:
                out_RC.addcmul_((score_RC - self.col_log[None, tile.cols]).clamp_max_(0).exp_(), cols)
        _bar(out_RC, tile.barred, 0)
        return out_RC if chain is None else out_RC.mul_(chain)


def _bar(x_RC: Tensor, barred: Tensor | None, value: float) -> None:
    # exp(-inf) is six times slower than exp of a number, so what is barred goes in as a number and comes out as zero
    if barred is not None:
        x_RC.masked_fill_(barred, value)


def _online(maximum: Tensor, total: Tensor, score_RC: Tensor, barred: Tensor | None, dim: int) -> None:
    higher = torch.maximum(maximum, score_RC.amax(dim=dim))
    shifted_RC = score_RC - higher.unsqueeze(dim)
    _bar(shifted_RC, barred, 0)
    shifted_RC.exp_()
    _bar(shifted_RC, barred, 0)
    total.mul_((maximum - higher).exp_()).add_(shifted_RC.sum(dim=dim))
    maximum.copy_(higher)


class PairSum(Rule):
    """Sum of value(metric) over all ordered pairs (i, j) of one kind, each unordered pair of a symmetric matrix twice.

    Args:
        value, slope: elementwise function of the metric and its derivative (by the squared distance for ``squared`` and
            ``euclidean``).
    """

    separable = True

    def __init__(self, like: Tensor, *, over: str, metric: str, value: Elementwise, slope: Elementwise) -> None:
        self.over, self.metric, self.value_of, self.slope_of = over, metric, value, slope
        self.total = like.new_zeros((), dtype=torch.float64)

    def reduce(self, tile_RC: Tensor, tile: Tile) -> None:
        """Add the tile's values; a mirrored tile counts twice."""
        value_RC = self.value_of(tile_RC)
        _bar(value_RC, tile.barred, 0)
        self.total += value_RC.sum() * (2 if tile.mirrored else 1)

    def results(self) -> tuple[Tensor, ...]:
        """The sum, a float64 scalar."""
        return (self.total.clone(),)

    def slope(self, tile_RC: Tensor, tile: Tile, kept: bool) -> Tensor:
        """Slope of the sum by each entry of the tile."""
        out_RC = self.slope_of(tile_RC)
        _bar(out_RC, tile.barred, 0)
        return out_RC.mul_(2) if tile.mirrored else out_RC


def pair_logsumexp(
    x: Tensor,
    y: Tensor | None,
    layout: Layout,
    *,
    over: str,
    scale: float = 1.0,
    bound: float | None = None,
    metric: str = "dot",
    both: bool = False,
    with_self: bool = False,
    score: Elementwise | None = None,
    slope: Elementwise | None = None,
) -> tuple[Tensor, Tensor]:
    """Per row (and with ``both`` per column) log-sum-exp over positives or negatives, in the order given.

    ``bound`` is the largest |score| that can occur; where None and ``score`` is None it is read from the norms (CPU).
    """
    if bound is None and score is None and metric == "dot" and x.device.type == "cpu":
        largest = x.detach().pow(2).sum(dim=1).amax().sqrt() if len(x) else x.new_zeros(())
        other = largest if y is None else y.detach().pow(2).sum(dim=1).amax().sqrt()
        bound = abs(scale) * float(largest * other)
    safe = bound is not None and bound <= SAFE_SCORE
    rule = LogSumExp(
        layout, x, over=over, safe=safe, both=both, metric=metric, with_self=with_self, score=score, slope=slope
    )
    results = run_tiles(x, y, layout, rule, scale)
    rows = unsort(results[0], layout.row_order)
    return rows, unsort(results[1], layout.col_order) if rule.both else rows


def unsort(values: Tensor, order: Tensor | None) -> Tensor:
    """From the layout's order back to the one given."""
    return values if order is None else torch.empty_like(values).index_copy(0, order, values)


def pair_sum(
    x: Tensor,
    y: Tensor | None,
    layout: Layout,
    *,
    over: str,
    metric: str,
    value: Elementwise,
    slope: Elementwise,
    scale: float = 1.0,
) -> Tensor:
    """Sum of value(metric) over all ordered pairs of one kind."""
    rule = PairSum(x, over=over, metric=metric, value=value, slope=slope)
    total: Tensor = run_tiles(x, y, layout, rule, scale)[0]
    return total.to(x.dtype)
