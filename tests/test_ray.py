"""On a Ray cluster of this machine: what the plain engines give, with workers killed midway."""

from __future__ import annotations

import importlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
import torch

from comparison.conftest import recipe_of
from comparison.test_engines import Midway, numbers
from likewise import train, verbs
from likewise.comparison import compare

ray = pytest.importorskip("ray", reason="needs the extra ray")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray's own, when ray.data is imported
RECIPES = [recipe_of(name, training={"epochs": 8, "batch_size": 50}) for name in ("cross_entropy", "siamese")]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[Any]:
    """Two workers, which see this source."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=80 * 2**20,
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield ray
    ray.shutdown()
    torch.set_num_threads(threads)


def test_a_comparison_that_loses_a_worker_comes_to_the_table_of_the_plain_engine(tmp_path: Path) -> None:
    kill = Midway(tmp_path / "ray", signal.SIGKILL)
    kill.start()
    result = compare(RECIPES, seeds=1, out=tmp_path / "ray", engine="ray", quiet=True)
    assert kill.sent not in (None, os.getpid())
    plain = compare(RECIPES, seeds=1, out=tmp_path / "plain", quiet=True)
    assert numbers(result) == numbers(plain)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(recipe_of("cross_entropy"), tmp_path_factory.mktemp("run") / "run", quiet=True).folder


def kill_an_actor(parts: Path, killed: list[int]) -> None:
    """Kill one process of the pool when the first part is there."""
    while not list(parts.glob("*.parquet")):
        time.sleep(0.005)
    below = psutil.Process().children(recursive=True)
    killed += [process.pid for process in below if "MapWorker" in " ".join(process.cmdline())][:1]
    os.kill(killed[0], signal.SIGKILL)


def test_embedding_that_loses_a_worker_loses_and_repeats_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.import_module("likewise.index.embed_on_ray"), "IMAGES_A_PART", 64)
    plain = pq.read_table(verbs.embed(run, "digits", tmp_path / "plain.parquet", batch_size=16, quiet=True).path)
    parts, killed = tmp_path / ".ray.parquet.parts", list[int]()
    killer = threading.Thread(target=kill_an_actor, args=(parts, killed), daemon=True)
    killer.start()
    options: dict[str, Any] = {"engine": "ray", "jobs": 2, "quiet": True}
    written = verbs.embed(run, "digits", tmp_path / "ray.parquet", batch_size=16, **options)
    assert killed
    assert (written.images, written.resumed_from) == (1797, 0)
    assert pq.read_table(written.path).equals(plain, check_metadata=True)
    assert not parts.exists()
