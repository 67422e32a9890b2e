"""Cross-batch memory, Matryoshka and weighted sums."""

from __future__ import annotations

import pytest
import torch

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
