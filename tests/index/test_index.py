"""``Index``: what is put in is found, by any question, by the right model, after any accident."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import likewise as lw
from likewise.errors import DamagedIndexError, DatasetError, Interrupted, SearchIndexError
from likewise.index import Hit, feed_of_source, writing
from likewise.index.queries import Query
from likewise.index.searching import Searcher
from likewise.index.stream import PixelRows
from likewise.models import EmbeddingModel, InputSpec, SmallCNNOptions, SmallTransformerOptions
from likewise.models.identity import model_id

from .conftest import make_model

pytest.importorskip("lancedb", reason="needs the extra `index`: pip install 'likewise[index]'")


@pytest.fixture(scope="module")
def digits() -> lw.ImageDataset:
    return lw.load_dataset("digits").subset(torch.arange(300))


@pytest.fixture(scope="module")
def shared(model: EmbeddingModel, digits: lw.ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> lw.Index:
    """An index that no test writes to."""
    index = lw.Index.create(tmp_path_factory.mktemp("index") / "digits", model, columns={"price": float, "shop": "str"})
    index.add(digits, columns={"price": np.arange(300.0), "shop": ["north", "south's"] * 150})
    return index


@pytest.fixture
def empty(model: EmbeddingModel, tmp_path: Path) -> lw.Index:
    return lw.Index.create(tmp_path / "index", model)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_neighbours_are_those_of_a_naive_search(
    model: EmbeddingModel, digits: lw.ImageDataset, tmp_path: Path, distance: str
) -> None:
    index = lw.Index.create(tmp_path / "index", model, distance=distance)  # type: ignore[arg-type]
    index.add(digits)
    embeddings = model.embed(digits.images).astype(np.float64)
    queries = embeddings[:20] * 3 + 0.1
    if distance == "cosine":
        unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (queries, embeddings)]
        expected = 1 - unit[0] @ unit[1].T
    else:
        expected = np.linalg.norm(queries[:, None] - embeddings[None], axis=2)
    ids, distances = index.neighbors(queries, k=7)
    order = expected.argsort(axis=1, kind="stable")[:, :7]
    np.testing.assert_allclose(distances, np.take_along_axis(expected, order, 1), atol=1e-5)
    assert ids == [[digits.ids[i] for i in row] for row in order]
    # The flat scan of the table itself, which tables beyond memory take, says the same.
    index._searcher._items.refresh()
    row_ids, scanned = index._searcher._items.nearest(queries[0].astype(np.float32), 7, probes=None)
    np.testing.assert_allclose(scanned, distances[0], atol=1e-5)
    assert index._searcher.names([row_ids]) == ids[:1]


def test_a_hit_says_what_is_known(shared: lw.Index, digits: lw.ImageDataset) -> None:
    hit = shared.search(image=digits.images[17], k=1)[0]
    assert isinstance(hit, Hit)
    assert (hit.id, hit.label, hit.class_name, hit.split) == (digits.ids[17], 7, "7", "train")
    assert hit.distance == pytest.approx(0, abs=1e-6)
    assert hit.columns == {"price": 17.0, "shop": "south's"}
    assert hit.thumbnail is not None
    picture = Image.open(io.BytesIO(hit.thumbnail))
    assert (picture.format, picture.size) == ("JPEG", (8, 8))
    assert np.abs(np.asarray(picture).astype(int) - digits.images[17, 0].numpy()).mean() < 12
    assert hit.as_dict()["price"] == 17.0
    json.dumps(hit.as_dict())


def test_every_way_to_ask_gives_the_same(shared: lw.Index, digits: lw.ImageDataset, tmp_path: Path) -> None:
    image = digits.images[30]
    Image.fromarray(image[0].numpy()).save(tmp_path / "query.png")
    path = tmp_path / "query.png"
    asked = [image, image[0], image.numpy(), path, str(path), path.read_bytes(), Image.open(path)]
    found = [[hit.id for hit in shared.search(image=query, k=4)] for query in asked]
    found.append([hit.id for hit in shared.search(embedding=shared.model.embed(image[None])[0], k=4)])
    assert all(ids == found[0] for ids in found)
    assert found[0][0] == digits.ids[30]


def test_a_filter_is_sql_over_all_columns(shared: lw.Index, digits: lw.ImageDataset) -> None:
    hits = shared.search(image=digits.images[0], k=300, filter="label = 3 AND price < 100 AND shop = 'south''s'")
    expected = {digits.ids[i] for i in range(1, 100, 2) if digits.labels[i] == 3}
    assert {hit.id for hit in hits} == expected
    assert [hit.distance for hit in hits] == sorted(hit.distance for hit in hits if hit.distance is not None)
    assert shared.count("label = 3") == int((digits.labels == 3).sum())
    assert shared.search(image=digits.images[0], filter="price < 0") == []


@pytest.mark.parametrize("filter", ["colour = 3", "label = ", "label = 3; DROP TABLE items", "'", "label / 0 = 1"])
def test_a_filter_that_cannot_be_used_is_named(shared: lw.Index, filter: str) -> None:
    with pytest.raises(SearchIndexError, match=r"filter .* cannot be used.*over the columns id, split, label"):
        shared.search(embedding=np.ones(6), filter=filter)
    assert len(shared) == 300


def test_add_upsert_and_delete(empty: lw.Index, digits: lw.ImageDataset) -> None:
    assert empty.search(embedding=np.ones(6)) == []
    first, second = digits.subset(torch.arange(100)), digits.subset(torch.arange(50, 150))
    assert empty.add(first).written == 100
    with pytest.raises(SearchIndexError, match=r"50 of the 100 ids are in the index already \(train/00050"):
        empty.add(second)
    assert len(empty) == 100
    added = empty.add(second, existing="keep")
    assert (added.written, added.kept, len(empty)) == (50, 50, 150)
    black = lw.ImageDataset(
        "black", "new", torch.zeros(2, 1, 8, 8, dtype=torch.uint8), None, (), None, ("train/00007", "new"), "", ""
    )
    assert empty.upsert(black).written == 2
    assert len(empty) == 151
    hits = empty.search(image=black.images[0], k=2)
    assert {hit.id for hit in hits} == {"train/00007", "new"}
    assert {(hit.split, hit.label) for hit in hits} == {("new", None)}
    assert empty.delete(ids=["new", "train/00007", "nobody's"]) == 2
    assert empty.delete(filter="label >= 5") == sum(int(label) >= 5 for label in digits.labels[:150]) - 1
    assert {hit.id for hit in empty.search(image=black.images[0], k=200)}.isdisjoint({"new", "train/00007"})
    with pytest.raises(SearchIndexError, match="Expected ids or filter"):
        empty.delete()


def test_another_model_is_refused(shared: lw.Index, model: EmbeddingModel) -> None:
    assert len(lw.Index.open(shared.folder, make_model(0))) == 300
    with pytest.raises(SearchIndexError, match=r"is of the model \w{16}, and the one given is \w{16}"):
        lw.Index.open(shared.folder, make_model(1))


def test_an_index_is_complete_and_can_be_moved(model: EmbeddingModel, digits: lw.ImageDataset, tmp_path: Path) -> None:
    index = lw.Index.create(tmp_path / "here", model)
    index.add(digits.subset(torch.arange(20)))
    (tmp_path / "here").rename(tmp_path / "there")
    moved = lw.Index.open(tmp_path / "there")
    assert [hit.id for hit in moved.search(image=digits.images[5], k=1)] == [digits.ids[5]]
    assert "20 images, cosine" in repr(moved)


def test_words_are_found_in_captions(empty: lw.Index, shared: lw.Index) -> None:
    captions = (("a red shoe", "footwear on snow"), ("a blue boot",), ("two dogs running",))
    data = lw.ImageDataset(
        "c", "train", torch.zeros(3, 1, 8, 8, dtype=torch.uint8), None, (), captions, ("a", "b", "c"), "", ""
    )
    empty.add(data)
    hit = empty.search(text="running dog", k=3)[0]
    assert (hit.id, hit.caption, hit.distance) == ("c", "two dogs running", None)
    assert hit.score is not None
    assert hit.score > 0
    assert [found.id for found in empty.search(text="SNOW")] == ["a"]
    assert empty.search(text="red", filter="id = 'b'") == []
    assert empty.search(text="elephant") == []
    with pytest.raises(SearchIndexError, match="have no captions"):
        shared.search(text="seven")


def test_words_are_embedded_by_a_model_that_knows_texts(digits: lw.ImageDataset, tmp_path: Path) -> None:
    torch.manual_seed(0)
    spec = InputSpec(channels=1, height=8, width=8, mean=(0.4,), std=(0.3,))
    text = SmallTransformerOptions(width=16, heads=2, layers=1).fitted(["a red shoe", "a seven on paper"])
    encoder = SmallCNNOptions(widths=(4, 8))
    model = EmbeddingModel(encoder, spec, embedding_dim=6, normalize="output", text_encoder=text).eval()
    index = lw.Index.create(tmp_path / "index", model)
    index.add(digits)
    hits = lw.Index.open(index.folder).search(text="a seven", k=3, filter="label = 7")
    embedded = model.embed_text(["a seven"])
    ids, distances = index.neighbors(embedded, k=3, filter="label = 7")
    assert [hit.id for hit in hits] == ids[0]
    assert [hit.distance for hit in hits] == pytest.approx(distances[0].tolist())
    captions = tuple(("a red shoe" if i == 250 else "nothing",) for i in range(300))
    index.upsert(dataclasses.replace(digits, captions=captions))
    both = index.search(text="red shoe", k=10)
    alike = index.neighbors(model.embed_text(["red shoe"]), k=50)[0][0]
    # First of one ranking and, may be, somewhere in the other: in front. Nothing else has the words.
    assert digits.ids[250] in [hit.id for hit in both[: 1 if digits.ids[250] in alike else 2]]
    assert {hit.id for hit in both} <= {*alike, digits.ids[250]}
    assert [hit.score for hit in both] == sorted((hit.score for hit in both if hit.score is not None), reverse=True)


def test_the_name_of_a_model_counts_its_words(model: EmbeddingModel) -> None:
    spec = InputSpec(channels=1, height=8, width=8, mean=(0.4,), std=(0.3,))
    named = []
    for words in ("a red shoe", "a red boot"):
        torch.manual_seed(0)
        text = SmallTransformerOptions(width=16, heads=2, layers=1).fitted([words])
        named.append(model_id(EmbeddingModel(SmallCNNOptions(), spec, embedding_dim=6, text_encoder=text)))
    assert named[0] != named[1]


def test_another_process_is_seen(empty: lw.Index, digits: lw.ImageDataset) -> None:
    other = lw.Index.open(empty.folder)
    other.add(digits.subset(torch.arange(10)))
    assert len(empty.search(embedding=np.ones(6), k=20)) == 10
    other.delete(ids=[digits.ids[0]])
    assert len(empty) == 9
    assert len(empty.search(embedding=np.ones(6), k=20)) == 9


def test_a_search_stays_in_its_version_while_another_thread_writes(
    empty: lw.Index, digits: lw.ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty.add(digits.subset(torch.arange(10)))
    before = empty.search(embedding=np.ones(6), k=10)
    nearest = Searcher.nearest

    def nearest_then_written(self: Searcher, *arguments: Any) -> Any:
        found = nearest(self, *arguments)
        for write in (
            lambda: empty.add(digits.subset(torch.arange(10, 20))),
            lambda: empty.delete(ids=digits.ids[:5]),
            lambda: empty.upsert(digits.subset(torch.arange(5, 10))),
        ):
            thread = threading.Thread(target=write)
            thread.start()
            thread.join()
        return found

    with monkeypatch.context() as patched:
        patched.setattr(Searcher, "nearest", nearest_then_written)
        assert empty.search(embedding=np.ones(6), k=10) == before
    assert {hit.id for hit in empty.search(embedding=np.ones(6), k=20)} == {*digits.ids[5:20]}
    turn = empty._searcher.turn
    empty.build()
    assert empty._searcher.turn is turn


def test_a_damaged_table_is_not_blamed_on_what_was_asked(empty: lw.Index, digits: lw.ImageDataset) -> None:
    empty.add(digits.subset(torch.arange(10)))
    shutil.rmtree(empty.folder / "items.lance" / "data")
    index = lw.Index.open(empty.folder)
    for ask in (
        lambda: index.lookup([digits.ids[0]], ["label"]),
        lambda: index.search(embedding=np.ones(6)),
        lambda: index.search(embedding=np.ones(6), filter="label = 3"),
        lambda: index.count("label = 3"),
        lambda: list(index.scan(["id"]).batches),
    ):
        with pytest.raises(DamagedIndexError, match=r"index is damaged \(.*Expected all files of items\.lance"):
            ask()
    with pytest.raises(SearchIndexError, match="The filter 'colour = 3' cannot be used"):
        index.count("colour = 3")
    shutil.rmtree(empty.folder / "items.lance" / "_versions")
    with pytest.raises(DamagedIndexError, match="is damaged"):
        len(index)


def test_what_does_not_fit_is_named(
    shared: lw.Index, model: EmbeddingModel, digits: lw.ImageDataset, tmp_path: Path
) -> None:
    with pytest.raises(SearchIndexError, match=r"is not an index.*likewise index RUN SOURCE"):
        lw.Index.open(tmp_path)
    with pytest.raises(SearchIndexError, match="is there already"):
        lw.Index.create(tmp_path, model)
    with pytest.raises(SearchIndexError, match="'label' of type 'float'"):
        lw.Index.create(tmp_path / "a", model, columns={"label": float})
    with pytest.raises(SearchIndexError, match="'size' of type 'list'"):
        lw.Index.create(tmp_path / "a", model, columns={"size": list})
    with pytest.raises(SearchIndexError, match=r"columns given are none.*has price, shop"):
        shared.upsert(digits)
    with pytest.raises(SearchIndexError, match=r"'price' has 3 values.*each of 300 images"):
        shared.upsert(digits, columns={"price": [1, 2, 3], "shop": ["a"] * 300})
    with pytest.raises(SearchIndexError, match="one of image, text and embedding"):
        shared.search()
    with pytest.raises(SearchIndexError, match=r"text to search for is ' '.*at least one word"):
        shared.search(text=" ")
    with pytest.raises(SearchIndexError, match=r"shape \(1, 5\).*Expected embeddings of 6 finite"):
        shared.search(embedding=np.ones(5))
    with pytest.raises(SearchIndexError, match="not finite"):
        shared.search(embedding=np.full(6, np.nan))
    with pytest.raises(SearchIndexError, match="k is 0"):
        shared.search(embedding=np.ones(6), k=0)
    with pytest.raises(SearchIndexError, match="k is -1"):
        Query(text="a word in a caption", k=-1)
    with pytest.raises(SearchIndexError, match=r"no column colour\. Columns: id, split"):
        shared.lookup(["nobody"], ["colour"])
    with pytest.raises(DatasetError, match=r"nothing\.png cannot be read"):
        shared.search(image=tmp_path / "nothing.png")
    (tmp_path / "text.png").write_text("words")
    with pytest.raises(DatasetError, match=r"text\.png is not a readable image"):
        shared.search(image=tmp_path / "text.png")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "index.json").write_text("{")
    with pytest.raises(SearchIndexError, match=r"index\.json cannot be read"):
        lw.Index.open(tmp_path / "damaged")


def test_nothing_is_added_of_an_empty_data_set(empty: lw.Index, digits: lw.ImageDataset) -> None:
    assert empty.add(digits.subset(torch.arange(0))).written == 0
    assert len(empty) == 0
    assert empty.lookup([], ["label"]) == []


def test_rows_are_committed_as_they_come(
    empty: lw.Index, digits: lw.ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "COMMIT_ROWS", 64)
    sizes = []
    write = type(empty._items).write
    monkeypatch.setattr(
        type(empty._items), "write", lambda self, rows, **how: (sizes.append(len(rows)), write(self, rows, **how))
    )
    empty.add(digits, batch_size=32)
    assert sizes == [64, 64, 64, 64, 44]


def test_a_signal_keeps_the_rows_so_far(empty: lw.Index) -> None:
    feed = feed_of_source(empty.model, "digits")

    def interrupted(batch_size: int, start: int) -> Iterator[PixelRows]:
        for batch in feed.open(batch_size, start):
            if batch.end == 200:
                signal.raise_signal(signal.SIGINT)
            yield batch

    with pytest.raises(
        Interrupted, match=rf"SIGINT after image 200 of 1,797.*are in {empty.folder}.*same command again"
    ):
        empty.add(dataclasses.replace(feed, open=interrupted), batch_size=50)
    assert len(empty) == 200
    assert empty.add(feed, existing="keep").kept == 200
    assert len(empty) == 1797
