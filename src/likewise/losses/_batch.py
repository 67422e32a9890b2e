"""A labelled batch as rows against columns: what every label-based loss starts from.

Rows are this rank's samples; columns are the samples of all ranks, and of a memory if one is given. Without either,
both are the same tensor and the engine needs only the upper triangle. Positives of a row: the columns with its
label, itself left out. Nothing of size N × N, no mask: sums over a class are products with the class sum.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from likewise.errors import LossInputError
from likewise.losses._checks import check_embeddings, check_labels, may_look
from likewise.losses._gather import Group, combine, gather
from likewise.losses._rules import SAFE_SCORE, Elementwise, pair_logsumexp, unsort
from likewise.losses._tiled import Layout, run_tiles
from likewise.losses._two_sums import TwoSums

Memory = tuple[Tensor, Tensor] | None


class _Unit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        # scaled by the largest entry first, so that squares neither overflow nor vanish
        largest = x.detach().abs().amax(dim=1, keepdim=True)
        usable = torch.where(largest > 0, largest, 1)
        norm = torch.linalg.vector_norm(x.detach() / usable, dim=1, keepdim=True) * usable
        inverse = torch.where(largest > 0, 1 / torch.where(largest > 0, norm, 1), 0)
        u = x.detach() * inverse
        ctx.save_for_backward(u, inverse)
        return u

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        u, inverse = ctx.saved_tensors
        along = torch.linalg.vecdot(u, grads[0]).unsqueeze(1)
        return torch.addcmul(grads[0], u, along, value=-1).mul_(inverse)


def unit(x: Tensor) -> Tensor:
    """Rows at length 1. A row of zeros stays zero and gets no gradient."""
    u: Tensor = _Unit.apply(x)  # type: ignore[no-untyped-call]
    return u


def class_sums(columns: Tensor, layout: Layout, labels: Tensor) -> Tensor:
    """Per row the sum of the columns that have its label, (N, D)."""
    ordered, order = layout.col_labels, layout.col_order
    steps = (ordered[1:] != ordered[:-1]).long()
    number = torch.cat([steps.new_zeros(min(len(ordered), 1)), steps.cumsum(0)])
    sums = torch.zeros_like(columns).index_add(0, number, columns if order is None else columns[order])
    return sums[number[torch.searchsorted(ordered, labels)]]


class LabelledBatch:
    """Rows, columns, labels and the layout of one call.

    Args:
        embeddings: (N, D) float of this rank.
        labels: (N,) integers.
        normalize: rows at length 1 (cosine losses).
        group: ranks that hold the rest of the batch.
        memory: ((M, D), (M,)) further columns without gradient, the same on every rank.
        tile_size: side of a tile; None: by size.
        only_memory: the columns are the memory alone, without the batch.
    """

    def __init__(
        self,
        embeddings: Tensor,
        labels: Tensor,
        *,
        normalize: bool,
        group: Group = None,
        memory: Memory = None,
        tile_size: int | None = None,
        min_rows: int = 1,
        only_memory: bool = False,
    ) -> None:
        x = check_embeddings("embeddings", embeddings, min_rows=min_rows if group is None else 0)
        self.labels = check_labels(labels, x.shape[0])
        self.rows = unit(x) if normalize else x
        self.group = group
        self.columns: Tensor | None = None
        place = torch.arange(len(x), device=x.device)
        if group is None and memory is None:
            self._own = place
            self.layout = Layout(self.labels, row_ids=place, tile_size=tile_size)
            return
        columns, start = gather(self.rows, group)
        col_labels, _ = gather(self.labels, group)
        ids = torch.arange(len(columns), device=x.device)
        if memory is not None:
            kept = check_embeddings("memory", memory[0].detach(), min_rows=0).to(x.dtype)
            if kept.shape[1] != x.shape[1]:
                raise LossInputError(
                    f"memory has width {kept.shape[1]} and embeddings {x.shape[1]}.",
                    expected="Expected the same width.",
                    advice="Empty the memory when the head changes.",
                )
            col_labels = torch.cat([col_labels, check_labels(memory[1], len(kept), name="memory labels")])
            columns = torch.cat([columns, unit(kept) if normalize else kept])
            ids = torch.cat([ids, torch.full((len(kept),), -1, device=x.device)])
            if only_memory:
                n = len(columns) - len(kept)
                columns, col_labels, ids = columns[n:].detach(), col_labels[n:], ids[n:]
        self.columns = columns
        self._own = place + start
        self.layout = Layout(self.labels, col_labels, row_ids=place + start, col_ids=ids, tile_size=tile_size)

    def own_columns(self) -> Tensor:
        """(N,) int64: the place of each row among the columns."""
        return self._own

    @property
    def all_columns(self) -> Tensor:
        """The columns, whether or not they are the rows themselves."""
        return self.rows if self.columns is None else self.columns

    def counts(self) -> tuple[Tensor, Tensor]:
        """Positives and negatives of each row, in the row dtype."""
        ordered = self.layout.col_labels
        same = torch.searchsorted(ordered, self.labels, right=True) - torch.searchsorted(ordered, self.labels)
        return (same - 1).to(self.rows.dtype), (len(ordered) - same).to(self.rows.dtype)

    def positive_dots(self, *, with_self: bool = False) -> Tensor:
        """Per row the sum of dot products with its positives: one product with the class sum."""
        total: Tensor = torch.linalg.vecdot(self.rows, class_sums(self.all_columns, self.layout, self.labels))
        return total if with_self else total - self.rows.pow(2).sum(dim=1)

    def logsumexp(
        self,
        over: str,
        *,
        scale: float = 1.0,
        bound: float | None = None,
        metric: str = "dot",
        with_self: bool = False,
        score: Elementwise | None = None,
        slope: Elementwise | None = None,
    ) -> Tensor:
        """Per row the log-sum-exp over its ``negative`` or ``positive`` columns; -inf over none."""
        rows, _ = pair_logsumexp(
            self.rows,
            self.columns,
            self.layout,
            over=over,
            scale=scale,
            bound=bound,
            metric=metric,
            with_self=with_self,
            score=score,
            slope=slope,
        )
        return rows

    def two_logsumexps(self, scale: float, bound: float | None, *, with_self: bool = False) -> tuple[Tensor, Tensor]:
        """Per row the log-sum-exp of scale · dot over its positives, and over its negatives."""
        if bound is not None and bound <= SAFE_SCORE:
            rule = TwoSums(self.layout, self.rows, with_self=with_self)
            pull, push = run_tiles(self.rows, self.columns, self.layout, rule, scale)
            return unsort(pull, self.layout.row_order), unsort(push, self.layout.row_order)
        pull = self.logsumexp("positive", scale=scale, bound=bound, with_self=with_self)
        return pull, self.logsumexp("negative", scale=scale, bound=bound)

    def mean(self, per_row: Tensor, use: Tensor | None = None) -> Tensor:
        """Mean over the rows of all ranks that are in use."""
        chosen = torch.ones_like(per_row, dtype=torch.bool) if use is None else use
        count = combine(chosen.sum().to(per_row.dtype), self.group)
        return combine(torch.where(chosen, per_row, 0).sum(), self.group) / count.clamp_min(1)

    def require_positives(self, positives: Tensor) -> None:
        """Raise where no row of any rank has a positive (on the CPU; on CUDA the mean over no rows is 0)."""
        total = combine(positives.detach().sum(), self.group)
        if may_look(total) and float(total) == 0:
            raise LossInputError(
                f"labels hold no positive pair: {len(self.layout.col_labels)} row(s), all of different classes.",
                expected="Expected at least two rows of one class.",
                advice="Draw batches with several images of each class (P × K sampling).",
            )


def class_means(batch: LabelledBatch) -> tuple[Tensor, Tensor]:
    """Per row the mean of its class, without gradient, and how many members the class has."""
    number = batch.counts()[0] + 1
    return class_sums(batch.all_columns.detach(), batch.layout, batch.labels) / number[:, None], number
