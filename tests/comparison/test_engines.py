"""Runs in several processes: the table of a sequence, whatever is killed or stopped on the way."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from likewise.comparison import Comparison, compare
from likewise.comparison.on_ray import _outcome
from likewise.comparison.processes import _Pool
from likewise.comparison.work import Outcome, Work, perform
from likewise.errors import Interrupted, RecipeError
from likewise.models import EmbeddingModel
from likewise.training.exhausted import exhaustion_told
from likewise.training.frozen import FrozenFeatures

from .conftest import recipe_of

RECIPES = [recipe_of(name, training={"epochs": 8, "batch_size": 50}) for name in ("cross_entropy", "siamese")]
SIZES = [1.0, 10**6]  # one that there is, one whose cells fail
TIMED = ("train_seconds", "total_seconds")


def numbers(result: Comparison) -> list[object]:
    """All that must not depend on who computed it."""
    summary = [row for row in result.summary if row.metric not in TIMED]
    return [summary, [row for row in result.differences if row.metric not in TIMED], result.statements]


class Midway(threading.Thread):
    """Sends a signal once, when a run in a folder has made its first epoch: to who works on it, or to a process."""

    def __init__(self, folder: Path, number: signal.Signals, to: int | None = None) -> None:
        super().__init__(daemon=True)
        self.folder, self.number, self.to = folder, number, to
        self.sent: int | None = None

    def run(self) -> None:
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline and self.sent is None:
            for lines in self.folder.glob("cells/*/*/*/metrics.jsonl"):
                working = (lines.parent / ".lock").read_text().strip()
                if lines.read_text() and working and not (lines.parent / "metrics.json").is_file():
                    self.sent = self.to or int(working)
                    os.kill(self.sent, self.number)
                    return
            time.sleep(0.005)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Comparison]:
    """The comparison in sequence, on one thread as the processes have."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield compare(RECIPES, seeds=1, train_sizes=SIZES, out=tmp_path_factory.mktemp("plain"), quiet=True)
    torch.set_num_threads(before)


def test_two_processes_that_are_stopped_and_killed_come_to_the_same_table(plain: Comparison, tmp_path: Path) -> None:
    stop = Midway(tmp_path, signal.SIGINT, os.getpid())
    stop.start()
    with pytest.raises(Interrupted, match=r"SIGINT after \d of 4.*same command again"):
        compare(RECIPES, seeds=1, train_sizes=SIZES, out=tmp_path, jobs=2, quiet=True)
    assert list(tmp_path.glob("cells/*/*/*/checkpoints/step-*"))
    kill = Midway(tmp_path, signal.SIGKILL)
    kill.start()
    result = compare(RECIPES, seeds=1, train_sizes=SIZES, out=tmp_path, jobs=2, quiet=True)
    assert kill.sent not in (None, os.getpid())
    assert [cell.status for cell in result.cells] == ["done", "failed"] * 2
    assert [cell.error for cell in result.cells] == [cell.error for cell in plain.cells]
    assert numbers(result) == numbers(plain)


def test_an_outcome_keeps_nothing_of_the_run_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Weights:
        pass

    seen: list[weakref.ref[Weights]] = []

    def exhausted(*_: object, **__: object) -> None:
        weights = Weights()
        seen.append(weakref.ref(weights))
        with exhaustion_told():
            raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(importlib.import_module("likewise.comparison.work"), "train", exhausted)
    outcome = perform(Work(RECIPES[0], tmp_path, "cells/one"), quiet=True)
    assert "not enough memory" in str(outcome.error)
    assert seen[0]() is None


def test_a_finished_run_leaves_neither_model_nor_features_behind(tmp_path: Path) -> None:
    recipe = recipe_of("cross_entropy", training={"epochs": 1, "freeze": "encoder", "flip": False, "shift": 0})
    gc.collect()
    before = len(_held())
    gc.disable()  # as between two runs that make few objects, and large ones
    try:
        assert perform(Work(recipe, tmp_path, "cells/one"), quiet=True).error is None
        assert len(_held()) == before
    finally:
        gc.enable()


def _held() -> list[object]:
    return [each for each in gc.get_objects() if type(each) in (EmbeddingModel, FrozenFeatures)]


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("OutOfMemoryError", "no memory left"),
        ("NodeDiedError", "machine was lost"),
        ("LocalRayletDiedError", "Ray ended"),
    ],
)
def test_what_ray_loses_has_failed_and_what_it_raises_is_a_bug(lost: str, said: str, tmp_path: Path) -> None:
    errors = pytest.importorskip("ray.exceptions", reason="needs the extra `ray`: pip install 'likewise[ray]'")

    def cluster(error: Exception) -> SimpleNamespace:
        def get(reference: object) -> None:
            raise error

        return SimpleNamespace(exceptions=errors, get=get)

    work = Work(RECIPES[0], tmp_path, "cells/one")
    found = _outcome(cluster(getattr(errors, lost)("gone")), None, work)
    assert isinstance(found, Outcome)
    assert said in str(found.error)
    with pytest.raises(errors.RayTaskError):
        _outcome(cluster(errors.RayTaskError("_perform", "Traceback …", ValueError())), None, work)


def test_an_engine_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"The engine is 'spark' with None jobs"):
        compare(RECIPES, out=tmp_path / "out", engine="spark")
    with pytest.raises(RecipeError, match="with 0 jobs"):
        compare(RECIPES, out=tmp_path / "out", jobs=0)
    assert not (tmp_path / "out").exists()


def test_processes_may_start_processes_of_their_own() -> None:
    """Those that decode images which do not fit in memory: a daemonic process could not."""
    with _Pool(1) as pool:
        [worker] = pool.workers
        assert worker.process.is_alive()
        assert not worker.process.daemon
    worker.process.join(20)
    assert not worker.process.is_alive()
