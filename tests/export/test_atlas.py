"""The Parquet file for Embedding Atlas: the columns its documentation names, and the truth of what they hold."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import likewise as lw
from command_line import Cli
from likewise.errors import DatasetError, RunError
from likewise.evaluation import nearest, trustworthiness
from likewise.export import export_atlas
from likewise.export.neighbours import neighbours_of_all
from likewise.export.plane import places_in_plane
from likewise.index import feed_of_dataset


@pytest.fixture(scope="module")
def made(run: lw.Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("out") / "digits.parquet"
    return lw.verbs.export(run.folder, path, format="atlas", projection="pca", quiet=True).path


def test_the_columns_are_those_of_its_documentation(made: Path) -> None:
    schema = pq.read_schema(made)
    assert {name: schema.field(name).type for name in ("projection_x", "projection_y", "neighbors", "image")} == {
        "projection_x": pa.float32(),
        "projection_y": pa.float32(),
        "neighbors": pa.struct([("ids", pa.list_(pa.int64())), ("distances", pa.list_(pa.float32()))]),
        "image": pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    }
    assert {"id", "split", "label", "caption", "prediction", "verdict"} < set(schema.names)
    assert [path.name for path in made.parent.iterdir()] == [made.name]


def test_the_rows_are_true(run: lw.Run, made: Path) -> None:
    rows = pq.read_table(made).to_pylist()
    test = run.data().test
    assert [row["id"] for row in rows] == list(test.ids)
    assert [row["label"] for row in rows] == [test.class_names[label] for label in test.labels.tolist()]
    wrong = [row["verdict"] == "wrong" for row in rows]
    assert 1 - np.mean(wrong) == pytest.approx(run.metrics["knn1_accuracy"])
    assert wrong == [row["label"] != row["prediction"] for row in rows]
    embeddings = run.model.embed(test.images)
    distance = "euclidean" if run.model.normalize == "never" else "cosine"
    distances, ids = nearest(embeddings, embeddings, 15, distance=distance, exclude_self=True)
    assert [row["neighbors"]["ids"] for row in rows] == ids.tolist()
    np.testing.assert_allclose([row["neighbors"]["distances"] for row in rows], distances, rtol=1e-5)
    picture = Image.open(io.BytesIO(rows[3]["image"]["bytes"]))
    assert np.abs(np.asarray(picture).astype(int) - test.images[3, 0].numpy()).mean() < 12
    assert rows[3]["image"]["path"].endswith(".jpg")


def test_datasets_opens_it_too(made: Path) -> None:
    opened = datasets.Dataset.from_parquet(str(made), cache_dir=str(made.parent / "cache"))
    assert opened[0]["image"].size == (8, 8)


def test_any_source_and_a_model_folder(run: lw.Run, tmp_path: Path, run_cli: Cli) -> None:
    for name in ("a", "b", "c", "d", "e"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (9, 12), name_colour(name)).save(tmp_path / "photos" / name / "one.png")
    ended = run_cli(
        "export", run.folder / "model", "--format", "atlas", "--data", tmp_path / "photos", "-o", tmp_path / "map.parquet",
        "--projection", "pca",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert "5 images, pca projection, 4 neighbours each (exact)" in ended.out
    assert f"embedding-atlas {tmp_path / 'map.parquet'} --x projection_x --y projection_y" in ended.out
    assert sorted(pq.read_table(tmp_path / "map.parquet")["label"].to_pylist()) == ["a", "b", "c", "d", "e"]


def name_colour(name: str) -> tuple[int, int, int]:
    return (40 * (ord(name) - ord("a")), 120, 60)


def test_nothing_stays_of_a_file_that_failed(run: lw.Run, tmp_path: Path) -> None:
    (tmp_path / "photos" / "a").mkdir(parents=True)
    Image.new("L", (8, 8)).save(tmp_path / "photos" / "a" / "1.png")
    (tmp_path / "photos" / "a" / "2.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"2\.png is not"):
        lw.verbs.export(run.folder, tmp_path / "m.parquet", format="atlas", data=tmp_path / "photos", quiet=True)
    one = lw.load_dataset("digits").subset(np_to_torch([0]))
    with pytest.raises(RunError, match="holds 1 images"):
        export_atlas(run.model, feed_of_dataset(one), tmp_path / "m.parquet", quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
    (tmp_path / "m.parquet").touch()
    with pytest.raises(RunError, match="is there already"):
        lw.verbs.export(run.folder, tmp_path / "m.parquet", format="atlas", quiet=True)


def np_to_torch(values: list[int]):  # type: ignore[no-untyped-def]
    import torch

    return torch.tensor(values)


def test_a_setting_of_another_format_is_refused(run: lw.Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"--int8 says nothing of --format atlas\. It is for --format onnx"):
        lw.verbs.export(run.folder, tmp_path / "m.parquet", format="atlas", int8=True)
    with pytest.raises(RunError, match=r"--data says nothing of --format hf\. It is for --format atlas or projector"):
        lw.verbs.export(run.folder, tmp_path / "m", data="digits")
    with pytest.raises(RunError, match=r"--split dev is not known\. Expected train, validation, test"):
        lw.verbs.export(run.folder, tmp_path / "m.parquet", format="atlas", split="dev")


def _clusters(count: int) -> np.ndarray:
    random = np.random.default_rng(0)
    return (random.normal(size=(20, 8))[random.integers(20, size=count)] + 0.3 * random.normal(size=(count, 8))).astype(
        "f4"
    )


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_neighbours_in_cells_are_nearly_the_exact_ones(distance: str) -> None:
    rows = _clusters(1200)
    exact = neighbours_of_all(rows, 10, distance=distance)
    cells = neighbours_of_all(rows, 10, distance=distance, exact_up_to=100)
    assert exact.recall == 1.0
    shared = np.mean([np.isin(a, b).mean() for a, b in zip(exact.ids, cells.ids, strict=True)])
    assert cells.recall >= 0.98
    assert shared == pytest.approx(cells.recall, abs=0.02)
    assert (cells.ids != np.arange(1200)[:, None]).all()
    assert (np.diff(cells.distances, axis=1) >= 0).all()


def test_places_beyond_those_laid_out_keep_their_neighbourhood() -> None:
    rows = _clusters(600)
    places = places_in_plane(rows, "tsne", distance="euclidean", laid_out=200)
    assert places.shape == (600, 2)
    assert trustworthiness(rows, places, k=10) > 0.9
    np.testing.assert_array_equal(places, places_in_plane(rows, "tsne", distance="euclidean", laid_out=200))


def test_embedding_atlas_is_no_dependency(made: Path) -> None:
    assert made.exists()
    assert "embedding_atlas" not in sys.modules
