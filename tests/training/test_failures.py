"""What stops a run says where, why and what to do, and never costs what was there before."""

from __future__ import annotations

import errno
import shutil
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric.plugins import MixedPrecision
from PIL import Image

from likewise.errors import RunError, TrainingError
from likewise.models import EmbeddingModel
from likewise.report import write_run_report
from likewise.training import checkpoint, run_folder, train
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


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
            r"memory \(CUDA.*batch_size.*gradcache",
        ),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), r"memory \(DefaultCPU.*batch_size.*fewer --jobs"),
        (MemoryError(), r"memory \(MemoryError\).*batch_size"),
        (torch.linalg.LinAlgError("linalg.svd: failed to converge"), r"decomposed \(linalg\.svd.*learning_rate"),
        (np.linalg.LinAlgError("Singular matrix"), r"decomposed \(Singular matrix\).*learning_rate"),
    ],
)
def test_what_memory_and_linear_algebra_cannot_do_is_an_error_with_advice(
    error: Exception, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(self: EmbeddingModel, images: torch.Tensor) -> torch.Tensor:
        raise error

    monkeypatch.setattr(EmbeddingModel, "forward", exhausted)
    with pytest.raises(TrainingError, match=said):
        train(tiny("cross_entropy"), tmp_path / "run", quiet=True)


def test_any_other_error_of_torch_stays_a_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: EmbeddingModel, images: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(EmbeddingModel, "forward", broken)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
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


def test_a_second_start_on_a_new_folder_leaves_the_recipe_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, recipe = tmp_path / "run", tiny("cross_entropy")
    check, checked = run_folder._check, []

    def late(*args: object, **kwargs: object) -> None:
        check(*args, **kwargs)  # type: ignore[arg-type]
        if not checked:  # the other one starts between this one's look and its lock
            checked.append(folder)
            other.enter_context(run_folder.open_folder(folder, recipe, resume=False))

    monkeypatch.setattr(run_folder, "_check", late)
    with ExitStack() as other, pytest.raises(RunError, match="is working in"):
        train(tiny("contrastive"), folder, quiet=True)
    assert (folder / "recipe.yaml").read_text() == recipe.to_yaml()


def test_a_file_system_without_locks_is_not_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(run_folder.fcntl, "flock", flock)
    with pytest.raises(RunError, match=r"cannot be locked.*No locks available.*another file system"):
        train(tiny("cross_entropy"), tmp_path / "run", quiet=True)


def test_a_checkpoint_that_is_replaced_is_never_half_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(module.parameters())
    (tmp_path / ".step-00000002.99.part").mkdir()  # of a process that was killed

    def save(weight: float) -> None:
        torch.nn.init.constant_(module.weight, weight)
        checkpoint.save_checkpoint(tmp_path, module, optimizer, checkpoint.Progress(step=3), fingerprint="a")

    def killed(folder: Path, **_: object) -> None:
        (folder / "state.json").unlink(missing_ok=True)
        raise KeyboardInterrupt

    save(1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            save(2.0)
    torch.nn.init.zeros_(module.weight)
    newest = latest_checkpoint(tmp_path)
    assert newest is not None
    checkpoint.load_checkpoint(newest, module, optimizer, fingerprint="a")
    assert module.weight.detach().unique().tolist() == [2.0]
    save(3.0)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]


def test_what_scales_the_loss_is_in_the_checkpoint(tmp_path: Path) -> None:
    module = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(module.parameters())
    scaled, fresh = (MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu")) for _ in range(2))
    assert scaled.scaler is not None
    scaled.scaler.load_state_dict(scaled.scaler.state_dict() | {"scale": 8.0, "_growth_tracker": 5})
    path = checkpoint.save_checkpoint(
        tmp_path, module, optimizer, checkpoint.Progress(step=3), fingerprint="a", precision=scaled
    )
    checkpoint.load_checkpoint(path, module, optimizer, fingerprint="a", precision=fresh)
    assert fresh.state_dict() == scaled.state_dict()
    assert fresh.state_dict()["scale"] == 8.0


def test_photographs_of_one_class_are_trained_and_measured_to_the_end(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    for name, count in (("train", 20), ("test", 1)):
        (tmp_path / "photos" / name / "cat").mkdir(parents=True)
        for number in range(count):
            pixels = draws.integers(0, 255, (8, 8, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / "cat" / f"{number}.png")
    recipe = tiny("simclr").with_overrides(
        {
            "data.source": str(tmp_path / "photos"),
            "data.validation": 0.2,
            "data.train_size": None,
            "epochs": 1,
            "batch_size": 8,
            "evaluation.protocols": ("few_labels",),
        }
    )
    run = train(recipe, tmp_path / "run", quiet=True)
    assert run.metrics["knn1_accuracy"] == 1
    assert not {"linear_probe_accuracy", "effective_rank", "recall_at_1"} & run.metrics.keys()
    (note,) = [note for note in run.evaluation["notes"] if "few_labels" in note]
    assert "few_labels was not measured: train has the class 0 only" in note
    assert note in write_run_report(run, run.data()).read_text("utf-8")
