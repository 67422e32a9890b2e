"""What holds for every loss without exception."""

from __future__ import annotations

import pytest
import torch
from loss_cases import CASES, Case
from torch import Tensor

from likewise import losses
from likewise.errors import LossInputError
from likewise.losses import _tiled
from likewise.losses._table import TABLE

every = pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
tiled = pytest.mark.parametrize("case", [c for c in CASES if c.has("tile")], ids=lambda c: c.id)


def value_and_grads(case: Case, tensors: list[Tensor], **more: object) -> tuple[float, list[Tensor]]:
    leaves = [t.clone().requires_grad_(d) for t, d in zip(tensors, case.differentiable(tensors), strict=True)]
    loss = case(*leaves, **more)
    asked = [t for t in leaves if t.requires_grad]
    return float(loss.detach()), list(torch.autograd.grad(loss, asked))


def test_every_row_of_the_table_has_a_case() -> None:
    assert {row.name for row in TABLE} == {case.loss.__name__ for case in CASES}
    assert all(getattr(losses, row.name) is row.function for row in TABLE)
    assert all(getattr(losses, row.module.__name__) is row.module for row in TABLE)


@every
def test_equals_the_double_loop(case: Case) -> None:
    for n, seed in ((9, 0), (14, 1)):
        tensors = case.inputs(n, seed=seed)
        assert float(case(*tensors)) == pytest.approx(case.slow(tensors), rel=1e-11, abs=1e-13)


@every
def test_gradcheck(case: Case) -> None:
    if case.has("constants"):
        pytest.skip("weights that are constants by definition: compared with a dense form in test_constants.py")
    tensors = case.inputs(8, 3, seed=2)
    leaves = [t.requires_grad_(d) for t, d in zip(tensors, case.differentiable(tensors), strict=True)]
    more = {"tile_size": 3} if case.has("tile") else {}
    assert torch.autograd.gradcheck(lambda *args: case(*args, **more), leaves)


@tiled
@pytest.mark.parametrize("keep", [True, False], ids=["kept", "recomputed"])
def test_tiles_change_nothing(case: Case, keep: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = case.inputs(17, seed=3)
    value, grads = value_and_grads(case, tensors)  # a small batch, taken as a whole
    if not keep:
        monkeypatch.setattr(_tiled, "KEEP_ENTRIES", 0)
    for size in (1, 4, 17, 1000):
        again, others = value_and_grads(case, tensors, tile_size=size)
        assert again == pytest.approx(value, rel=1e-12)
        for a, b in zip(grads, others, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@every
@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_equal_one_process(case: Case, ranks: int, gloo) -> None:  # type: ignore[no-untyped-def]
    if not case.has("group"):
        pytest.skip("takes no group")
    from gloo_pool import embed, make_weights

    tensors = case.inputs(11, seed=4)
    weights = make_weights(tensors)
    whole = case(*embed(tensors, weights))
    whole.backward()
    parts = [[share(t, r, ranks, whole=k in case.whole) for k, t in enumerate(tensors)] for r in range(ranks)]
    tiles = {"tile_size": 4} if ranks == 3 and case.has("tile") else {}
    options = {**case.options, **tiles}
    answers = gloo.run(case=CASES.index(case), tensors=parts, options=options, ranks=ranks, sharded=None)
    for value, grads in answers:
        assert value == pytest.approx(float(whole.detach()), rel=1e-9)
        for weight, grad in zip(weights, grads, strict=True):
            if grad is not None and weight.grad is not None:
                torch.testing.assert_close(grad, weight.grad, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("case", [c for c in CASES if c.has("memory")], ids=lambda c: c.id)
def test_ranks_with_a_memory_equal_one_process(case: Case, gloo) -> None:  # type: ignore[no-untyped-def]
    from gloo_pool import embed, make_weights

    tensors, memory = case.inputs(11, seed=4), tuple(case.inputs(8, seed=12))
    weights = make_weights(tensors)
    whole = case(*embed(tensors, weights), memory=memory)
    whole.backward()
    parts = [[share(t, r, 3, whole=False) for t in tensors] for r in range(3)]
    options = {**case.options, "memory": memory, **({"tile_size": 4} if case.has("tile") else {})}
    for value, grads in gloo.run(case=CASES.index(case), tensors=parts, options=options, ranks=3, sharded=None):
        assert value == pytest.approx(float(whole.detach()), rel=1e-9)
        torch.testing.assert_close(grads[0], weights[0].grad, rtol=1e-6, atol=1e-10)


def share(tensor: Tensor, rank: int, ranks: int, whole: bool) -> Tensor:
    """Uneven shares: 7 and 4 rows of 11, or 5, none and 6. An input with fewer rows goes to the first and last rank."""
    if whole:
        return tensor
    sizes = {2: [7, 4], 3: [5, 0, 6]}[ranks] if len(tensor) == 11 else [len(tensor) - 1, *[0] * (ranks - 2), 1]
    return tensor.split(sizes)[rank]


@every
def test_permutation_of_the_batch_changes_nothing(case: Case) -> None:
    tensors = case.inputs(12, seed=5)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    moves = [len(t) == 12 and k not in case.whole for k, t in enumerate(tensors)]
    shuffled = [t[order] if m else t for t, m in zip(tensors, moves, strict=True)]
    if case.data == "matrix":
        shuffled[0] = shuffled[0][:, order]
    value, grads = value_and_grads(case, tensors)
    other, moved = value_and_grads(case, shuffled)
    assert other == pytest.approx(value, rel=1e-10)
    kept = [m for m, d in zip(moves, case.differentiable(tensors), strict=True) if d]
    for a, b, m in zip(grads, moved, kept, strict=True):
        a = a[order] if m else a
        torch.testing.assert_close(a[:, order] if case.data == "matrix" else a, b, rtol=1e-7, atol=1e-10)


def degenerate(case: Case) -> dict[str, list[Tensor]]:
    """Batches that occur in real training on a bad day."""
    made = {}
    for name, n in (("one", case.least), ("two", 2), ("five", 5)):
        made[name] = case.inputs(n, seed=6, dtype=torch.float32)
    base = case.inputs(6, seed=7, dtype=torch.float32)
    floats = [t.is_floating_point() and t.dim() == 2 and k not in case.whole for k, t in enumerate(base)]

    def each(change) -> list[Tensor]:  # type: ignore[no-untyped-def]
        return [change(t) if f else t for t, f in zip(base, floats, strict=True)]

    made["identical"] = each(torch.ones_like)
    made["zeros"] = each(torch.zeros_like)
    made["large"] = each(lambda t: t * 1e4)
    made["small"] = each(lambda t: t * 1e-4)
    made["twins"] = each(lambda t: t[torch.tensor([0, 0, 0, 1, 1, 1])[: len(t)]])
    if case.data == "labels":
        made["one class"] = [base[0], torch.zeros(6, dtype=torch.int64)]
        made["all distinct"] = [base[0], torch.arange(6)]
    return made


@every
def test_degenerate_batches_give_finite_values(case: Case) -> None:
    for name, tensors in degenerate(case).items():
        labels = tensors[1] if case.data == "labels" else None
        if case.needs_positive and labels is not None and len(labels.unique()) == len(labels):
            with pytest.raises(LossInputError, match="no positive pair"):
                case(*tensors)
            continue
        if case.data == "matrix" and name == "large":
            continue  # a matrix of similarities, not embeddings
        for more in ({}, {"tile_size": 2}) if case.has("tile") else ({},):
            value, grads = value_and_grads(case, tensors, **more)
            assert torch.isfinite(torch.tensor(value)), name
            assert all(bool(torch.isfinite(g).all()) for g in grads), name


@every
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
def test_half_precision_is_computed_in_float32(case: Case, dtype: torch.dtype) -> None:
    tensors = case.inputs(16, seed=8, dtype=dtype)
    exact = [t.double() if t.is_floating_point() else t for t in tensors]
    value, grads = value_and_grads(case, tensors)
    right, slopes = value_and_grads(case, exact)
    assert value == pytest.approx(right, rel=2e-4, abs=1e-5)
    for a, b in zip(grads, slopes, strict=True):
        assert a.dtype == dtype
        # the gradient comes back in half precision: 8 bits for bf16; entries near zero by the largest one
        torch.testing.assert_close(a.double(), b, rtol=2e-2, atol=2e-2 * float(b.abs().max()) + 1e-7)


@every
def test_bad_input_is_named(case: Case) -> None:
    tensors = case.inputs(6, seed=10, dtype=torch.float32)

    def bad(position: int, value: object, match: str) -> None:
        changed = [*tensors[:position], value, *tensors[position + 1 :]]
        with pytest.raises(LossInputError, match=match) as caught:
            case(*changed)
        assert caught.value.expected
        assert caught.value.advice

    broken = tensors[0].clone()
    broken[2, 1] = torch.nan
    bad(0, broken, "row 2")
    bad(0, tensors[0][0], "shape")
    bad(0, tensors[0].long(), "dtype")
    bad(0, [[1.0]], "list")
    if case.data in ("labels", "matrix"):
        bad(1, None, "missing")
        bad(1, tensors[1].float(), "dtype")
        bad(1, tensors[1][:-1], "shape")
    if case.data in ("views", "three sets", "given pairs"):
        bad(1, tensors[1][:-1], "shape")
    for name in ("temperature", "margin", "alpha", "t"):
        if name in case.options:
            with pytest.raises(LossInputError, match=name):
                case.loss(*tensors, **{**case.options, name: -1.0})
