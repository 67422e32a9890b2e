"""What single losses promise: closed forms, digits, memory, several positives, learned temperatures, memory columns."""

from __future__ import annotations

import functools
from math import log, log1p

import pytest
import torch
from loss_cases import CASES, Case
from naive_softmax import clip
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from likewise import losses
from likewise.errors import LossInputError
from likewise.losses import _lanes


@pytest.mark.parametrize("pairs", [1, 3, 600])
@pytest.mark.parametrize("temperature", [0.5, 0.01])
def test_identical_embeddings_give_the_logarithm_of_the_choices(pairs: int, temperature: float) -> None:
    x = torch.full((pairs, 8), 0.3)
    labels = torch.arange(pairs).repeat(2)
    twice = torch.cat([x, x])
    rounding = 3e-7 / temperature  # of a cosine in float32
    right = pytest.approx(log(2 * pairs - 1), rel=1e-6, abs=rounding)
    assert float(losses.nt_xent_loss(x, x, temperature=temperature)) == right
    assert float(losses.supcon_loss(twice, labels, temperature=temperature)) == right
    right = pytest.approx(log(pairs), rel=1e-6, abs=rounding)
    assert float(losses.info_nce_loss(x, x, temperature=temperature)) == right


def test_a_loss_near_zero_keeps_its_digits() -> None:
    """Partners equal, all else orthogonal, t = 0.01 in float32: (2N - 2) exp(-100), where a subtraction gives 0."""
    x = torch.eye(4)
    right = log1p(6 * torch.tensor(-100.0, dtype=torch.float64).exp().item())
    labels = torch.arange(4).repeat(2)
    for value in (
        losses.nt_xent_loss(x, x, temperature=0.01),
        losses.supcon_loss(torch.cat([x, x]), labels, temperature=0.01),
        losses.supcon_loss(torch.cat([x, x]), labels, temperature=0.01, variant="in"),
    ):
        # float32 has no number below 1e-38 with all digits; exp(-100) is 3.7e-44, exp(-50) is fine
        assert float(value) == pytest.approx(right, rel=0.2)
    assert float(losses.nt_xent_loss(x, x, temperature=0.02)) == pytest.approx(6 * 1.9287498479639178e-22, rel=1e-4)


def test_nt_xent_splits_exactly() -> None:
    a, b = (torch.randn(9, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    pull, spread = losses.nt_xent_decomposition(a, b, temperature=0.3)
    whole = 0.3 * losses.nt_xent_loss(a, b, temperature=0.3)
    assert float((pull + spread - whole).detach()) == pytest.approx(0, abs=1e-14)
    for one, two in zip(torch.autograd.grad(pull + spread, [a, b]), torch.autograd.grad(whole, [a, b]), strict=True):
        torch.testing.assert_close(one, two)


def test_clip_with_several_positives_and_a_learned_temperature() -> None:
    g = torch.Generator().manual_seed(0)
    a, b = (torch.randn(11, 4, generator=g, dtype=torch.float64, requires_grad=True) for _ in range(2))
    ids = torch.randint(0, 5, (11,), generator=g)
    t = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
    value = losses.clip_loss(a, b, temperature=t, positives=ids, tile_size=4)
    slow = clip(a.detach().numpy(), b.detach().numpy(), temperature=0.2, positives=ids.numpy())
    assert float(value.detach()) == pytest.approx(slow, rel=1e-11)
    for size in (3, 50):
        assert torch.autograd.gradcheck(
            lambda a, b, t, s=size: losses.clip_loss(a, b, temperature=t, positives=ids, tile_size=s), (a, b, t)
        )
        assert torch.autograd.gradcheck(lambda a, b, t, s=size: losses.clip_loss(a, b, temperature=t), (a, b, t))


def test_ids_of_equal_texts_change_the_sigmoid_but_not_clip() -> None:
    """Equal texts are equally probable, so the terms of duplicates add up to the same number with ids and without."""
    g = torch.Generator().manual_seed(0)
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 3])
    images = torch.randn(7, 4, generator=g, dtype=torch.float64, requires_grad=True)
    texts = torch.randn(4, 4, generator=g, dtype=torch.float64, requires_grad=True)
    sigmoid = functools.partial(losses.sigmoid_loss, temperature=0.1, bias=-3.0)
    for loss, same in ((losses.clip_loss, True), (sigmoid, False)):
        plain, with_ids = loss(images, texts[labels]), loss(images, texts[labels], positives=labels)
        assert (float(plain.detach()) == pytest.approx(float(with_ids.detach()), rel=1e-12)) == same
        if same:
            for one, other in zip(*(torch.autograd.grad(v, (images, texts)) for v in (plain, with_ids)), strict=True):
                torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_sigmoid_learns_temperature_and_bias() -> None:
    a, b = (torch.randn(7, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    t = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    bias = torch.tensor(-2.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda a, b, t, bias: losses.sigmoid_loss(a, b, temperature=t, bias=bias, tile_size=3), (a, b, t, bias)
    )


def test_sigmoid_with_ids_is_the_equation() -> None:
    from naive_softmax import siglip

    a, b = (torch.randn(9, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    ids = torch.tensor([4, 1, 4, 0, 1, 7, 4, 2, 0])
    t = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    for size in (3, 50):
        value = losses.sigmoid_loss(a, b, temperature=t, bias=-2.0, positives=ids, tile_size=size)
        slow = siglip(a.detach().numpy(), b.detach().numpy(), temperature=0.3, bias=-2.0, positives=ids.numpy())
        assert float(value.detach()) == pytest.approx(slow, rel=1e-11)
        assert torch.autograd.gradcheck(
            lambda a, b, t, s=size: losses.sigmoid_loss(a, b, temperature=t, bias=-2.0, positives=ids, tile_size=s),
            (a, b, t),
        )
    apart = losses.sigmoid_loss(a, b, temperature=t, bias=-2.0, positives=torch.arange(9))
    assert float(apart.detach()) == pytest.approx(float(losses.sigmoid_loss(a, b, temperature=t, bias=-2.0).detach()))


@pytest.mark.parametrize("positives", [None, torch.tensor([0, 1, 0, 2, 1, 3, 3, 0, 4, 5, 2])], ids=["rows", "ids"])
@pytest.mark.parametrize("loss", [losses.clip_loss, losses.sigmoid_loss], ids=["clip", "sigmoid"])
def test_images_and_texts_on_ranks_with_ids(loss, positives: Tensor | None, gloo) -> None:  # type: ignore[no-untyped-def]
    from gloo_pool import embed, make_weights

    index = next(i for i, c in enumerate(CASES) if c.loss is loss)
    tensors = CASES[index].inputs(11, seed=3)
    weights = make_weights(tensors)
    chosen = {"temperature": 0.1} | ({"bias": -3.0} if loss is losses.sigmoid_loss else {})
    whole = loss(*embed(tensors, weights), **chosen, positives=positives)
    whole.backward()
    parts = [list(p) for p in zip(*(t.split([7, 4]) for t in tensors), strict=True)]
    options = chosen | {"positives": None if positives is None else positives.split([7, 4])}
    sharded = None if positives is None else "positives"
    for value, grads in gloo.run(case=index, tensors=parts, options=options, ranks=2, sharded=sharded):
        assert value == pytest.approx(float(whole.detach()), rel=1e-12)
        for weight, grad in zip(weights, grads, strict=True):
            torch.testing.assert_close(grad, weight.grad, rtol=1e-9, atol=1e-12)


class Largest(TorchDispatchMode):
    """The largest tensor that any operation makes."""

    entries = bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        for t in out if isinstance(out, tuple | list) else (out,):
            if isinstance(t, Tensor):
                self.bytes = max(self.bytes, t.untyped_storage().size())
                self.entries = max(self.entries, t.untyped_storage().size() // max(t.element_size(), 1))
        return out


@pytest.mark.parametrize("case", [c for c in CASES if c.has("tile")], ids=lambda c: c.id)
def test_nothing_of_the_size_of_the_matrix_is_made(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lanes, "LANE_ROWS", 1 << 30)  # one thread does all, and is watched
    rows, width = 2400, 16
    tensors = case.inputs(rows, width, dtype=torch.float32)
    leaves = [t.requires_grad_() if t.is_floating_point() else t for t in tensors]
    with Largest() as seen:
        case(*leaves).backward()
    # a tile has 1 MiB, a strip 2 and its places 4; the matrix would have 23 MiB (92 for two views)
    assert seen.bytes <= (1 << 22) + 65536


@pytest.mark.parametrize("case", [c for c in CASES if c.has("memory")], ids=lambda c: c.id)
def test_memory_gives_columns_without_gradient(case: Case) -> None:
    """A row's loss against batch and memory is what it is in the joint batch; only the memory's own rows are absent."""
    x, y = case.inputs(12, seed=11)
    kept, kept_labels = x[7:].clone().requires_grad_(), y[7:]
    rows = x[:7].clone().requires_grad_()
    value = case(rows, y[:7], memory=(kept, kept_labels))
    value.backward()
    assert kept.grad is None
    order = torch.tensor([3, 1, 4, 0, 2])
    again = case(x[:7], y[:7], memory=(x[7:][order], y[7:][order]))
    assert float(again) == pytest.approx(float(value.detach()), rel=1e-11)
    if case.loss in (losses.supcon_loss, losses.multi_similarity_loss):
        assert float(value.detach()) == pytest.approx(per_row_value(case, x, y, 7), rel=1e-11)
    empty = case(x[:7], y[:7], memory=(x[:0], y[:0]))
    assert float(empty) == pytest.approx(float(case(x[:7], y[:7])), rel=1e-11)


def per_row_value(case: Case, x: Tensor, y: Tensor, rows: int) -> float:
    """Mean of the losses of the first rows alone, each against all other rows: by loops over Python floats."""
    from naive_hard import cosine, split

    values = []
    for i in range(rows):
        same, other = split(x.numpy(), y.numpy(), i)
        s = {j: cosine(x.numpy()[i], x.numpy()[j]) for j in same + other}
        if case.loss is losses.multi_similarity_loss:
            a, b = case.options.get("alpha", 2.0), case.options.get("beta", 50.0)
            pull = torch.tensor([0.0, *(-a * (s[p] - 0.5) for p in same)], dtype=torch.float64).logsumexp(0) / a
            push = torch.tensor([0.0, *(b * (s[n] - 0.5) for n in other)], dtype=torch.float64).logsumexp(0) / b
            values.append(float(pull + push))
        elif same:
            t = case.options["temperature"]
            logits = torch.tensor([s[j] / t for j in same + other], dtype=torch.float64)
            shares = torch.log_softmax(logits, 0)[: len(same)]
            inside = case.options.get("variant") == "in"
            values.append(float(log(len(same)) - shares.logsumexp(0)) if inside else float(-shares.mean()))
    return sum(values) / len(values)


def test_effective_rank_counts_dimensions() -> None:
    assert float(losses.effective_rank(torch.eye(6))) == pytest.approx(6)
    assert float(losses.effective_rank(torch.ones(50, 6))) == pytest.approx(1)
    assert float(losses.effective_rank(torch.zeros(5, 3))) == 0
    x = torch.randn(20, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(losses.effective_rank, x)
    sigma = torch.linalg.svdvals(x.detach())
    p = sigma / sigma.sum()
    assert float(losses.effective_rank(x).detach()) == pytest.approx(float(torch.exp(-(p * p.log()).sum())))


def test_modules_take_the_options_of_their_functions() -> None:
    a, b = torch.randn(6, 4), torch.randn(6, 4)
    assert float(losses.NTXentLoss(temperature=0.2)(a, b)) == float(losses.nt_xent_loss(a, b, temperature=0.2))
    with pytest.raises(LossInputError, match="unknown option 'temprature'"):
        losses.NTXentLoss(temprature=0.2)
    with pytest.raises(LossInputError, match="no option 'bias'"):
        losses.SigmoidLoss(temperature=0.1)
    proxies = losses.SubcenterArcFaceLoss(5, 4, centers=2)
    assert proxies.proxies.shape == (10, 4)
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    proxies(a, labels).backward()
    assert float(proxies.proxies.grad.abs().sum()) > 0
    with pytest.raises(LossInputError, match="from 0 to 5 with 5 classes"):
        proxies(a, torch.tensor([0, 1, 2, 3, 4, 5]))


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_autocast_does_not_lower_the_precision(case: Case) -> None:
    tensors = case.inputs(24, 16, dtype=torch.float32)
    right = float(case(*tensors))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert float(case(*tensors)) == pytest.approx(right, rel=1e-5)
