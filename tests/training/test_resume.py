"""A run that is stopped anywhere and resumed ends with the same bits as one that is not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from likewise.errors import Interrupted, RecipeError, RunError
from likewise.recipe import Recipe
from likewise.training import Run, train, trainer
from likewise.training.checkpoint import latest_checkpoint

UNTIMED = ("seconds", "images_per_second", "peak_memory")


PROXIES = {
    "name": "metric",
    "loss": "proxy_anchor",
    "sampler": {"name": "classes", "images_per_class": 5},
    "loss_learning_rate": 10.0,
}

REMEMBERING = {"name": "metric", "loss": "supcon", "memory": 120}


def tiny(objective: str | dict[str, Any], **training: object) -> Recipe:
    name = objective if isinstance(objective, str) else objective["name"]
    return Recipe.parse(
        {
            "name": f"tiny-{name.replace('_', '-')}",
            "data": {"source": "digits", "validation": 200, "train_size": 600},
            "embedding_dim": 8,
            "encoder": {"name": "small_cnn", "widths": (4, 8, 16)},
            "objective": objective,
            "training": {"epochs": 3, "batch_size": 50, "flip": True, "shift": 1, **training},
            "evaluation": {"monitor": 100},
        }
    )


def untimed(numbers: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in numbers.items() if not any(part in name for part in UNTIMED)}


def assert_same_run(one: Run, other: Run) -> None:
    weights = [(run.folder / "model" / "model.safetensors").read_bytes() for run in (one, other)]
    assert weights[0] == weights[1]
    assert untimed(one.metrics) == untimed(other.metrics)
    assert [untimed(line) for line in one.history] == [untimed(line) for line in other.history]


@pytest.mark.parametrize(
    ("objective", "stop_at"),
    [(name, step) for name in ("cross_entropy", "contrastive", "siamese") for step in (5, 12, 30)]
    + [(PROXIES, 17), (REMEMBERING, 17)],
)
def test_sigterm_at_any_step_saves_and_resumes_bit_identically(
    objective: str | dict[str, Any], stop_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny(objective)
    whole = train(recipe, tmp_path / "whole", quiet=True)
    steps = 0
    augment = trainer.augmented

    def counting(*args: object, **kwargs: object) -> object:
        nonlocal steps
        steps += 1
        if steps == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return augment(*args, **kwargs)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "augmented", counting)
        with pytest.raises(Interrupted, match=f"SIGTERM after step {stop_at} of 36.*--resume"):
            train(recipe, tmp_path / "cut", quiet=True)
    assert not (tmp_path / "cut" / "metrics.json").exists()
    saved = latest_checkpoint(tmp_path / "cut" / "checkpoints")
    assert saved is not None
    progress = json.loads((saved / "state.json").read_text())["progress"]
    assert 0 < progress["train_seconds"] <= progress["total_seconds"]
    assert_same_run(train(recipe, tmp_path / "cut", resume=True, quiet=True), whole)


@pytest.mark.parametrize(("optimizer", "lookahead"), [("sgd", 0), ("lars", 0), ("adamw", 3)])
def test_every_optimizer_resumes_bit_identically(
    optimizer: str, lookahead: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny("cross_entropy", optimizer=optimizer, lookahead=lookahead, epochs=2)
    whole = train(recipe, tmp_path / "whole", quiet=True)
    looked = trainer.Monitor.look

    def killed(self: trainer.Monitor, *args: object) -> object:
        os.kill(os.getpid(), signal.SIGINT)
        return looked(self, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Monitor, "look", killed)
        with pytest.raises(Interrupted, match="SIGINT after epoch 1"):
            train(recipe, tmp_path / "cut", quiet=True)
    assert_same_run(train(recipe, tmp_path / "cut", resume=True, quiet=True), whole)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")  # torch's own, while it compiles
def test_a_compiled_run_resumes_bit_identically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny("cross_entropy", epochs=2, compile="always").with_overrides({"encoder": "siamese_cnn"})
    whole = train(recipe, tmp_path / "whole", quiet=True)
    looked = trainer.Monitor.look

    def stopped(self: trainer.Monitor, *args: object) -> object:
        os.kill(os.getpid(), signal.SIGTERM)
        return looked(self, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Monitor, "look", stopped)
        with pytest.raises(Interrupted, match="SIGTERM after epoch 1"):
            train(recipe, tmp_path / "cut", quiet=True)
    assert_same_run(train(recipe, tmp_path / "cut", resume=True, quiet=True), whole)


def test_kill_minus_9_is_survived_bit_identically(tmp_path: Path) -> None:
    recipe = tiny("siamese", epochs=16)
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    command = [sys.executable, "-m", "likewise", "train", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "cut")]
    with (tmp_path / "stderr").open("w") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)
        lines = tmp_path / "cut" / "metrics.jsonl"
        deadline = time.monotonic() + 200  # on a machine that does much else
        while process.poll() is None and time.monotonic() < deadline:
            if lines.exists() and lines.read_text().count("\n") >= 2:
                break
            time.sleep(0.01)
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL, (tmp_path / "stderr").read_text()
    with pytest.raises(RunError, match=r"not finished.*--resume"):
        Run.load(tmp_path / "cut")
    whole = train(recipe, tmp_path / "whole", quiet=True)
    assert_same_run(train(recipe, tmp_path / "cut", resume=True, quiet=True), whole)


def test_the_same_recipe_and_seed_give_the_same_numbers_and_another_seed_others(tmp_path: Path) -> None:
    runs = [train(tiny("contrastive", epochs=1), tmp_path / name, quiet=True) for name in "ab"]
    assert_same_run(*runs)
    other = train(tiny("contrastive", epochs=1), tmp_path / "c", seed=1, quiet=True)
    assert other.history[0]["train_loss"] != runs[0].history[0]["train_loss"]


def test_total_seconds_are_those_on_the_clock(tmp_path: Path) -> None:
    began = time.perf_counter()
    run = train(tiny("cross_entropy"), tmp_path / "run", quiet=True)
    assert run.metrics["train_seconds"] <= run.metrics["total_seconds"] <= time.perf_counter() - began


def test_the_written_recipe_trains_the_same_run_again(tmp_path: Path) -> None:
    first = train(tiny("cross_entropy", epochs=1), tmp_path / "first", quiet=True)
    assert_same_run(train(first.folder / "recipe.yaml", tmp_path / "second", quiet=True), first)


def test_a_run_is_not_overwritten_and_not_resumed_with_another_recipe(tmp_path: Path) -> None:
    recipe = tiny("cross_entropy", epochs=1)
    run = train(recipe, tmp_path / "run", quiet=True)
    with pytest.raises(RunError, match=r"holds a run already.*--resume.*another --out"):
        train(recipe, tmp_path / "run", quiet=True)
    with pytest.raises(RecipeError, match=r"training.epochs \(1 there, 2 now\)"):
        train(recipe, tmp_path / "run", resume=True, quiet=True, epochs=2)
    before = (run.folder / "metrics.json").stat().st_mtime_ns
    assert train(recipe, tmp_path / "run", resume=True, quiet=True).metrics == run.metrics
    assert (run.folder / "metrics.json").stat().st_mtime_ns == before


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match=r"holds files that are not a run"):
        train(tiny("cross_entropy"), tmp_path, quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_two_processes_cannot_train_in_one_folder(tmp_path: Path) -> None:
    from likewise.training.run_folder import working_in

    with working_in(tmp_path / "run"), pytest.raises(RunError, match=rf"Process {os.getpid()} is working"):
        train(tiny("cross_entropy"), tmp_path / "run", quiet=True)


def test_a_damaged_checkpoint_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny("cross_entropy", epochs=2)

    def stop(line: dict[str, object]) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("likewise.training.loop.log_epoch", lambda line, epochs: stop(line))
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path / "run", quiet=True)
    [checkpoint] = (tmp_path / "run" / "checkpoints").iterdir()
    (checkpoint / "state.safetensors").write_bytes(b"half")
    with pytest.raises(RunError, match=rf"{checkpoint.name} cannot be read.*Remove"):
        train(recipe, tmp_path / "run", resume=True, quiet=True)


def test_history_on_disk_is_the_history_of_the_run(tmp_path: Path) -> None:
    run = train(tiny("cross_entropy", epochs=2), tmp_path / "run", quiet=True)
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert {"train_loss", "val_loss", "val_effective_rank", "val_spread", "learning_rate"} <= lines[0].keys()
