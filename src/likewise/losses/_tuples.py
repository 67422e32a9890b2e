"""Given tuples: the triplets or pairs of a batch by index, as a miner finds them, and the distances of such pairs.

Anchors count the rows of this rank. Positives and negatives count the columns: the rows of all ranks in rank order, then
the rows of a memory. With one process and no memory all three count the batch. A plain tuple of three index tensors is
taken as triplets and one of four as pairs, which is how pytorch-metric-learning's miners hand them out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from likewise.errors import LossInputError
from likewise.losses._batch import LabelledBatch
from likewise.losses._checks import may_look
from likewise.losses._space import without_zero
from likewise.losses._strips import strip_entries


class Triplets(NamedTuple):
    """Index triplets, three (T,) int64 tensors: an anchor, one of its class, one of another class."""

    anchors: Tensor
    positives: Tensor
    negatives: Tensor


class Pairs(NamedTuple):
    """Index pairs, (P,) int64 anchors with their positives and (Q,) anchors with their negatives."""

    anchors: Tensor
    positives: Tensor
    negative_anchors: Tensor
    negatives: Tensor


Tuples = Triplets | Pairs | tuple[Tensor, ...] | None


def check_triplets(tuples: tuple[Tensor, ...], batch: LabelledBatch) -> Triplets:
    """The triplets, within the batch. Pairs are refused: joined by anchor they would be cubically many."""
    found = _checked(tuples, batch)
    if isinstance(found, Pairs):
        raise LossInputError(
            "tuples holds pairs (four tensors).",
            expected="Expected triplets: three tensors of anchors, positives and negatives.",
            advice="Take a miner that gives triplets (all, hard, semihard, distance_weighted, easy_positive).",
        )
    return found


def check_pairs(tuples: tuple[Tensor, ...], batch: LabelledBatch) -> Pairs:
    """The pairs, within the batch. A triplet is a positive and a negative pair; pairs met twice count twice."""
    found = _checked(tuples, batch)
    if isinstance(found, Triplets):
        return Pairs(found.anchors, found.positives, found.anchors, found.negatives)
    return found


def _checked(tuples: tuple[Tensor, ...], batch: LabelledBatch) -> Triplets | Pairs:
    if not isinstance(tuples, tuple) or len(tuples) not in (3, 4):
        raise LossInputError(
            f"tuples is a {type(tuples).__name__}{f' of {len(tuples)}' if isinstance(tuples, tuple | list) else ''}.",
            expected="Expected three index tensors (triplets) or four (pairs).",
            advice="Pass what a miner returned: likewise.losses.find_miner('hard')(embeddings, labels).",
        )
    found = Triplets(*tuples) if len(tuples) == 3 else Pairs(*tuples)
    together = ((0, 1, 2),) if len(tuples) == 3 else ((0, 1), (2, 3))
    for group in together:
        for number in group:
            _check_index(found, number, len(found[group[0]]), batch)
    return found


def _check_index(found: Triplets | Pairs, number: int, length: int, batch: LabelledBatch) -> None:
    name, index = found._fields[number], found[number]
    if not isinstance(index, Tensor) or index.dtype != torch.int64 or index.shape != (length,):
        got = f"{index.dtype} of shape {tuple(index.shape)}" if isinstance(index, Tensor) else type(index).__name__
        raise LossInputError(
            f"tuples has {name} as {got}.",
            expected=f"Expected int64 of shape ({length},): as many as there are anchors.",
            advice="Pass what a miner returned.",
        )
    bound = len(batch.rows) if name.endswith("anchors") else len(batch.all_columns)
    if may_look(index) and length and not (int(index.min()) >= 0 and int(index.max()) < bound):
        raise LossInputError(
            f"tuples has {name} from {int(index.min())} to {int(index.max())}.",
            expected=f"Expected places in the batch, 0 to {bound - 1}.",
            advice="Mine on the same batch, group and memory that the loss gets.",
        )


class _Measure(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor | None, i: Tensor, j: Tensor, metric: str) -> Tensor:
        ctx.metric = metric
        other = (x if y is None else y).detach()
        out = x.new_empty(len(i))
        for part in _parts(len(i), x.shape[1], x.device):
            a, b = x.detach().index_select(0, i[part]), other.index_select(0, j[part])
            # linalg.vecdot would make a matrix product of each pair of it, thirty times slower on the CPU
            torch.sum(a.mul_(b) if metric == "dot" else a.sub_(b).square_(), dim=1, out=out[part])
        if metric == "euclidean":
            out.sqrt_()
        ctx.save_for_backward(x, y, i, j, out if metric == "euclidean" else None)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, y, i, j, distance = ctx.saved_tensors
        # rows that lie together move each other not
        g_N = grads[0] if distance is None else grads[0] / (2 * without_zero(distance.clone()))
        dx = torch.zeros_like(x)
        other, dy = (x, dx) if y is None else (y, torch.zeros_like(y))
        for part in _parts(len(i), x.shape[1], x.device):
            a, b, g = x.index_select(0, i[part]), other.index_select(0, j[part]), g_N[part, None]
            if ctx.metric == "dot":
                dx.index_add_(0, i[part], g * b)
                dy.index_add_(0, j[part], g * a)
                continue
            apart = a.sub_(b).mul_(2 * g)
            dx.index_add_(0, i[part], apart)
            dy.index_add_(0, j[part], apart, alpha=-1)
        return dx, None if y is None else dy, None, None, None


def _parts(count: int, width: int, device: torch.device) -> list[slice]:
    step = max(1, strip_entries(device) // width)
    return [slice(k, min(k + step, count)) for k in range(0, count, step)]


def measure(x: Tensor, y: Tensor | None, i: Tensor, j: Tensor, *, metric: str) -> Tensor:
    """(P,) ``dot``, ``squared`` or ``euclidean`` of rows i of x and j of y (None: of x); nothing of size P × D is kept."""
    values: Tensor = _Measure.apply(x, y, i, j, metric)  # type: ignore[no-untyped-call]
    return values


def measure_pairs(batch: LabelledBatch, rows: Tensor, columns: Tensor, metric: str) -> Tensor:
    """(P,) ``dot``, ``squared`` or ``euclidean`` of given pairs of a row and a column."""
    return measure(batch.rows, batch.columns, rows, columns, metric=metric)


def logsumexp_by_row(values: Tensor, rows: Tensor, count: int) -> Tensor:
    """(count,) log-sum-exp of the values that belong to each row; -inf over none."""
    top = values.new_full((count,), -torch.inf).scatter_reduce(0, rows, values.detach(), "amax")
    shift = torch.where(torch.isinf(top), 0, top)
    total = values.new_zeros(count).index_add(0, rows, (values - shift[rows]).exp())
    some = total > 0
    return torch.where(some, torch.where(some, total, 1).log() + shift, -torch.inf)
