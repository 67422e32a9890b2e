"""An index after kills, a full disk, a folder that may not be written, and with two writers: its last commit, every row once.

``LIKEWISE_KILLS=20 pytest tests/index/test_accidents.py -k killed`` kills as often as one likes.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import likewise as lw
from likewise.index import Hit
from likewise.models import EmbeddingModel

from .conftest import FreshProcess
from .workers import add_digits, keep_writing, picture_of, write_as_a_guest, write_on_a_full_disk

pytest.importorskip("lancedb", reason="needs the extra `index`: pip install 'likewise[index]'")

KILLS = int(os.environ.get("LIKEWISE_KILLS", "3"))


@pytest.fixture
def empty(model: EmbeddingModel, tmp_path: Path) -> lw.Index:
    return lw.Index.create(tmp_path / "index", model)


def test_killed_at_any_moment_every_committed_row_is_there_once(
    model: EmbeddingModel, tmp_path: Path, fresh_process: FreshProcess
) -> None:
    index = lw.Index.create(tmp_path / "index", model, columns={"version": int})
    journal, chance = tmp_path / "journal", random.Random(int(os.environ.get("LIKEWISE_SEED", "0")))
    journal.touch()
    rows: dict[str, int] = {}
    highest, step = -1, 0
    for _ in range(KILLS):
        before = len(journal.read_text().splitlines())
        process = fresh_process(keep_writing, index.folder, journal, step, highest, list(rows))
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and len(journal.read_text().splitlines()) <= before:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.6))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        lines = [json.loads(line) for line in journal.read_text().splitlines()[before:]]
        rows = _as_said(rows, lines, _rows_of(lw.Index.open(index.folder), model))
        highest = max([highest, *(int(identity) for line in lines for identity in line.get("ids", []))])
        step = max(line["step"] for line in lines if "step" in line) + 1
    # The index that was open all the time says the same, and goes on.
    assert _rows_of(index, model) == rows
    index.upsert(lw.load_dataset("digits").subset(torch.arange(5)), columns={"version": [0] * 5})
    assert len(index) == len(rows) + 5


def _rows_of(index: lw.Index, model: EmbeddingModel) -> dict[str, int]:
    """Version by id of all rows: each is there once, with the embedding of its version, and can be found."""
    hits: list[Hit] = index.search(embedding=np.ones(6), k=100_000, exact=True)
    found = {hit.id: hit.columns["version"] for hit in hits}
    assert len(found) == len(hits) == len(index)
    if found:
        embeddings = model.embed(torch.stack([picture_of(identity, version) for identity, version in found.items()]))
        distances = 1 - embeddings @ np.ones(6) / np.sqrt(6)
        np.testing.assert_allclose([hit.distance for hit in hits], distances, atol=1e-5)
        assert index.neighbors(embeddings[:3], k=1)[0] == [[identity] for identity in list(found)[:3]]
    return found


def _as_said(rows: dict[str, int], lines: list[dict[str, object]], found: dict[str, int]) -> dict[str, int]:
    """What was found, once it is what was there before with all steps that were done, and some rows of the last one."""
    rows, done = dict(rows), {line["done"] for line in lines if "done" in line}
    for line in lines:
        if line.get("step") in done:
            for identity in line["ids"]:
                rows[identity] = line["step"]
                if line["wish"] == "delete":
                    del rows[identity]
    cut = lines[-1] if "wish" in lines[-1] else {"ids": [], "wish": "", "step": -1}
    touched = set(cut["ids"])
    assert {i: v for i, v in found.items() if i not in touched} == {i: v for i, v in rows.items() if i not in touched}
    for identity in touched:
        after = None if cut["wish"] == "delete" else cut["step"]
        assert found.get(identity) in (rows.get(identity), after)
    return found


def test_two_writers_of_the_same_rows_write_each_once(empty: lw.Index, fresh_process: FreshProcess) -> None:
    both = [fresh_process(add_digits, empty.folder, 0, 400), fresh_process(add_digits, empty.folder, 200, 600)]
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    assert len(empty) == 600
    assert len({hit.id for hit in empty.search(embedding=np.ones(6), k=1000)}) == 600


def test_a_full_disk_leaves_the_last_commit(empty: lw.Index, tmp_path: Path, fresh_process: FreshProcess) -> None:
    digits = lw.load_dataset("digits")
    empty.add(digits.subset(torch.arange(100)))
    process = fresh_process(write_on_a_full_disk, empty.folder, tmp_path / "said", 200)
    process.join(120)
    said = json.loads((tmp_path / "said").read_text())
    for what in ("add", "upsert", "build"):
        assert said[what].startswith(f"SearchIndexError: The index {empty.folder} cannot be written"), (
            what,
            said[what],
        )
        assert "the rows of the last commit are there. Free some space" in said[what]
    assert "could not be written" in said["create"]
    assert said["search"] == "nothing"
    assert not (tmp_path / "new").exists()
    assert len(empty) == 100
    assert len(empty.search(embedding=np.ones(6), k=2000)) == 100
    assert empty.add(digits, existing="keep").written == 1697


@pytest.fixture
def readable_by_all(model: EmbeddingModel) -> Iterator[Path]:
    """A folder that others may enter, unlike those of ``tmp_path``."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        path.chmod(0o755)
    shutil.rmtree(folder)


def test_an_index_that_may_only_be_read(
    model: EmbeddingModel, readable_by_all: Path, tmp_path: Path, fresh_process: FreshProcess
) -> None:
    index = lw.Index.create(readable_by_all / "index", model)
    index.add(lw.load_dataset("digits").subset(torch.arange(50)))
    for path in sorted(readable_by_all.rglob("*"), reverse=True):
        path.chmod(0o555 if path.is_dir() else 0o444)
    process = fresh_process(write_as_a_guest, index.folder, tmp_path / "said")
    process.join(120)
    said = json.loads((tmp_path / "said").read_text())
    assert (said["search"], said["length"]) == ("nothing", "50")
    for what in ("add", "delete", "build", "create"):
        assert "cannot be written" in said[what], (what, said[what])
        assert "permission" in said[what]
    assert len(lw.Index.open(index.folder)) == 50
