"""Cross-batch memory, Matryoshka and weighted sums."""

from __future__ import annotations

import pytest
import torch
from rank_steps import Model, gradients

from likewise import losses
from likewise.errors import LossInputError


def batches(count: int, rows: int = 6) -> list[tuple[torch.Tensor, torch.Tensor]]:
    g = torch.Generator().manual_seed(0)
    return [(torch.randn(rows, 4, generator=g), torch.arange(rows) % 3) for _ in range(count)]


def test_memory_holds_the_newest_rows_and_not_the_batch_itself() -> None:
    remember = losses.CrossBatchMemory(losses.supcon_loss, size=10, embedding_dim=4)
    seen = batches(3)
    first = remember(*seen[0])
    assert float(first) == float(losses.supcon_loss(*seen[0]))
    remember(*seen[1])
    kept = (torch.cat([seen[0][0], seen[1][0]])[-10:], torch.cat([seen[0][1], seen[1][1]])[-10:])
    assert len(remember) == 10
    assert float(remember(*seen[2])) == pytest.approx(float(losses.supcon_loss(*seen[2], memory=kept)), rel=1e-6)
    assert torch.equal(remember.embeddings[-6:], seen[2][0])


def test_memory_is_state_and_rests_in_eval() -> None:
    remember = losses.CrossBatchMemory(losses.contrastive_loss, size=8, embedding_dim=4)
    seen = batches(2)
    remember(*seen[0])
    again = losses.CrossBatchMemory(losses.contrastive_loss, size=8, embedding_dim=4)
    again.load_state_dict(remember.state_dict())
    assert len(again) == 6
    remember.eval()
    assert float(remember(*seen[1])) == float(losses.contrastive_loss(*seen[1]))
    assert len(remember) == 6
    assert float(again(*seen[1])) != float(losses.contrastive_loss(*seen[1]))
    with pytest.raises(LossInputError, match="embeddings 5"):
        remember.train()(torch.randn(4, 5), torch.tensor([0, 0, 1, 1]))
    with pytest.raises(LossInputError, match="size is 0"):
        losses.CrossBatchMemory(losses.supcon_loss, size=0, embedding_dim=4)


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize(
    ("loss", "options"),
    [
        ("supcon_loss", {"temperature": 0.2}),
        ("contrastive_loss", {"margin": 3.0}),
        ("triplet_loss", {"mining": "hard"}),
    ],
)
def test_memory_on_ranks_equals_one_process(ranks: int, loss: str, options: dict[str, object], gloo) -> None:  # type: ignore[no-untyped-def]
    sizes = {2: [7, 4], 3: [5, 0, 6]}[ranks]
    g = torch.Generator().manual_seed(0)
    whole = [(torch.randn(11, 5, generator=g, dtype=torch.float64), torch.arange(11) % 4) for _ in range(3)]
    parts = [list(zip(x.split(sizes), y.split(sizes), strict=True)) for x, y in whole]
    model, function = Model(), getattr(losses, loss)
    remember = losses.CrossBatchMemory(lambda *a, **o: function(*a, **options, **o), 15, 4).double()
    answers = gloo.step("memory_steps", ranks, loss=loss, options=options, size=15, batches=parts)
    for step, (x, labels) in enumerate(whole):
        model.zero_grad()
        value = remember(model(x), labels)
        value.backward()
        for found, grads, embeddings, kept in (answer[step] for answer in answers):
            assert float(found) == pytest.approx(float(value.detach()), rel=1e-9)
            torch.testing.assert_close(embeddings, remember.embeddings, rtol=1e-12, atol=1e-14)
            assert torch.equal(kept, remember.labels)
            for a, b in zip(grads, gradients(model), strict=True):
                torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-10)


def test_matryoshka_sums_over_prefixes() -> None:
    (x, y), *_ = batches(1)
    value = losses.MatryoshkaLoss(losses.SupConLoss(temperature=0.2), widths=(2, 4), weights=(0.5, 2.0))(x, y)
    right = 0.5 * losses.supcon_loss(x[:, :2], y, temperature=0.2) + 2 * losses.supcon_loss(x, y, temperature=0.2)
    assert float(value) == pytest.approx(float(right), rel=1e-6)
    with pytest.raises(LossInputError, match="width 4"):
        losses.MatryoshkaLoss(losses.supcon_loss, widths=(2, 8))(x, y)
    with pytest.raises(LossInputError, match="widths"):
        losses.MatryoshkaLoss(losses.supcon_loss, widths=())


def test_weighted_sum_owns_the_parameters_of_its_parts() -> None:
    (x, y), *_ = batches(1)
    proxy = losses.ProxyAnchorLoss(3, 4)
    total = losses.WeightedSum({"proxy": (0.3, proxy), "pairs": (2.0, losses.supcon_loss)})
    right = 0.3 * proxy(x, y) + 2 * losses.supcon_loss(x, y)
    assert float(total(x, y).detach()) == pytest.approx(float(right.detach()), rel=1e-6)
    assert [p is proxy.proxies for p in total.parameters()] == [True]
    with pytest.raises(LossInputError, match="No loss"):
        losses.WeightedSum({})
