"""Losses on given tuples against themselves on all pairs, and the margin loss with a learned boundary."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from mined_cases import LEARNED
from test_contract import share
from torch import Tensor

from likewise import losses
from likewise.errors import LossInputError


def batch(n: int = 12) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    return torch.randn(n, 4, generator=g, dtype=torch.float64), torch.arange(n) % 4


def every_pair(y: Tensor) -> losses.Pairs:
    other = ~torch.eye(len(y), dtype=torch.bool)
    same = y[:, None] == y
    return losses.Pairs(*(same & other).nonzero(as_tuple=True), *(~same).nonzero(as_tuple=True))


@pytest.mark.parametrize(
    "loss",
    [
        lambda x, y, **m: losses.contrastive_loss(x, y, margin=3.0, reduction="mean", **m),
        lambda x, y, **m: losses.contrastive_loss(x, y, form="hadsell", margin=3.0, reduction="mean", **m),
        lambda x, y, **m: losses.multi_similarity_loss(x, y, **m),
        lambda x, y, **m: losses.margin_loss(x, y, beta=2.0, reduction="mean", **m),
        lambda x, y, **m: losses.margin_loss(x, y, beta=torch.tensor([1.0, 2.0, 2.5, 3.0]), **m),
        lambda x, y, **m: losses.snr_contrastive_loss(x, y, margin=2.0, zero_mean=0.1, **m),
        lambda x, y, **m: losses.snr_contrastive_loss(x, y, margin=2.0, reduction="nonzero", **m),
    ],
)
def test_all_pairs_given_are_all_pairs(loss: Callable[..., Tensor]) -> None:
    x, y = batch()
    one, two = x.clone().requires_grad_(), x.clone().requires_grad_()
    plain, given = loss(one, y), loss(two, y, tuples=every_pair(y))
    assert float(given.detach()) == pytest.approx(float(plain.detach()), rel=1e-11)
    plain.backward()
    given.backward()
    torch.testing.assert_close(one.grad, two.grad, rtol=1e-9, atol=1e-12)


def test_angular_on_all_triplets_is_its_triplet_form() -> None:
    x, y = batch()
    found = losses.all_triplets(x, y)
    one, two = x.clone().requires_grad_(), x.clone().requires_grad_()
    plain = losses.angular_loss(one, y, form="triplet", alpha=30)
    given = losses.angular_loss(two, y, form="triplet", alpha=30, tuples=found)
    assert float(given.detach()) == pytest.approx(float(plain.detach()), rel=1e-11)
    plain.backward()
    given.backward()
    torch.testing.assert_close(one.grad, two.grad, rtol=1e-9, atol=1e-12)
    with pytest.raises(LossInputError, match="form 'n_pair'"):
        losses.angular_loss(x, y, tuples=found)


def test_the_boundary_of_the_margin_loss_is_learned() -> None:
    (case,) = LEARNED
    x, y, p = case.inputs(9)
    assert float(case(x, y, p)) == pytest.approx(case.slow([x, y, p]), rel=1e-11)
    leaves = [x.requires_grad_(), y, p.requires_grad_()]
    assert torch.autograd.gradcheck(lambda *t: case(*t, tile_size=4), leaves)
    assert torch.autograd.gradcheck(lambda *t: case(*t, tuples=losses.hard_triplets(x, y)), leaves)


@pytest.mark.parametrize("ranks", [2, 3])
def test_the_boundary_is_the_same_on_ranks(ranks: int, gloo) -> None:  # type: ignore[no-untyped-def]
    from gloo_pool import embed, make_weights

    (case,) = LEARNED
    tensors = case.inputs(11, seed=4)
    weights = make_weights(tensors)
    case(*embed(tensors, weights)).backward()
    parts = [[share(t, r, ranks, whole=k in case.whole) for k, t in enumerate(tensors)] for r in range(ranks)]
    for _, grads in gloo.run(cases="LEARNED", case=0, tensors=parts, options={}, ranks=ranks, sharded=None):
        for weight, grad in zip(weights, grads, strict=True):
            if grad is not None:
                torch.testing.assert_close(grad, weight.grad, rtol=1e-9, atol=1e-12)


def test_margin_module_owns_its_boundary() -> None:
    x, y = (batch()[0].float(), batch()[1])
    learned = losses.MarginLoss(learn_beta=True, num_classes=4, beta=2.0)
    assert float(learned(x, y).detach()) == pytest.approx(float(losses.margin_loss(x, y, beta=2.0)), rel=1e-6)
    learned(x, y).backward()
    assert learned.learned.grad.shape == (4,)
    assert float(learned.learned.grad.abs().min()) > 0
    fixed = losses.MarginLoss(beta=2.0)
    assert not list(fixed.parameters())
    assert float(fixed(x, y)) == float(losses.margin_loss(x, y, beta=2.0))
    with pytest.raises(LossInputError, match="beta for 3 classes"):
        losses.margin_loss(x, y, beta=torch.ones(3))
    with pytest.raises(LossInputError, match="beta is not learned"):
        losses.MarginLoss(num_classes=4)


def test_numbers_out_of_range_are_named() -> None:
    x, y = batch()
    for call, match in (
        (lambda: losses.ranked_list_loss(x, y, alpha=1.0, margin=1.5), "margin is 1.5"),
        (lambda: losses.ranked_list_loss(x, y, balance=2.0), "balance is 2.0"),
        (lambda: losses.histogram_loss(x, y, bins=0), "bins is 0"),
        (lambda: losses.fast_ap_loss(x, y, bins=2.5), "bins is 2.5"),
        (lambda: losses.angular_loss(x, y, alpha=90), "alpha is 90"),
        (lambda: losses.snr_contrastive_loss(x, y, reduction="max"), "reduction is 'max'"),
        (lambda: losses.margin_loss(x, y, regularization=-1), "regularization is -1"),
    ):
        with pytest.raises(LossInputError, match=match) as caught:
            call()
        assert caught.value.expected
        assert caught.value.advice


def test_values_of_degenerate_batches() -> None:
    same, y = torch.ones(6, 3), torch.tensor([0, 0, 0, 1, 1, 1])
    one_class = torch.zeros(6, dtype=torch.int64)
    assert float(losses.margin_loss(same, y, reduction="sum")) == pytest.approx(18 * 1.4)
    assert float(losses.snr_contrastive_loss(same, y, reduction="sum")) == pytest.approx(18)
    assert float(losses.angular_loss(same, y)) == pytest.approx(
        float(torch.log1p(3 * torch.tensor(4.0).exp())), rel=1e-5
    )
    assert float(losses.angular_loss(same, y, form="triplet")) == 0
    assert float(losses.ranked_list_loss(same, y)) == pytest.approx(0.6)
    assert float(losses.histogram_loss(same, y)) == pytest.approx(1, abs=1e-4)
    assert float(losses.fast_ap_loss(same, y)) == pytest.approx(0.6, abs=1e-4)
    x = torch.randn(6, 3)
    for loss in (losses.angular_loss, losses.histogram_loss, losses.fast_ap_loss, losses.smooth_ap_loss):
        assert float(loss(x, one_class)) == 0


def test_smooth_ap_and_fast_ap_keep_their_digits_near_zero() -> None:
    """Two classes at right angles, t = 0.05, in float32: 4 sigmoid(-20), where a subtraction from 1 has two digits."""
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    y = torch.tensor([0, 0, 1, 1])
    right = 2 * float(torch.sigmoid(torch.tensor(-20.0, dtype=torch.float64)))
    assert float(losses.smooth_ap_loss(x, y, temperature=0.05)) == pytest.approx(right, rel=1e-5)
    assert float(losses.fast_ap_loss(x, y)) == 0


def test_modules_take_options_of_one_call() -> None:
    x, y = batch()
    memory = (x[:4], y[:4])
    assert float(losses.SupConLoss(temperature=0.3)(x, y, memory=memory)) == float(
        losses.supcon_loss(x, y, temperature=0.3, memory=memory)
    )
    remember = losses.CrossBatchMemory(losses.MultiSimilarityLoss(), 8, 4)
    remember(x.float(), y)
    assert float(remember(x.float(), y)) == pytest.approx(
        float(losses.multi_similarity_loss(x.float(), y, memory=(x[4:].float(), y[4:]))), rel=1e-6
    )
