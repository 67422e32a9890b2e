"""A run on several ranks is the run of one process, and whatever ends a rank ends all of them with nothing lost."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from likewise.errors import Interrupted, RankError, TrainingError
from likewise.models import EmbeddingModel
from likewise.recipe import Recipe
from likewise.training import Run, train, trainer
from rank_pool import RankPool

UNTIMED = ("seconds", "images_per_second", "peak_memory")


def shared(objective: str | dict[str, Any], **training: object) -> Recipe:
    """50 images a step, which neither two pairs of ranks nor three ranks share evenly; three steps an epoch."""
    values = {"epochs": 3, "batch_size": 51, "optimizer": "sgd", "learning_rate": 0.01, "precision": "32-true"}
    return Recipe.parse(
        {
            "name": "shared",
            "data": {"source": "digits", "validation": 100, "train_size": 160},
            "embedding_dim": 8,
            "encoder": {"name": "small_cnn", "widths": (4, 8, 16)},
            "objective": objective,
            "training": values | {"flip": True, "shift": 1} | training,
            "evaluation": {"monitor": 60},
        }
    )


def losses(run: Run) -> list[dict[str, float]]:
    return [{name: line[name] for name in ("train_loss", "val_loss", "step")} for line in run.history]


def assert_close(one: Run, other: Run, *, relative: float) -> None:
    assert len(one.history) == len(other.history)
    for mine, theirs in zip(losses(one), losses(other), strict=True):
        assert mine == pytest.approx(theirs, rel=relative)


def train_on_a_rank(recipe: Recipe, folder: Path, resume: bool = False) -> list[dict[str, float]]:
    return losses(train(recipe, folder, resume=resume, quiet=True))


OBJECTIVES: list[str | dict[str, Any]] = [
    {"name": "cross_entropy", "label_smoothing": 0.1},
    "contrastive",
    "siamese",
]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_two_ranks_take_the_steps_of_one_process(
    objective: str | dict[str, Any], tmp_path: Path, two_ranks: RankPool
) -> None:
    recipe = shared(objective)
    two_ranks.run(train_on_a_rank, recipe, tmp_path / "two")
    two, one = Run.load(tmp_path / "two"), train(recipe, tmp_path / "one", quiet=True)
    assert_close(two, one, relative=2e-5)
    assert two.environment["processes"] == 2
    assert two.metrics["knn1_accuracy"] == pytest.approx(one.metrics["knn1_accuracy"], abs=0.02)
    assert two.embeddings("test").ids == one.embeddings("test").ids
    assert (tmp_path / "two" / "metrics.jsonl").read_text().count("\n") == 3
    assert (tmp_path / "two" / "log.txt").read_text().count("training ") == 1


def test_in_chunks_two_ranks_measure_the_model_that_is_saved(tmp_path: Path, two_ranks: RankPool) -> None:
    """Chunks leave each rank running averages of its own; the run has those of rank 0."""
    two_ranks.run(train_on_a_rank, shared("contrastive", epochs=1, gradcache=10), tmp_path / "run")
    run = Run.load(tmp_path / "run")
    found = run.model.embed(run.data().test.images)
    np.testing.assert_allclose(found, run.embeddings("test").embeddings, rtol=1e-4, atol=1e-5)


def stop_on_rank_1(recipe: Recipe, folder: Path) -> str:
    flip_and_shift, calls = trainer.augmented, 0

    def counting(*args: Any, **kwargs: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 4 and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGTERM)
        return flip_and_shift(*args, **kwargs)

    trainer.augmented = counting
    try:
        train(recipe, folder, quiet=True)
    except Interrupted as error:
        return str(error)
    finally:
        trainer.augmented = flip_and_shift
    return "not interrupted"


def test_a_signal_to_one_rank_stops_all_at_one_step_and_one_process_goes_on(
    tmp_path: Path, two_ranks: RankPool
) -> None:
    recipe = shared("contrastive")
    messages = two_ranks.run(stop_on_rank_1, recipe, tmp_path / "run")
    assert messages[0] == messages[1]
    assert messages[0].startswith("SIGTERM after step 5 of 9. The state is saved in")
    finished = train(recipe, tmp_path / "run", resume=True, quiet=True)
    assert_close(finished, train(recipe, tmp_path / "one", quiet=True), relative=2e-5)


def explode_on_rank_1(recipe: Recipe, folder: Path) -> tuple[type[Exception], str]:
    forward, calls = EmbeddingModel.forward, 0

    def exploding(self: EmbeddingModel, images: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += self.training
        return forward(self, images) * (math.nan if calls == 5 and os.environ["RANK"] == "1" else 1)

    EmbeddingModel.forward = exploding  # type: ignore[method-assign]
    try:
        train(recipe, folder, quiet=True)
    except TrainingError as error:
        return type(error), str(error)
    finally:
        EmbeddingModel.forward = forward  # type: ignore[method-assign]
    return Exception, "no error"


def test_a_loss_that_is_not_finite_on_one_rank_stops_all_and_is_said_once(tmp_path: Path, two_ranks: RankPool) -> None:
    (first, said), (second, _) = two_ranks.run(explode_on_rank_1, shared("cross_entropy"), tmp_path / "run")
    assert first is TrainingError
    assert said.startswith("The loss is nan at step 5 (learning rate")
    assert second is RankError


def no_folder_on_rank_0(recipe: Recipe, folder: Path) -> str:
    try:
        train(recipe, folder, quiet=True)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def test_a_mistake_that_rank_0_finds_ends_all_ranks(tmp_path: Path, two_ranks: RankPool) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    first, second = two_ranks.run(no_folder_on_rank_0, shared("siamese"), tmp_path)
    assert first.startswith("RunError")
    assert "files that are not a run" in first
    assert second.startswith("RankError: Rank 0 of 2 could not go on")


def launch(ranks: int, recipe: Path, folder: Path, errors: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    command += ["-m", "likewise", "train", str(recipe), "--out", str(folder)]
    with errors.open("w") as stderr:
        return subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=stderr, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )


def wait_for_epochs(folder: Path, epochs: int, goes_on: Callable[[], bool]) -> None:
    lines, deadline = folder / "metrics.jsonl", time.monotonic() + 120
    while goes_on() and time.monotonic() < deadline:
        if lines.exists() and lines.read_text().count("\n") >= epochs:
            return
        time.sleep(0.01)
    raise AssertionError("the run ended, or stood still, before it could be stopped")


def test_torchrun_stopped_then_killed_then_finished_on_another_number_of_ranks(tmp_path: Path) -> None:
    recipe = shared("contrastive", epochs=30, learning_rate=0.0005)
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    folder, errors = tmp_path / "run", tmp_path / "stderr"

    process = launch(2, tmp_path / "recipe.yaml", folder, errors)
    wait_for_epochs(folder, 2, lambda: process.poll() is None)
    [second] = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if child.environ().get("RANK") == "1" and child.ppid() == process.pid
    ]
    second.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) != 0, errors.read_text()
    said = errors.read_text()
    assert said.count("Interrupted: SIGTERM after ") == 1
    assert "exitcode  : 130" in said
    assert not (folder / "metrics.json").exists()
    done = (folder / "metrics.jsonl").read_text().count("\n")

    three = RankPool(3)
    three.start(train_on_a_rank, recipe, folder, True)
    wait_for_epochs(folder, done + 2, lambda: True)
    three.kill(2)
    *survivors, killed = three.answers()
    three.close()
    assert killed is None
    assert [type(error) for error in survivors] == [RankError, RankError]
    assert "has lost another rank" in str(survivors[0])
    assert (folder / "log.txt").read_text().count("resumed from step") == 1

    finished = train(recipe, folder, resume=True, quiet=True)
    assert [line["epoch"] for line in finished.history] == list(range(1, 31))
    assert json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1]) == finished.history[-1]
    assert_close(finished, train(recipe, tmp_path / "one", quiet=True), relative=1e-3)
