"""Two passes in chunks give what one pass of the whole batch gives."""

from __future__ import annotations

import pytest
import torch
from loss_cases import CASES, Case
from rank_steps import Model, gradients, make_loss
from torch import Tensor, nn

from likewise import losses
from likewise.errors import LossInputError


def batch(rows: int = 11, seed: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 5, generator=g, dtype=torch.float64), torch.arange(rows) % 3


def same_gradients(one: list[Tensor], two: list[Tensor], rtol: float = 1e-9) -> None:
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=1e-12)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_every_loss_in_chunks_equals_the_whole_batch(case: Case) -> None:
    if case.data == "matrix":
        pytest.skip("takes similarities, which belong to pairs of rows")
    tensors = case.inputs(9, seed=5)
    towers = {"labels": 1, "proxies": 1, "embeddings": 1, "three sets": 3, "scores and center": 2}.get(case.data, 2)
    width = tensors[0].shape[1]

    def encoders() -> list[nn.Module]:
        torch.manual_seed(0)
        return [nn.Linear(width, width).double() for _ in range(towers)]

    plain, chunked = encoders(), encoders()
    rest = [t.clone().requires_grad_(k in case.whole and k not in case.frozen) for k, t in enumerate(tensors)]
    again = [t.detach().clone().requires_grad_(t.requires_grad) for t in rest]
    whole = case(*(f(x) for f, x in zip(plain, tensors, strict=False)), *rest[towers:])
    whole.backward()
    cache = losses.GradCache(case, chunk_size=4)
    value = cache.backward([(f, x) for f, x in zip(chunked, tensors, strict=False)], *again[towers:])
    assert float(value) == pytest.approx(float(whole.detach()), rel=1e-12)
    for one, two in zip(plain, chunked, strict=True):
        same_gradients(gradients(one), gradients(two))
    for a, b in zip(rest, again, strict=True):
        if a.requires_grad:
            same_gradients([a.grad], [b.grad])


def test_gradients_of_half_precision_embeddings_are_not_rounded_to_zero() -> None:
    """A mean over many rows gives each a gradient that float16 does not have; a scaler comes after the loss."""
    scale = 2.0**16
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    encoder = nn.Linear(4, 3)

    def embed(images: Tensor) -> Tensor:
        return encoder(images).half()

    cache = losses.GradCache(lambda e: e.sum() * 1e-9, chunk_size=2, backward=lambda value: (value * scale).backward())
    cache.backward([(embed, x)])
    torch.testing.assert_close(encoder.bias.grad / scale, torch.full((3,), 6e-9), rtol=1e-2, atol=0)


@pytest.mark.parametrize("chunk_size", [1, 3, 11, 100])
def test_no_more_rows_than_a_chunk_have_a_graph(chunk_size: int) -> None:
    x, labels = batch()
    plain, chunked = Model(), Model()
    whole = make_loss("proxies", plain)(plain(x), labels)
    whole.backward()
    value = losses.GradCache(make_loss("proxies", chunked), chunk_size=chunk_size).backward([(chunked, x)], labels)
    assert float(value) == pytest.approx(float(whole.detach()), rel=1e-12)
    same_gradients(gradients(plain), gradients(chunked))
    assert chunked.most_rows == min(chunk_size, 11)


def test_two_views_of_one_encoder_add_up() -> None:
    (a, _), (b, _) = batch(seed=1), batch(seed=2)
    plain, chunked, paired = Model(), Model(), Model()
    losses.nt_xent_loss(plain(a), plain(b)).backward()
    cache = losses.GradCache(losses.nt_xent_loss, chunk_size=4)
    cache.backward([(chunked, a), (chunked, b)])
    cache.backward([(lambda u, v: (paired(u), paired(v)), (a, b))])
    same_gradients(gradients(plain), gradients(chunked))
    same_gradients(gradients(plain), gradients(paired))


def test_two_towers_and_a_learned_temperature() -> None:
    (image, _), (text, _) = batch(seed=1), batch(seed=2)

    def models() -> tuple[Model, nn.Module, nn.Parameter]:
        torch.manual_seed(0)
        return Model(), nn.Linear(5, 4).double(), nn.Parameter(torch.tensor(-1.5, dtype=torch.float64))

    a, b, t = models()
    losses.clip_loss(a(image), b(text), temperature=t.exp()).backward()
    for captured in (False, True):
        c, d, u = models()
        towers = [(c, image), (lambda *, tokens, d=d: d(tokens), {"tokens": text})]
        if captured:
            cache = losses.GradCache(lambda i, j, u=u: losses.clip_loss(i, j, temperature=u.exp()), chunk_size=3)
            cache.backward(towers)
        else:
            losses.GradCache(losses.clip_loss, chunk_size=3).backward(towers, temperature=u.exp())
        same_gradients([*gradients(a), *gradients(b), t.grad], [*gradients(c), *gradients(d), u.grad])


def test_dropout_draws_the_same_units_in_both_passes() -> None:
    x, labels = batch()
    plain, chunked = Model(dropout=0.5), Model(dropout=0.5)
    torch.manual_seed(3)
    losses.supcon_loss(torch.cat([plain(part) for part in x.split(4)]), labels).backward()
    after = torch.rand(1)
    torch.manual_seed(3)
    losses.GradCache(losses.supcon_loss, chunk_size=4).backward([(chunked, x)], labels)
    assert torch.equal(torch.rand(1), after)
    same_gradients(gradients(plain), gradients(chunked))


def test_autocast_does_not_lose_the_weights() -> None:
    x, labels = batch()
    plain, chunked = Model().float(), Model().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses.supcon_loss(plain(x.float()), labels).backward()
        losses.GradCache(losses.supcon_loss, chunk_size=4).backward([(chunked, x.float())], labels)
    for a, b in zip(gradients(plain), gradients(chunked), strict=True):
        torch.testing.assert_close(a, b, rtol=0.05, atol=0.02 * float(a.abs().max()))
    assert float(chunked.body[0].weight.grad.abs().sum()) > 0


def test_a_loss_scaler_sees_every_gradient() -> None:
    x, labels = batch()
    plain, scaled = Model(), Model()
    make_loss("proxies", plain)(plain(x), labels).backward()
    cache = losses.GradCache(
        make_loss("proxies", scaled), chunk_size=4, backward=lambda value: (1024 * value).backward()
    )
    cache.backward([(scaled, x)], labels)
    same_gradients([1024 * g for g in gradients(plain)], gradients(scaled))


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("kind", ["proxies", "memory"])
def test_ranks_equal_one_process_and_average_once_a_step(kind: str, ranks: int, gloo) -> None:  # type: ignore[no-untyped-def]
    sizes = {2: [7, 4], 3: [5, 0, 6]}[ranks]
    whole = [batch(seed=s) for s in range(3)]
    parts = [list(zip(x.split(sizes), y.split(sizes), strict=True)) for x, y in whole]
    model = Model()
    loss = make_loss(kind, model)
    right = []
    for x, labels in whole:
        model.zero_grad()
        value = loss(model(x), labels)
        value.backward()
        right.append((float(value.detach()), gradients(model)))
    for values, grads, calls in gloo.step("cached_steps", ranks, kind=kind, batches=parts, chunk_size=3):
        assert calls == len(whole)
        for value, found, (expected, slopes) in zip(values, grads, right, strict=True):
            assert float(value) == pytest.approx(expected, rel=1e-9)
            same_gradients(slopes, found, rtol=1e-6)


def test_what_does_not_fit_is_named() -> None:
    x, labels = batch()
    cache = losses.GradCache(losses.supcon_loss, chunk_size=4)
    with pytest.raises(LossInputError, match="chunk_size is 0"):
        losses.GradCache(losses.supcon_loss, chunk_size=0)
    with pytest.raises(LossInputError, match="towers is empty"):
        cache.backward([], labels)
    with pytest.raises(LossInputError, match=r"\[10, 11\] rows"):
        cache.backward([(lambda a, b: a, (x, x[:10]))], labels)
    with pytest.raises(LossInputError, match=r"gave \(8, 5\) for a chunk of 4"):
        cache.backward([(lambda a: torch.cat([a, a]), x)], labels)
