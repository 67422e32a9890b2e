"""Losses that are read in blocks give the same record, and a loss that is not finite its own step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from likewise.errors import TrainingError
from likewise.models import EmbeddingModel
from likewise.training import train, trainer
from likewise.training.step_losses import StepLosses

from .test_resume import assert_same_run, tiny


@pytest.fixture
def blocks_of_five(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "StepLosses", lambda device: StepLosses(device, block=5))


def test_every_loss_is_read_once_and_in_order() -> None:
    for block in (1, 2, 3, 7, 100):
        losses = StepLosses(torch.device("cpu"), block=block)
        read = [value for step in range(20) for value in losses.add(step, torch.tensor(step / 3))]
        read += losses.rest()
        assert read == [(step, float(torch.tensor(step / 3))) for step in range(20)]
        assert losses.rest() == []


def test_a_record_of_blocks_is_the_record_of_steps(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    by_step = train(tiny("contrastive", epochs=2), tmp_path / "steps", quiet=True)
    request.getfixturevalue("blocks_of_five")
    assert_same_run(train(tiny("contrastive", epochs=2), tmp_path / "blocks", quiet=True), by_step)


@pytest.mark.usefixtures("blocks_of_five")
@pytest.mark.parametrize("at", [1, 5, 8, 12])
def test_a_loss_that_is_not_finite_is_named_with_its_own_step_and_never_saved(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, calls = EmbeddingModel.forward, 0

    def exploding(self: EmbeddingModel, images: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += self.training
        return forward(self, images) * (float("nan") if calls == at else 1)

    monkeypatch.setattr(EmbeddingModel, "forward", exploding)
    with pytest.raises(TrainingError, match=rf"loss is nan at step {at} \(learning rate"):
        train(tiny("cross_entropy", epochs=1), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run" / "checkpoints").exists()
