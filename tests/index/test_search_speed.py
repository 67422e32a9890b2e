"""What makes a search fast and may not make it wrong: embeddings in memory, partitions, one look for a new version."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch

import likewise as lw
from likewise.errors import SearchIndexError
from likewise.index import _lance, approximate, searching
from likewise.index.centres import Centres
from likewise.models import EmbeddingModel

pytest.importorskip("lancedb", reason="needs the extra `index`: pip install 'likewise[index]'")


@pytest.fixture(scope="module")
def digits() -> lw.ImageDataset:
    return lw.load_dataset("digits").subset(torch.arange(300))


@pytest.fixture(scope="module")
def thousand(model: EmbeddingModel, tmp_path_factory: pytest.TempPathFactory) -> lw.Index:
    """An index that no test adds to."""
    index = lw.Index.create(tmp_path_factory.mktemp("index") / "digits", model)
    index.add(lw.load_dataset("digits").subset(torch.arange(1000)))
    return index


@pytest.mark.parametrize("held", ["memory", "disk"])
def test_the_approximate_index_reaches_the_recall_asked_for(
    held: str,
    model: EmbeddingModel,
    digits: lw.ImageDataset,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sample = {"memory": 50, "disk": 15}[held]
    for name in ("SAMPLE", "SAMPLE_ON_DISK"):
        monkeypatch.setattr(approximate, name, sample)
    if held == "disk":
        for module in (approximate, searching):
            monkeypatch.setattr(module, "MOST_BYTES", 1)
    index = lw.Index.create(tmp_path / "index", model)
    index.add(lw.load_dataset("digits"))
    with caplog.at_level("INFO", logger="likewise"):
        low, high = index.build(recall=0.5), index.build(recall=1.0)
    assert (low.held, high.held) == (held, held)
    assert low.recall >= 0.5
    assert high.recall == 1.0
    assert low.probes < high.probes <= high.partitions == 42
    assert f"recall@10 1.0000 on {sample} queries" in caplog.text
    # Few rows meet a condition, and all of them are found, wherever they lie.
    index.build(recall=0.1)
    assert len(index.search(image=digits.images[0], k=170, filter="label = 4")) == 170
    index.build(recall=1.0)
    queries = model.embed(digits.images[:50])
    nearly, exact = (lw.Index.open(index.folder).neighbors(queries, exact=exact) for exact in (None, True))
    # Other queries than those it was tuned on, so not each of them need be found whole.
    found = np.stack(nearly[1]) <= np.stack(exact[1])[:, -1:] + 1e-5
    assert found.mean() > 0.85
    index.add(
        lw.ImageDataset("n", "new", 255 - digits.images[:1], None, (), None, ("new",), "", "")
    )  # rows that came later are found too
    assert index.search(image=255 - digits.images[0], k=1)[0].id == "new"
    with pytest.raises(SearchIndexError, match=r"recall is 1\.5"):
        index.build(1.5)


def test_the_recall_asked_for_stands_and_a_reader_follows_who_builds(
    model: EmbeddingModel, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approximate, "SAMPLE_ON_DISK", 15)
    monkeypatch.setattr(approximate, "APPROXIMATE_FROM", 200)
    for module in (approximate, searching):
        monkeypatch.setattr(module, "MOST_BYTES", 1)
    data = lw.load_dataset("digits")
    first, second = (data.subset(torch.arange(start, start + 300)) for start in (0, 300))
    index = lw.Index.create(tmp_path / "index", model)
    with caplog.at_level("INFO", logger="likewise"):
        index.add(first, recall=1.0)
    assert caplog.text.count("approximate index of 300 rows") == 1
    reader = lw.Index.open(index.folder)
    queries = model.embed(first.images[:40])
    exact = [sorted(ids) for ids in reader.neighbors(queries, k=5, exact=True)[0]]
    assert [sorted(ids) for ids in reader.neighbors(queries, k=5)[0]] == exact
    index.build(0.01)
    assert reader.manifest.approximate == index.manifest.approximate
    assert [sorted(ids) for ids in reader.neighbors(queries, k=5)[0]] != exact
    assert index.build(1.0).asked == index.build().asked == 1.0
    reader.add(second)
    built = index.manifest.approximate
    assert built is not None
    assert (built.rows, built.asked, built.recall) == (600, 1.0, 1.0)
    (index.folder / "index.json").write_text("{")
    assert index.manifest.approximate == built  # what was known stands


def test_tables_beyond_memory_are_scanned(
    thousand: lw.Index, digits: lw.ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = thousand.search(image=digits.images[0], k=5, filter="label < 5")
    monkeypatch.setattr(searching, "MOST_BYTES", 1)
    again = lw.Index.open(thousand.folder).search(image=digits.images[0], k=5, filter="label < 5")
    assert [hit.id for hit in again] == [hit.id for hit in before]
    assert [hit.distance for hit in again] == pytest.approx([hit.distance for hit in before], abs=1e-5)


def test_partitions_lie_where_the_rows_are(
    thousand: lw.Index, model: EmbeddingModel, digits: lw.ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = model.embed(digits.images)
    exact = lw.Index.open(thousand.folder).neighbors(queries, k=10)
    thousand.build(recall=0.9)
    assert lw.Index.open(thousand.folder).neighbors(queries, k=10, exact=True)[0] == exact[0]
    nearly = lw.Index.open(thousand.folder).neighbors(queries, k=10)
    shares = [len({*one} & {*other}) / 10 for one, other in zip(nearly[0], exact[0], strict=True)]
    assert 0.8 < np.mean(shares) < 1
    # What is found is at its true distance, and a row is its own nearest neighbour.
    for (ids, distances), (true_ids, true_distances) in zip(
        zip(*nearly, strict=True), zip(*exact, strict=True), strict=True
    ):
        known = dict(zip(true_ids, true_distances.tolist(), strict=True))
        assert all(known[i] == d for i, d in zip(ids, distances.tolist(), strict=True) if i in known)
        assert distances[0] == pytest.approx(0, abs=1e-6)
    # A filter is answered by looking at all that meet it.
    filtered = [
        lw.Index.open(thousand.folder).neighbors(queries, k=10, filter="label < 5", exact=e) for e in (None, True)
    ]
    assert filtered[0][0] == filtered[1][0]
    # More than the partitions hold, and without the file of their centres: everything is looked at.
    assert len(lw.Index.open(thousand.folder).neighbors(queries[:1], k=1000)[0][0]) == 1000
    (thousand.folder / "centres.safetensors").write_bytes(b"damaged")
    assert lw.Index.open(thousand.folder).neighbors(queries, k=10)[0] == exact[0]


def test_an_empty_index_can_be_built(model: EmbeddingModel, tmp_path: Path) -> None:
    index = lw.Index.create(tmp_path / "index", model)
    assert index.build().rows == 0
    assert index.neighbors(np.ones((2, 6)), k=3)[0] == [[], []]


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_a_row_belongs_to_its_nearest_centre(distance: str) -> None:
    rows = np.random.default_rng(0).normal(size=(500, 5)).astype(np.float32)
    rows[7] = 0
    centres = Centres.fit(rows, 12, distance, seed=0)  # type: ignore[arg-type]
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30) if distance == "cosine" else rows
    gaps = np.square(unit[:, None] - centres._centres.numpy()[None]).sum(axis=2)
    assert (centres.assign(rows) == gaps.argmin(axis=1)).mean() > 0.99  # but for rounding
    assert (
        centres.nearest(rows[3] * 2 if distance == "cosine" else rows[3], 4).tolist() == gaps[3].argsort()[:4].tolist()
    )
    assert len(np.unique(centres.assign(rows))) == 12


def test_the_table_is_opened_again_only_where_it_has_changed(
    model: EmbeddingModel, digits: lw.ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = lw.Index.create(tmp_path / "index", model)
    index.add(digits.subset(torch.arange(20)))
    reader, refreshed = lw.Index.open(index.folder), []
    refresh = _lance.LanceItems.refresh
    monkeypatch.setattr(_lance.LanceItems, "refresh", lambda self: (refreshed.append(self), refresh(self))[1])
    monkeypatch.setattr(_lance, "SETTLED_NS", -1)  # as if the last commit were long ago
    for _ in range(3):
        assert len(reader.search(embedding=np.ones(6), k=50)) == 20
    assert refreshed == [reader._items]
    time.sleep(0.02)  # more than a tick of the file system's clock
    index.delete(ids=[digits.ids[0]])
    refreshed.clear()
    assert len(reader.search(embedding=np.ones(6), k=50)) == len(reader) == 19
    assert refreshed == [reader._items]
    # A commit of this very moment may be followed by another with the same time.
    monkeypatch.setattr(_lance, "SETTLED_NS", 10**12)
    index.delete(ids=[digits.ids[1]])
    refreshed.clear()
    assert [len(reader), len(reader)] == [18, 18]
    assert refreshed == [reader._items] * 2
