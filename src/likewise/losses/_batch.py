"""A labelled batch as rows against columns: what every label-based loss starts from.

Rows are this rank's samples; columns are the samples of all ranks, and of a memory if one is given. Without either,
both are the same tensor and the engine needs only the upper triangle. Positives of a row: the columns with its
label, itself left out. Nothing of size N × N, no mask: sums over a class are products with the class sum.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from likewise.errors import LossInputError
from likewise.losses._checks import check_embeddings, check_labels, may_look
from likewise.losses._classes import Classes, class_dots
from likewise.losses._gather import Group, combine, gather
from likewise.losses._layout import Layout
from likewise.losses._rules import Bound, Elementwise, pair_logsumexp
from likewise.losses._space import row_dots, row_parts

Memory = tuple[Tensor, Tensor] | None


def _inverse_norms(rows: Tensor) -> Tensor:
    """(R, 1), 0 for a row of zeros."""
    norm = rows.square().sum(dim=1, keepdim=True).sqrt_()
    if may_look(rows) and len(rows):
        low, high = torch.aminmax(norm)
        if float(low) > 1e-12 and float(high) < 1e12:
            return norm.reciprocal_()
    # scaled by the largest entry first, so that squares neither overflow nor vanish
    largest = rows.abs().amax(dim=1, keepdim=True)
    usable = torch.where(largest > 0, largest, 1)
    norm = torch.linalg.vector_norm(rows / usable, dim=1, keepdim=True) * usable
    return torch.where(largest > 0, 1 / torch.where(largest > 0, norm, 1), 0)


class _Unit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        inverse = x.new_empty(len(x), 1)
        out = torch.empty_like(x)
        for part in row_parts(x):
            rows = x.detach()[part]
            inverse[part] = _inverse_norms(rows)
            torch.mul(rows, inverse[part], out=out[part])
        ctx.save_for_backward(x, inverse)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        x, inverse = ctx.saved_tensors
        out = torch.empty_like(grads[0])
        for part in row_parts(x):
            rows, grad = x[part] * inverse[part], grads[0][part]
            torch.addcmul(grad, rows, (rows * grad).sum(dim=1, keepdim=True), value=-1, out=out[part]).mul_(
                inverse[part]
            )
        return out


def unit(x: Tensor) -> Tensor:
    """Rows at length 1. A row of zeros stays zero and gets no gradient."""
    u: Tensor = _Unit.apply(x)  # type: ignore[no-untyped-call]
    return u


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

    @functools.cached_property
    def centered(self) -> tuple[Tensor, Tensor | None]:
        """Rows and columns around the mean of the columns: distances do not notice, and fewer digits are lost."""
        if not len(self.all_columns):
            return self.rows, self.columns
        center = self.all_columns.detach().mean(dim=0)
        return self.rows - center, None if self.columns is None else self.columns - center

    def counts(self) -> tuple[Tensor, Tensor]:
        """Positives and negatives of each row, in the row dtype."""
        ordered = self.layout.col_labels
        same = torch.searchsorted(ordered, self.labels, right=True) - torch.searchsorted(ordered, self.labels)
        return (same - 1).to(self.rows.dtype), (len(ordered) - same).to(self.rows.dtype)

    def positive_dots(self, *, with_self: bool = False) -> Tensor:
        """Per row the sum of dot products with its positives: one product with the class sum."""
        total = class_dots(self.rows, self.columns, Classes(self.layout, self.labels))
        return total if with_self else total - row_dots(self.rows, self.rows)

    def logsumexp(
        self,
        over: str,
        *,
        scale: float = 1.0,
        bound: Bound = None,
        metric: str = "dot",
        score: Elementwise | None = None,
        slope: Elementwise | None = None,
    ) -> Tensor:
        """Per row the log-sum-exp over its ``negative`` or ``positive`` columns; -inf over none."""
        rows, columns = (self.rows, self.columns) if metric == "dot" else self.centered
        per_row, _ = pair_logsumexp(
            rows,
            columns,
            self.layout,
            over=over,
            scale=scale,
            bound=bound,
            metric=metric,
            score=score,
            slope=slope,
        )
        return per_row

    def logsumexp_others(self, scale: float, bound: Bound) -> Tensor:
        """Per row the log-sum-exp over all other columns, but without the positive of a row that has only one.

        That one the caller adds inside a softplus: there alone can a loss come near 0, and digits would be lost.
        """
        labels, order = self.layout.col_labels, self.layout.col_order
        place = torch.arange(len(labels), device=labels.device)
        first = torch.searchsorted(labels, labels)
        lone = torch.searchsorted(labels, labels, right=True) - first <= 2
        codes = torch.where(lone, first, place)
        if order is not None:
            codes = torch.empty_like(codes).index_copy(0, order, codes)
        size = self.layout.tile_size
        mine, every = (codes, None) if self.columns is None else (codes[self._own], codes)
        layout = Layout(mine, every, tile_size=size)
        return pair_logsumexp(self.rows, self.columns, layout, over="negative", scale=scale, bound=bound)[0]

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
