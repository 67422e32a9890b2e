"""What stops a run says where, why and what to do, and never costs what was there before."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest
import torch

from likewise.errors import RunError, TrainingError
from likewise.models import EmbeddingModel
from likewise.training import checkpoint, train
from likewise.training.checkpoint import latest_checkpoint

from .test_resume import assert_same_run, tiny


def test_an_infinite_loss_stops_the_run_with_step_rate_and_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = EmbeddingModel.forward
    calls = 0

    def exploding(self: EmbeddingModel, images: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += self.training
        return forward(self, images) * (float("inf") if calls == 3 else 1)

    monkeypatch.setattr(EmbeddingModel, "forward", exploding)
    with pytest.raises(TrainingError, match=r"loss is nan at step 3 \(learning rate .*--set learning_rate=0.0001"):
        train(tiny("cross_entropy"), tmp_path / "run", quiet=True)


def test_a_disk_that_fills_keeps_the_last_good_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny("contrastive")
    whole = train(recipe, tmp_path / "whole", quiet=True)
    save, saved = checkpoint.save_file, 0

    def full(tensors: dict[str, torch.Tensor], path: Path) -> None:
        nonlocal saved
        saved += 1
        if saved == 3:
            path.write_bytes(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(tensors, path)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full)
        with pytest.raises(TrainingError, match=r"No space left.*last good one is step-00000024.*--resume"):
            train(recipe, tmp_path / "cut", quiet=True)
    left = latest_checkpoint(tmp_path / "cut" / "checkpoints")
    assert left is not None
    assert left.name == "step-00000024"
    assert_same_run(train(recipe, tmp_path / "cut", resume=True, quiet=True), whole)


def test_a_full_disk_is_seen_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=2**20))
    with pytest.raises(RunError, match=r"has 1 MB left.*64 MB"):
        train(tiny("cross_entropy"), tmp_path / "run", quiet=True)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match=r"cannot be written .*another --out"):
        train(tiny("cross_entropy"), tmp_path / "file" / "run", quiet=True)


def test_a_collapsed_run_is_marked_in_log_metrics_and_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = EmbeddingModel.forward
    monkeypatch.setattr(EmbeddingModel, "forward", lambda self, images: forward(self, images) * 1e-6 + 1)
    run = train(tiny("contrastive", epochs=1), tmp_path / "run", quiet=True)
    assert run.metrics["collapsed"] == 1.0
    assert "collapsed" in run.warnings[0]
    assert "COLLAPSE after epoch 1" in (run.folder / "log.txt").read_text()
    assert run.history[0]["collapsed"] is True
