"""``likewise embed``: every row once, whatever happens on the way."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from likewise import load_dataset, verbs
from likewise.errors import DatasetError, Interrupted, RunError
from likewise.index import Feed, embed_file, embed_to_file, feed_of_source
from likewise.index.embed_on_ray import Embedder, ranges_of
from likewise.index.parts import Parts
from likewise.index.stream import PixelRows
from likewise.models import EmbeddingModel, load_model
from likewise.models.identity import model_id

from .conftest import FreshProcess, make_model, write_photos
from .workers import embed_digits

LANCE = pytest.importorskip("lancedb", reason="needs the extra index")


@pytest.fixture
def many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part after every batch."""
    monkeypatch.setattr(embed_file, "SECONDS_A_PART", 0.0)


def test_rows_are_those_of_the_source(model: EmbeddingModel, model_folder: Path, tmp_path: Path) -> None:
    written = verbs.embed(model_folder, "digits", tmp_path / "out" / "digits.parquet", quiet=True)
    digits = load_dataset("digits")
    table = pq.read_table(written.path)
    assert table.schema.names == ["id", "split", "label", "class_name", "captions", "embedding"]
    assert table["id"].to_pylist() == list(digits.ids)
    assert table["label"].to_pylist() == digits.labels.tolist()
    assert table["class_name"][:3].to_pylist() == ["0", "1", "2"]
    assert set(table["split"].to_pylist()) == {"train"}
    embeddings = np.stack(table["embedding"].to_numpy(zero_copy_only=False))
    np.testing.assert_allclose(embeddings, model.embed(digits.images), atol=1e-6)
    assert (written.images, written.embedding_dim, written.resumed_from, written.bad_images) == (1797, 6, 0, ())
    assert json.loads(table.schema.metadata[b"likewise"])["model"] == model_id(model)
    assert [path.name for path in written.path.parent.iterdir()] == ["digits.parquet"]


def test_captions_and_missing_labels(model: EmbeddingModel, model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("a", "b"):
        Image.fromarray(np.full((8, 8), ord(name), np.uint8)).save(tmp_path / "photos" / f"{name}.png")
    (tmp_path / "photos" / "metadata.csv").write_text("file_name,caption,label\na.png,a red shoe,shoe\nb.png,a boot,\n")
    table = pq.read_table(verbs.embed(model_folder, tmp_path / "photos", tmp_path / "p.parquet", quiet=True).path)
    assert table["captions"].to_pylist() == [["a red shoe"], ["a boot"]]
    assert table["class_name"].to_pylist() == ["shoe", None]
    assert table["label"].to_pylist() == [0, None]


def test_killed_again_and_again_it_loses_and_repeats_nothing(
    model_folder: Path, tmp_path: Path, fresh_process: FreshProcess, caplog: pytest.LogCaptureFixture
) -> None:
    whole = pq.read_table(
        verbs.embed(model_folder, "digits", tmp_path / "whole.parquet", batch_size=8, quiet=True).path
    )
    path, parts = tmp_path / "digits.parquet", tmp_path / ".digits.parquet.parts"
    for kill in range(2):
        done = len(list(parts.glob("*.parquet")))
        process = fresh_process(embed_digits, model_folder, path)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and len(list(parts.glob("*.parquet"))) < done + 5 + 20 * kill:
            time.sleep(0.01)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert not path.exists()
        assert len(list(parts.glob("*.parquet"))) > done
    with caplog.at_level("INFO", logger="likewise"):
        written = verbs.embed(model_folder, "digits", path, batch_size=8, quiet=True)
    assert 0 < written.resumed_from < 1797
    assert written.images == 1797
    assert f"going on: {written.resumed_from:,} of 1,797 images are done" in caplog.text
    again = pq.read_table(path)
    assert again.select(["id", "label", "embedding"]).equals(whole.select(["id", "label", "embedding"]))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["digits.parquet", "whole.parquet"]


def test_a_signal_keeps_what_is_done(model: EmbeddingModel, tmp_path: Path) -> None:
    feed = feed_of_source(model, "digits")

    def interrupted(batch_size: int, start: int) -> Iterator[PixelRows]:
        for batch in feed.open(batch_size, start):
            if batch.end == 200:
                signal.raise_signal(signal.SIGTERM)
            yield batch

    stopped = Feed(feed.name, feed.total, feed.ids, (), interrupted)
    with pytest.raises(Interrupted, match=r"SIGTERM after image 200 of 1,797.*same command again"):
        embed_to_file(model, stopped, tmp_path / "d.parquet", batch_size=50, quiet=True)
    written = embed_to_file(model, feed, tmp_path / "d.parquet", batch_size=50, quiet=True)
    assert written.resumed_from == 200
    assert pq.read_table(written.path)["id"].to_pylist() == list(feed.ids)


def test_a_beginning_is_finished_only_by_the_same_model_and_images(
    model: EmbeddingModel, model_folder: Path, tmp_path: Path, many_parts: None
) -> None:
    write_photos(tmp_path / "photos", per_class=4)
    bad = sorted((tmp_path / "photos" / "dog").iterdir())[2]
    bad.write_bytes(b"")
    path = tmp_path / "p.parquet"
    with pytest.raises(DatasetError, match="empty, 0 bytes"):
        verbs.embed(model_folder, tmp_path / "photos", path, batch_size=2, quiet=True)
    feed = feed_of_source(make_model(1), tmp_path / "photos", on_bad_image="skip")
    with pytest.raises(RunError, match=r"another file: it differs in model"):
        embed_to_file(make_model(1), feed, path, batch_size=2, quiet=True)
    with pytest.raises(RunError, match=r"differs in ids, images, source"):
        verbs.embed(model_folder, "digits", path, batch_size=2, quiet=True)
    written = verbs.embed(model_folder, tmp_path / "photos", path, batch_size=2, on_bad_image="skip", quiet=True)
    assert written.resumed_from == 6
    assert written.images == 7
    assert [item.item for item in written.bad_images] == [f"photos/dog/{bad.name}"]
    assert written.bad_images_file == tmp_path / "p.bad-images.csv"
    listed = written.bad_images_file.read_text().splitlines()
    assert listed == ["position,item,reason", f'6,photos/dog/{bad.name},"not a readable image (empty, 0 bytes)"']


def test_a_file_that_is_there_is_not_lost(model_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    path.write_text("mine")
    with pytest.raises(RunError, match="is there already"):
        verbs.embed(model_folder, "digits", path, quiet=True)
    assert path.read_text() == "mine"
    verbs.embed(model_folder, "digits", path, overwrite=True, quiet=True)
    assert pq.read_metadata(path).num_rows == 1797


def test_what_cannot_be_written_is_said(model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        verbs.embed(model_folder, "digits", tmp_path / "file" / "d.parquet", quiet=True)


def test_parts_at_a_uri_are_the_file_and_what_is_missing_between_them_is_done(
    model: EmbeddingModel, model_folder: Path, tmp_path: Path
) -> None:
    plain = pq.read_table(verbs.embed(model_folder, "digits", tmp_path / "plain.parquet", quiet=True).path)
    feed = feed_of_source(model, "digits")
    parts = Parts((tmp_path / "on storage.parquet").as_uri(), embed_file.identity_of(model, feed, 256))
    parts.claim()
    assert parts.gaps() == [(0, 1797)]
    for first, end in ((512, 768), (0, 256)):
        parts.write(first, list(feed.embedded(model, 256, first, end)))
    assert parts.gaps() == [(256, 512), (768, 1797)]
    assert not parts.exists()
    for first, end in parts.gaps():
        parts.write(first, list(feed.embedded(model, 256, first, end)))
    assert parts.finish() == 1797
    assert parts.exists()
    written = pq.read_table(tmp_path / "on storage.parquet")
    assert written.select(plain.column_names).equals(plain)


def test_ranges_of_a_pool_end_where_batches_end() -> None:
    feed = Feed("two splits", 25, (), (), lambda size, start: iter(()), lengths=(15, 10))
    assert feed.batch_ends(4) == [4, 8, 12, 15, 19, 23, 25]
    assert ranges_of([(0, 15), (19, 25)], feed.batch_ends(4), 2) == [(0, 8), (8, 15), (19, 23), (23, 25)]


def test_what_is_wrong_in_an_actor_is_told_and_what_came_before_is_kept(model_folder: Path, tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", per_class=2)
    bad = sorted((tmp_path / "photos" / "dog").iterdir())[1]
    bad.write_bytes(b"")
    model = load_model(model_folder)
    feed = feed_of_source(model, tmp_path / "photos")
    parts = Parts(tmp_path / "p.parquet", embed_file.identity_of(model, feed, 2))
    actor = Embedder(str(model_folder), str(tmp_path / "photos"), None, "stop", 2, "cpu", 1, parts)
    ranges = {"first": np.array([0, 2]), "end": np.array([2, 4])}
    (kind, got, *_), _ = (json.loads(error) for error in actor(ranges)["error"])
    assert kind == "RunError"
    assert "does not see the beginning of the file" in got
    with parts.held():
        parts.claim()
    good, wrong = actor(ranges)["error"]
    assert good == ""
    assert json.loads(wrong)[0] == "DatasetError"
    assert "empty, 0 bytes" in json.loads(wrong)[1]
    assert parts.gaps() == [(2, 4)]


def test_a_lance_table_has_the_same_rows(model_folder: Path, tmp_path: Path) -> None:
    plain = pq.read_table(verbs.embed(model_folder, "digits", tmp_path / "d.parquet", quiet=True).path)
    written = verbs.embed(model_folder, "digits", tmp_path / "d.lance", quiet=True)
    assert written.images == 1797
    assert LANCE.connect(str(tmp_path)).open_table("d").to_arrow().select(plain.column_names).equals(plain)
    with pytest.raises(RunError, match="is there already"):
        verbs.embed(model_folder, "digits", tmp_path / "d.lance", quiet=True)
    # What a process leaves that is killed before its commit is no table; what somebody else put there is not ours to replace.
    for manifest in (tmp_path / "d.lance" / "_versions").iterdir():
        manifest.unlink()
    again = verbs.embed(model_folder, "digits", tmp_path / "d.lance", quiet=True)
    assert again.images == 1797
    assert LANCE.connect(str(tmp_path)).open_table("d").to_arrow().select(plain.column_names).equals(plain)
    (tmp_path / "mine.lance").mkdir()
    (tmp_path / "mine.lance" / "notes.txt").touch()
    with pytest.raises(RunError, match="is there already"):
        verbs.embed(model_folder, "digits", tmp_path / "mine.lance", quiet=True)


def test_a_uri_is_for_the_cluster_and_must_be_known(model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is a URI.*--engine ray"):
        verbs.embed(model_folder, "digits", (tmp_path / "d.parquet").as_uri(), quiet=True)
    with pytest.raises(RunError, match="cannot be written to"):
        Parts("gopher://x/y.parquet", {})
    with pytest.raises(RunError, match="The engine is 'spark'"):
        verbs.embed(model_folder, "digits", tmp_path / "d.parquet", engine="spark", quiet=True)
