"""Sums over the positive pairs alone: rows sorted by label meet a narrow run of columns, N²/K entries for K classes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from likewise.losses._batch import LabelledBatch
from likewise.losses._strips import euclidean, squared_distances, strip_entries, strip_sum

# value(metric (B, C), row values (B, 1), column values (1, C)) -> (B, C)
PairValue = Callable[[Tensor, Tensor, Tensor], Tensor]


def sum_over_positives(
    batch: LabelledBatch, value: PairValue, *, metric: str, row_values: Tensor, col_values: Tensor | None = None
) -> Tensor:
    """Sum of value over the ordered pairs (row, its positive column); differentiable in embeddings and both values.

    ``metric`` is ``dot`` or ``euclidean``; ``col_values`` None: zeros.
    """
    layout = batch.layout
    cols_first = torch.searchsorted(layout.col_labels, layout.row_labels)
    cols_last = torch.searchsorted(layout.col_labels, layout.row_labels, right=True)
    rows, own, mine = batch.rows, batch.own_columns(), row_values
    if layout.row_order is not None:
        rows, own, mine = rows[layout.row_order], own[layout.row_order], mine[layout.row_order]
    columns = batch.all_columns
    other = torch.zeros_like(columns[:, 0]) if col_values is None else col_values
    ids = torch.arange(len(columns), device=rows.device) if layout.col_order is None else layout.col_order
    if layout.col_order is not None:
        columns, other = columns[layout.col_order], other[layout.col_order]
    on_host = rows.device.type == "cpu"
    ends = (cols_first.tolist(), cols_last.tolist()) if on_host else None

    def strip(part: slice, x_BD: Tensor, y_MD: Tensor, a_N: Tensor, b_M: Tensor) -> Tensor:
        run = slice(0, len(y_MD)) if ends is None else slice(ends[0][part.start], ends[1][part.stop - 1])
        y_CD = y_MD[run]
        place_C = torch.arange(run.start, run.stop, device=x_BD.device)
        used_BC = (place_C >= cols_first[part, None]) & (place_C < cols_last[part, None])
        used_BC &= ids[run] != own[part, None]
        m_BC = x_BD @ y_CD.T if metric == "dot" else euclidean(squared_distances(x_BD, y_CD))
        return torch.where(used_BC, value(m_BC, a_N[part, None], b_M[None, run]), 0).sum()

    widest = int((cols_last - cols_first).max()) if on_host and len(rows) else len(columns)
    step = max(1, strip_entries(rows.device) // max(widest, 1))
    step = min(256, step) if on_host else step
    return strip_sum(strip, rows, columns, mine, other, columns=widest, tile_size=step)
