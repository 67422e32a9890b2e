"""What a tile is reduced to: the logarithm of a sum of exponentials per row, or a plain sum over pairs.

Exponentials: where all scores are known to lie within 120 of each other, one fixed shift (none, where they lie within
60 of 0) keeps every exponential in float32's range (e^60 times a million columns is far from e^88); one exponential then
serves rows and columns, and the backward pass multiplies it by weights. Beyond that, rows and columns each carry a
running maximum: exact at any temperature, about twice the time.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from likewise.losses._layout import Tile
from likewise.losses._space import without_zero
from likewise.losses._tiled import Rule, SumRule, run_tiles
from likewise.losses._whole import Pairs

SAFE_SCORE = 60.0
Elementwise = Callable[[Tensor], Tensor]
Bound = float | tuple[float, float] | None


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)) to the last digit of float64; torch's default turns linear at 20, which is off by 2e-9."""
    return F.softplus(x, threshold=40.0)


def fixed_shift(bound: Bound) -> float | None:
    """What to take off every score before its exponential; None: the scores may lie too far apart."""
    if bound is None:
        return None
    low, high = bound if isinstance(bound, tuple) else (-bound, bound)
    if max(-low, high) <= SAFE_SCORE:
        return 0.0
    return 0.5 * (low + high) if high - low <= 2 * SAFE_SCORE else None


class LogSumExp(Rule):
    """Per row (and per column) log of the sum of exp(score) over its negatives or its positives; -inf over none.

    Args:
        over: ``negative`` or ``positive`` pairs; a row itself is neither.
        shift: taken off every score; None: rows and columns carry a running maximum.
        both: columns are wanted too where they are not the rows.
        scale: that of the metric.
        score, slope: elementwise function of the metric and its derivative; None: the metric itself. ``score`` may
            overwrite its argument, ``slope`` not.
    """

    def __init__(
        self,
        layout: Pairs,
        like: Tensor,
        *,
        over: str,
        shift: float | None,
        both: bool = True,
        metric: str = "dot",
        scale: float = 1.0,
        score: Elementwise | None = None,
        slope: Elementwise | None = None,
    ) -> None:
        self.both = both and not layout.symmetric
        self.over, self.shift, self.metric = over, shift, metric
        # a tile holds D, the score is scale · D, and the slope is asked for by D²: scale / (2 D) times that by the score
        self.factor = 0.5 * scale if metric == "euclidean" else 1.0
        self.times = scale if metric == "euclidean" else 1.0
        self.score_of, self.slope_of = score, slope
        self.keeps = shift is not None and score is None and metric != "euclidean"
        self.symmetric = layout.symmetric
        self._places: dict[tuple[int, int], Tensor] = {}
        rows, cols = layout.shape
        self.row_sum = like.new_zeros(rows)
        self.col_sum = self.row_sum if self.symmetric else like.new_zeros(cols)
        if shift is None:
            low = torch.finfo(like.dtype).min / 4
            self.row_max = like.new_full((rows,), low)
            self.col_max = self.row_max if self.symmetric else like.new_full((cols,), low)

    def _scores(self, tile_RC: Tensor, beside: Tensor | None = None) -> Tensor:
        """The scores, in place of the tile or beside it."""
        if beside is not None:
            score_RC = torch.mul(tile_RC, self.times, out=beside)
        else:
            score_RC = tile_RC if self.times == 1 else tile_RC.mul_(self.times)
        score_RC = score_RC if self.score_of is None else self.score_of(score_RC)
        return score_RC.sub_(self.shift) if self.shift else score_RC

    def reduce(self, tile_RC: Tensor, tile: Tile) -> None:
        """Add the tile's exponentials to its rows, and to its columns where they are wanted."""
        score_RC = self._scores(tile_RC)
        columns_too = tile.mirrored or self.both
        if self.shift is not None:
            tile.bar(score_RC.exp_(), 0)
            self.row_sum[tile.rows] += score_RC.sum(dim=1)
            if columns_too:
                self.col_sum[tile.cols] += score_RC.sum(dim=0)
            return
        tile.bar(score_RC, torch.finfo(score_RC.dtype).min / 4)
        _online(self.row_max[tile.rows], self.row_sum[tile.rows], score_RC, tile, 1)
        if columns_too:
            _online(self.col_max[tile.cols], self.col_sum[tile.cols], score_RC, tile, 0)

    def results(self) -> tuple[Tensor, ...]:
        """Rows; and columns where the matrix is not symmetric."""
        if self.shift is not None:
            rows, cols = self.row_sum.log() + self.shift, self.col_sum.log() + self.shift
        else:
            rows, cols = self.row_sum.log() + self.row_max, self.col_sum.log() + self.col_max
        return (rows, cols) if self.both else (rows,)

    def prepare(self, grads: tuple[Tensor, ...]) -> None:
        """Weights of exp(score): gradient over sum. An empty sum has no slope."""
        safe = self.shift is not None
        row_grad = grads[0]
        col_grad = grads[1] if self.both else row_grad
        self.row_weight, self.row_log = self._weights(row_grad, self.row_sum, None if safe else self.row_max)
        self.col_weight, self.col_log = self.row_weight, self.row_log
        if self.both:
            self.col_weight, self.col_log = self._weights(col_grad, self.col_sum, None if safe else self.col_max)

    def _weights(self, grad: Tensor, total: Tensor, maximum: Tensor | None) -> tuple[Tensor, Tensor]:
        grad = grad if self.factor == 1 else grad * self.factor
        if maximum is None:
            return torch.where(total > 0, grad / total, 0), total
        return torch.where(total > 0, grad, 0), torch.where(total > 0, total.log() + maximum, 0)

    def _beside(self, place: int, tile_RC: Tensor, tile: Tile) -> Tensor:
        # used for all tiles in turn: fresh memory of this size costs more than what is computed in it
        size, at = tile_RC.numel(), (tile.lane, place)
        if at not in self._places or self._places[at].numel() < size:
            self._places[at] = tile_RC.new_empty(size)
        return self._places[at][:size].view_as(tile_RC)

    def slope(self, tile_RC: Tensor, tile: Tile, kept: bool) -> Tensor:
        """The softmax weights of this tile times the gradients of the rows and columns they belong to."""
        columns_too = tile.mirrored or self.both
        rows = self.row_weight[tile.rows, None]
        cols = self.col_weight[None, tile.cols] if columns_too else rows
        weights = rows
        if columns_too and (kept or self.shift is not None):
            weights = torch.add(rows, cols, out=self._beside(0, tile_RC, tile))
        if kept:
            return torch.mul(tile_RC, weights, out=self._beside(0, tile_RC, tile))
        chain = None if self.slope_of is None else self.slope_of(tile_RC)
        distance_RC = tile_RC if self.metric == "euclidean" else None
        score_RC = self._scores(tile_RC, None if distance_RC is None else self._beside(1, tile_RC, tile))
        if self.shift is not None:
            out_RC = score_RC.exp_().mul_(weights)
        else:
            # barred scores may lie above the row's logarithm: taken down before exp, out after it
            tile.bar(score_RC, 0)
            out_RC = (score_RC - self.row_log[tile.rows, None]).clamp_max_(0).exp_().mul_(rows)
            if columns_too:
                out_RC.addcmul_((score_RC - self.col_log[None, tile.cols]).clamp_max_(0).exp_(), cols)
        if chain is not None:
            out_RC.mul_(chain)
        if distance_RC is not None:
            out_RC.div_(without_zero(distance_RC))
        tile.bar(out_RC, 0)
        return out_RC


def _online(maximum: Tensor, total: Tensor, score_RC: Tensor, tile: Tile, dim: int) -> None:
    # exp(-inf) is six times slower than exp of a number, so what is barred goes in as a number and comes out as zero
    higher = torch.maximum(maximum, score_RC.amax(dim=dim))
    shifted_RC = score_RC - higher.unsqueeze(dim)
    tile.bar(shifted_RC, 0)
    shifted_RC.exp_()
    tile.bar(shifted_RC, 0)
    total.mul_((maximum - higher).exp_()).add_(shifted_RC.sum(dim=dim))
    maximum.copy_(higher)


class PairSum(SumRule):
    """Sum of value(metric) over all ordered pairs (i, j) of one kind, each unordered pair of a symmetric matrix twice.

    Args:
        value, slope: elementwise function of the metric and its derivative (by the squared distance for ``squared`` and
            ``euclidean``).
    """

    def __init__(self, like: Tensor, *, over: str, metric: str, value: Elementwise, slope: Elementwise) -> None:
        super().__init__(like)
        self.over, self.metric, self.value_of, self.slope_of = over, metric, value, slope

    def reduce(self, tile_RC: Tensor, tile: Tile) -> None:
        """Add the tile's values; a mirrored tile counts twice."""
        value_RC = self.value_of(tile_RC)
        tile.bar(value_RC, 0)
        self.count(value_RC.sum() * (2 if tile.mirrored else 1), tile)

    def slope(self, tile_RC: Tensor, tile: Tile, kept: bool) -> Tensor:
        """Slope of the sum by each entry of the tile."""
        out_RC = self.slope_of(tile_RC)
        tile.bar(out_RC, 0)
        return out_RC.mul_(2) if tile.mirrored else out_RC


class HingeSum(SumRule):
    """Sum of max(0, m - ||x - y||²) over all ordered pairs of different classes; the margin m is the scale."""

    metric = "hinge"

    def reduce(self, tile_RC: Tensor, tile: Tile) -> None:
        """Add the tile; a mirrored one counts twice."""
        tile.bar(tile_RC, 0)
        self.count(tile_RC.sum() * (2 if tile.mirrored else 1), tile)

    def slope(self, tile_RC: Tensor, tile: Tile, kept: bool) -> Tensor:
        """-1 (mirrored -2) by the squared distance where the margin is not reached."""
        return tile_RC.sign_().mul_(-2 if tile.mirrored else -1)


def pair_logsumexp(
    x: Tensor,
    y: Tensor | None,
    layout: Pairs,
    *,
    over: str,
    scale: float = 1.0,
    bound: Bound = None,
    metric: str = "dot",
    both: bool = False,
    score: Elementwise | None = None,
    slope: Elementwise | None = None,
) -> tuple[Tensor, Tensor]:
    """Per row (and with ``both`` per column) log-sum-exp over positives or negatives, in the order given.

    ``bound`` is the largest |score| that can occur, or the lowest and the highest score; where None and ``score`` is
    None it is read from the norms (CPU).
    """
    if bound is None and score is None and x.device.type == "cpu":
        if metric == "dot":
            bound = largest_dot(x, y, scale)
        else:
            largest = _largest_norm(x)
            farthest = largest + (largest if y is None else _largest_norm(y))
            reach = scale * farthest ** (2 if metric == "squared" else 1)
            bound = (min(reach, 0.0), max(reach, 0.0))
    shift = fixed_shift(bound)
    rule = LogSumExp(layout, x, over=over, shift=shift, both=both, metric=metric, scale=scale, score=score, slope=slope)
    results = run_tiles(x, y, layout, rule, 1.0 if metric == "euclidean" else scale)
    rows = unsort(results[0], layout.row_order)
    return rows, unsort(results[1], layout.col_order) if rule.both else rows


def _largest_norm(x: Tensor) -> float:
    return float(torch.linalg.vector_norm(x.detach(), dim=1).amax()) if len(x) else 0.0


def largest_dot(x: Tensor, y: Tensor | None, scale: float) -> float:
    """A bound on |scale · x·y|, read from the norms."""
    largest = _largest_norm(x)
    return abs(scale) * largest * (largest if y is None else _largest_norm(y))


def unsort(values: Tensor, order: Tensor | None) -> Tensor:
    """From the layout's order back to the one given."""
    return values if order is None else torch.empty_like(values).index_copy(0, order, values)


def pair_sum(
    x: Tensor,
    y: Tensor | None,
    layout: Pairs,
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


def squared_hinge_sum(x: Tensor, y: Tensor | None, layout: Pairs, margin: float) -> Tensor:
    """Sum of max(0, margin - squared distance) over all ordered pairs of different classes."""
    total: Tensor = run_tiles(x, y, layout, HingeSum(x), margin)[0]
    return total.to(x.dtype)
