"""What holds for every miner, and for losses on what they find."""

from __future__ import annotations

from collections import Counter

import naive_miners
import pytest
import torch
from loss_cases import Case
from mined_cases import DRAWN, MINED
from test_contract import share, value_and_grads
from test_exact import Largest
from torch import Tensor

from likewise import losses
from likewise.errors import LossInputError

mined = pytest.mark.parametrize("case", MINED, ids=lambda c: c.id)
miners = pytest.mark.parametrize("miner", losses.MINERS, ids=lambda m: m.name)


def batch(n: int = 14, seed: int = 1) -> tuple[Tensor, Tensor]:
    x, y = MINED[0].inputs(n, seed=seed)
    return x, y


@mined
def test_equals_loops(case: Case) -> None:
    for n, seed in ((9, 0), (14, 1)):
        tensors = case.inputs(n, seed=seed)
        assert float(case(*tensors)) == pytest.approx(case.slow(tensors), rel=1e-11, abs=1e-13)
    tensors = case.inputs(8, 3, seed=2)
    assert torch.autograd.gradcheck(case, [tensors[0].requires_grad_(), tensors[1]])


@mined
@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_equal_one_process(case: Case, ranks: int, gloo) -> None:  # type: ignore[no-untyped-def]
    from gloo_pool import embed, make_weights

    tensors = case.inputs(11, seed=4)
    weights = make_weights(tensors)
    whole = case(*embed(tensors, weights))
    whole.backward()
    parts = [[share(t, r, ranks, whole=False) for t in tensors] for r in range(ranks)]
    for value, grads in gloo.run(
        cases="MINED", case=MINED.index(case), tensors=parts, options={}, ranks=ranks, sharded=None
    ):
        assert value == pytest.approx(float(whole.detach()), rel=1e-9)
        torch.testing.assert_close(grads[0], weights[0].grad, rtol=1e-6, atol=1e-10)


@mined
def test_strips_and_order_change_nothing(case: Case) -> None:
    x, y = case.inputs(13, seed=5)
    value, (grad,) = value_and_grads(case, [x, y])
    for size in (1, 5, 100):
        assert float(case(x, y, tile_size=size)) == pytest.approx(value, rel=1e-12)
    order = torch.randperm(13, generator=torch.Generator().manual_seed(0))
    other, (moved,) = value_and_grads(case, [x[order], y[order]])
    assert other == pytest.approx(value, rel=1e-10)
    torch.testing.assert_close(grad[order], moved, rtol=1e-7, atol=1e-10)


@mined
def test_a_memory_is_mined_too(case: Case) -> None:
    x, y = case.inputs(12, seed=11)
    kept = x[7:].clone().requires_grad_()
    value = case(x[:7].clone().requires_grad_(), y[:7], memory=(kept, y[7:]))
    value.backward()
    assert kept.grad is None
    order = torch.tensor([3, 1, 4, 0, 2])
    again = case(x[:7], y[:7], memory=(x[7:][order], y[7:][order]))
    assert float(again) == pytest.approx(float(value.detach()), rel=1e-11)
    assert float(value.detach()) != pytest.approx(float(case(x[:7], y[:7])), rel=1e-3)


def test_what_a_miner_finds_is_what_the_loss_finds_by_itself() -> None:
    x, y = batch(20)
    for name in ("all", "hard", "semihard"):
        for distance in ("euclidean", "squared", "cosine"):
            options = {} if name == "all" else {"distance": distance}
            found = losses.find_miner(name)(x, y, **options)
            one = losses.triplet_loss(x, y, mining=name, distance=distance)
            two = losses.triplet_loss(x, y, tuples=found, distance=distance)
            assert float(one) == pytest.approx(float(two), rel=1e-12)


def test_multi_similarity_pairs_and_a_wide_epsilon_are_all_pairs() -> None:
    x, y = batch()
    found = losses.multi_similarity_pairs(x, y, epsilon=0.2)
    pull, push = naive_miners.multi_similarity(x.numpy(), y.numpy(), epsilon=0.2)
    assert sorted(zip(*(t.tolist() for t in found[:2]), strict=True)) == sorted(pull)
    assert sorted(zip(*(t.tolist() for t in found[2:]), strict=True)) == sorted(push)
    y = torch.arange(14) % 4
    every = losses.multi_similarity_pairs(x, y, epsilon=3.0)
    value = losses.multi_similarity_loss(x, y, tuples=every)
    assert float(value) == pytest.approx(float(losses.multi_similarity_loss(x, y)), rel=1e-12)


def test_negatives_are_drawn_by_the_density_of_their_distance() -> None:
    """80 equal anchors draw 6,320 times among eight negatives."""
    g = torch.Generator().manual_seed(3)
    anchor, others = torch.randn(1, 5, generator=g), torch.randn(8, 5, generator=g)
    others = 0.8 * anchor + others
    x = torch.cat([anchor.expand(80, 5), others]).double()
    y = torch.tensor([0] * 80 + list(range(1, 9)))
    found = losses.distance_weighted_triplets(x, y, generator=torch.Generator().manual_seed(0))
    count = Counter(found.negatives.tolist())
    right = naive_miners.draw_weights(x.numpy(), y.numpy(), 0)
    assert sorted(zip(found.anchors.tolist(), found.positives.tolist(), strict=True)) == [
        (a, p) for a in range(80) for p in range(80) if p != a
    ]
    assert set(count) <= set(right)
    assert len(right) > 2
    for n, share_ in right.items():
        spread = (share_ * (1 - share_) / 6320) ** 0.5
        assert abs(count[n] / 6320 - share_) < 5 * spread


def test_draws_are_the_same_on_any_number_of_strips_and_with_nobody_in_reach() -> None:
    x, y = batch()
    one = losses.distance_weighted_triplets(x, y, generator=torch.Generator().manual_seed(1))
    two = losses.distance_weighted_triplets(x, y, generator=torch.Generator().manual_seed(1), tile_size=3)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    far = losses.distance_weighted_triplets(
        torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]), torch.tensor([0, 0, 1])
    )
    assert [t.tolist() for t in far] == [[0, 1], [1, 0], [2, 2]]


def test_numbers_are_drawn_for_the_rows_and_not_for_the_memory() -> None:
    x, y = batch()
    memory = torch.randn(500, x.shape[1], dtype=x.dtype), torch.arange(500) % 50 + 100
    one, two = (torch.Generator().manual_seed(1) for _ in range(2))
    losses.distance_weighted_triplets(x, y, memory=memory, generator=one)
    torch.rand(len(x), max(10, int(y.bincount().max())), generator=two, dtype=torch.float64)
    assert torch.equal(one.get_state(), two.get_state())


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_draw_what_one_process_draws(ranks: int, gloo) -> None:  # type: ignore[no-untyped-def]
    from gloo_pool import embed, make_weights

    tensors = DRAWN[0].inputs(11, seed=4)
    weights = make_weights(tensors)
    whole = DRAWN[0](*embed(tensors, weights))
    whole.backward()
    parts = [[share(t, r, ranks, whole=False) for t in tensors] for r in range(ranks)]
    for value, grads in gloo.run(cases="DRAWN", case=0, tensors=parts, options={}, ranks=ranks, sharded=None):
        assert value == pytest.approx(float(whole.detach()), rel=1e-9)
        torch.testing.assert_close(grads[0], weights[0].grad, rtol=1e-6, atol=1e-10)


@miners
def test_bad_days(miner: losses.Miner) -> None:
    one_class = miner(torch.randn(5, 3), torch.zeros(5, dtype=torch.int64))
    distinct = miner(torch.randn(5, 3), torch.arange(5))
    alone = miner(torch.randn(1, 3), torch.tensor([0]))
    assert all(len(t) == 0 for found in (one_class, distinct, alone) for t in found)
    for x in (torch.zeros(6, 3), torch.ones(6, 3), torch.randn(6, 3) * 1e4, torch.randn(6, 3) * 1e-4):
        found = miner(x.half() if float(x.max()) < 1e4 else x, torch.arange(6) % 2)
        for a, b, same in ((found[0], found[1], True), (found[-2] if len(found) == 4 else found[0], found[-1], False)):
            assert bool(((a % 2 == b % 2) == same).all())
            assert not bool((a == b).any())
    with pytest.raises(LossInputError, match="row 1"):
        miner(torch.tensor([[0.0], [torch.nan]]), torch.tensor([0, 0]))
    with pytest.raises(LossInputError, match="embeddings is a list"):
        miner([[0.0]], torch.tensor([0]))
    with pytest.raises(LossInputError, match="labels is missing"):
        miner(torch.randn(3, 2), None)
    x = torch.randn(4, 2, requires_grad=True)
    assert not any(t.requires_grad for t in miner(x, torch.tensor([0, 0, 1, 1])))


def test_mining_needs_memory_for_strips_and_tuples_only() -> None:
    x, y = torch.randn(2400, 16), torch.arange(2400) % 600
    for miner in losses.MINERS:
        if miner.name in ("all", "multi_similarity"):
            continue
        with Largest() as seen:
            miner(x, y)
        # a strip has 2^19 entries
        assert seen.entries <= (1 << 19) + 4096, miner.name


def test_given_pairs_are_measured_a_part_at_a_time() -> None:
    """40,000 pairs of width 64 are 2.6 million numbers."""
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(300, 64, generator=g, requires_grad=True), torch.arange(300) % 3
    pairs = losses.Pairs(*torch.randint(0, 300, (4, 40_000), generator=g))
    for loss in (
        losses.contrastive_loss,
        losses.margin_loss,
        losses.multi_similarity_loss,
        losses.snr_contrastive_loss,
    ):
        with Largest() as seen:
            loss(x, y, tuples=pairs).backward()
        assert seen.entries <= (1 << 19) + 4096


def test_a_loss_on_nothing_is_zero_with_zero_gradient() -> None:
    x, y = batch()
    none = torch.zeros(0, dtype=torch.int64)
    for loss, count in ((losses.triplet_loss, 3), (losses.contrastive_loss, 4), (losses.multi_similarity_loss, 4)):
        leaf = x.clone().requires_grad_()
        value = loss(leaf, y, tuples=(none,) * count)
        value.backward()
        assert float(value.detach()) == 0
        assert float(leaf.grad.abs().sum()) == 0


def test_bad_tuples_are_named() -> None:
    x, y = batch()
    good = losses.hard_triplets(x, y)
    for tuples, match in (
        ([good], "list"),
        (good[:2], "tuple of 2"),
        ((good[0], good[1], good[2][:-1]), "negatives as torch.int64 of shape"),
        ((good[0].int(), good[1], good[2]), "anchors as torch.int32"),
        ((good[0], good[1] + 14, good[2]), "positives from"),
        ((good[0], good[0], good[0], good[2]), "four tensors"),
    ):
        with pytest.raises(LossInputError, match=match) as caught:
            losses.triplet_loss(x, y, tuples=tuples)
        assert caught.value.advice


def test_miners_by_name() -> None:
    assert losses.find_miner("hard").function is losses.hard_triplets
    with pytest.raises(LossInputError, match="Did you mean 'semihard'"):
        losses.find_miner("semi_hard")
    with pytest.raises(LossInputError, match="unknown option 'epsilom'"):
        losses.MinedLoss(losses.multi_similarity_loss, "multi_similarity", epsilom=0.2)
    with pytest.raises(LossInputError, match="triplets"):
        losses.all_triplets(*batch(), limit=3)


def test_mining_and_memory_fit_together_and_into_modules() -> None:
    x, y = batch()
    remember = losses.CrossBatchMemory(losses.MinedLoss(losses.TripletLoss(margin=0.5), "hard"), 20, 4)
    remember(x[:6].float(), y[:6])
    value = remember(x[6:].float(), y[6:])
    right = losses.triplet_loss(x[6:].float(), y[6:], margin=0.5, mining="hard", memory=(x[:6].float(), y[:6]))
    assert float(value) == pytest.approx(float(right), rel=1e-6)
