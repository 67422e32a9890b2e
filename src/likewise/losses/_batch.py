"""A labelled batch as rows against columns: what every label-based loss starts from.

Rows are this rank's samples; columns are the samples of all ranks, and of a memory if one is given. Without either,
both are the same tensor and the engine needs only the upper triangle. Positives of a row: the columns with its
label, itself left out. Nothing of size N × N, no mask: sums over a class are products with the class sum. A batch that
is small is the exception (``Whole``): there a mask is quicker than sorting.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from likewise.errors import LossInputError
from likewise.losses._checks import check_embeddings, check_labels, may_look
from likewise.losses._classes import Classes, class_dots, squared_to_means, squared_to_rows
from likewise.losses._gather import Group, combine, gather
from likewise.losses._layout import Layout
from likewise.losses._rules import Bound, Elementwise, pair_logsumexp
from likewise.losses._space import row_dots
from likewise.losses._unit import unit
from likewise.losses._whole import Pairs, Whole, is_small

Memory = tuple[Tensor, Tensor] | None


class LabelledBatch:
    """Rows, columns and labels of one call.

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
        least = min_rows if group is None else 0
        x = check_embeddings("embeddings", embeddings, min_rows=least, values=not normalize)
        self.labels = self._col_labels = check_labels(labels, x.shape[0])
        self.rows = unit(x, "embeddings") if normalize else x
        self.group, self._tile_size = group, tile_size
        self.columns: Tensor | None = None
        self._start = 0
        if group is None and memory is None:
            return
        columns, start = gather(self.rows, group)
        col_labels, _ = gather(self.labels, group)
        ids = torch.arange(len(columns), device=x.device)
        if memory is not None:
            kept = check_embeddings("memory", memory[0].detach(), min_rows=0, values=not normalize).to(x.dtype)
            if kept.shape[1] != x.shape[1]:
                raise LossInputError(
                    f"memory has width {kept.shape[1]} and embeddings {x.shape[1]}.",
                    expected="Expected the same width.",
                    advice="Empty the memory when the head changes.",
                )
            col_labels = torch.cat([col_labels, check_labels(memory[1], len(kept), name="memory labels")])
            columns = torch.cat([columns, unit(kept, "memory") if normalize else kept])
            ids = torch.cat([ids, torch.full((len(kept),), -1, device=x.device)])
            if only_memory:
                n = len(columns) - len(kept)
                columns, col_labels, ids = columns[n:].detach(), col_labels[n:], ids[n:]
        self.columns, self._start, self._col_labels, self._ids = columns, start, col_labels, ids

    def own_columns(self) -> Tensor:
        """(N,) int64: the place of each row among the columns."""
        return torch.arange(self._start, self._start + len(self.rows), device=self.rows.device)

    @functools.cached_property
    def layout(self) -> Layout:
        """Rows and columns by label."""
        own = self.own_columns()
        if self.columns is None:
            return Layout(self.labels, row_ids=own, tile_size=self._tile_size)
        return Layout(self.labels, self._col_labels, row_ids=own, col_ids=self._ids, tile_size=self._tile_size)

    @functools.cached_property
    def pairs(self) -> Pairs:
        """What the engine walks over: the layout, or the whole of a small batch."""
        return self.layout if self._whole is None else self._whole

    @functools.cached_property
    def _whole(self) -> Whole | None:
        if not is_small(len(self.rows), len(self._col_labels), self._tile_size):
            return None
        same = self.labels[:, None] == self._col_labels
        if self.columns is None:
            return Whole(same, symmetric=True)
        return Whole(same, selves_RC=self.own_columns()[:, None] == self._ids, symmetric=False)

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
        if self._whole is not None:
            same = self._whole.same.sum(dim=1, dtype=self.rows.dtype)
        else:
            ordered = self.layout.col_labels
            found = torch.searchsorted(ordered, self.labels, right=True) - torch.searchsorted(ordered, self.labels)
            same = found.to(self.rows.dtype)
        return same - 1, len(self._col_labels) - same

    def positive_dots(self, *, with_self: bool = False) -> Tensor:
        """Per row the sum of dot products with its positives: one product with the class sum."""
        if self._whole is not None:
            counted = self._whole.same if with_self else self._whole.positive
            return row_dots(self.rows, counted.to(self.rows.dtype) @ self.all_columns)
        total = class_dots(self.rows, self.columns, Classes(self.layout, self.labels))
        return total if with_self else total - row_dots(self.rows, self.rows)

    def squared_to_means(self) -> Tensor:
        """Per row the squared distance to the mean of its class, which is a constant for the gradient."""
        if self._whole is not None:
            same = self._whole.same.to(self.rows.dtype)
            means = (same @ self.all_columns.detach()).div_(same.sum(dim=1, keepdim=True))
            return squared_to_rows(self.rows, means)
        return squared_to_means(self.rows, self.all_columns, Classes(self.layout, self.labels))

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
            self.pairs,
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
        whole = self._whole
        if whole is not None:
            barred = whole.same & (whole.same.sum(dim=1, keepdim=True) <= 2)
            barred = barred if whole.selves is None else barred | whole.selves
            others = Whole(barred, selves_RC=whole.selves, symmetric=whole.symmetric)
            return pair_logsumexp(self.rows, self.columns, others, over="negative", scale=scale, bound=bound)[0]
        labels, order = self.layout.col_labels, self.layout.col_order
        place = torch.arange(len(labels), device=labels.device)
        first = torch.searchsorted(labels, labels)
        lone = torch.searchsorted(labels, labels, right=True) - first <= 2
        codes = torch.where(lone, first, place)
        if order is not None:
            codes = torch.empty_like(codes).index_copy(0, order, codes)
        size = self.layout.tile_size
        mine, every = (codes, None) if self.columns is None else (codes[self.own_columns()], codes)
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
                f"labels hold no positive pair: {len(self._col_labels)} row(s), all of different classes.",
                expected="Expected at least two rows of one class.",
                advice="Draw batches with several images of each class (P × K sampling).",
            )
