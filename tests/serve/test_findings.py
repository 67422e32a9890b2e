"""What is found in an index, against plain loops and planted truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from likewise import load_dataset
from likewise.serve.explored import Picture
from likewise.serve.findings import Findings, find, flat_map, pca_map
from likewise.serve.lists import counts, rows_of
from likewise.serve.snapshot import Categories, Numbers, Snapshot


def snapshot_of(
    embeddings: np.ndarray, labels: np.ndarray, names: tuple[str, ...], **columns: Categories | Numbers
) -> Snapshot:
    ids = pa.array([f"{row:05d}" for row in range(len(embeddings))])
    classes = Categories(names, labels.astype(np.int32))
    return Snapshot(7, len(ids), ids, embeddings.astype(np.float32), classes, columns)


def picture_of(snapshot: Snapshot, findings: Findings) -> Picture:
    return Picture(snapshot, snapshot.embeddings.shape[1], pca_map(snapshot, "cosine"), findings)


@pytest.fixture(scope="module")
def clusters() -> Snapshot:
    """Three classes; 5 lies among another class, 70 is there twice, in two splits, 0 is far from all."""
    random = np.random.default_rng(0)
    labels = np.arange(120) % 3
    x = np.eye(3, 8)[labels] + 0.15 * random.normal(size=(120, 8))
    x[5] = x[6] + 0.05 * random.normal(size=8)
    x[71] = x[70]
    x[0] = -np.ones(8)
    labels[71] = labels[70]
    splits = Categories(("test", "train"), (np.arange(120) % 2).astype(np.int32))
    return snapshot_of(x, labels, ("cat", "dog", "emu"), split=splits)


@pytest.fixture(scope="module")
def found(clusters: Snapshot) -> Findings:
    return find(clusters, "cosine")


def test_predictions_are_votes_of_the_twenty_nearest_others(clusters: Snapshot, found: Findings) -> None:
    unit = clusters.embeddings / np.linalg.norm(clusters.embeddings, axis=1, keepdims=True)
    similar = unit.astype(np.float64) @ unit.T.astype(np.float64)
    np.fill_diagonal(similar, -np.inf)
    labels = clusters.classes.codes
    for row in range(120):
        order = np.argsort(-similar[row])[:20]
        votes = np.bincount(labels[order], np.exp((similar[row, order] - similar[row].max()) / 0.1), minlength=3)
        assert found.judged.prediction[row] == votes.argmax()
        assert found.anomaly[row] == pytest.approx(1 - np.sort(similar[row])[-5], abs=1e-6)
        other = order[0] if labels[order[0]] != labels[row] else -1
        assert found.judged.other[row] == other


def test_what_was_planted_leads_the_lists(clusters: Snapshot, found: Findings) -> None:
    picture = picture_of(clusters, found)
    errors = rows_of(picture, "label-errors", 10)
    assert (errors["rows"][0]["id"], errors["rows"][0]["label"], errors["rows"][0]["suggested"]) == (
        "00005",
        "emu",
        "cat",
    )
    assert errors["rows"][0]["gap"] > 2
    assert errors["planted_recall"] > 0.8
    assert rows_of(picture, "outliers", 10)["rows"][0]["id"] == "00000"
    for name in ("duplicates", "leaks"):
        pair = rows_of(picture, name, 10)["rows"][0]
        assert ({pair["id"], pair["other"]["id"]}, pair["distance"]) == ({"00070", "00071"}, 0.0)
    wrong = rows_of(picture, "wrong-neighbors", 100)["rows"]
    assert all(row["label"] != row["other"]["label"] for row in wrong)
    assert [row["distance"] for row in wrong] == sorted(row["distance"] for row in wrong)
    assert len({frozenset((row["id"], row["other"]["id"])) for row in wrong}) == len(wrong)


def test_images_without_a_label_are_judged_by_nobody_and_judge_nobody(clusters: Snapshot, found: Findings) -> None:
    labels = clusters.classes.codes.copy()
    labels[::4] = -1
    partly = find(snapshot_of(clusters.embeddings, labels, clusters.classes.names), "cosine")
    assert (partly.judged.prediction[::4] == -1).all()
    assert np.isnan(partly.judged.score[::4]).all()
    alone = find(snapshot_of(clusters.embeddings[labels >= 0], labels[labels >= 0], clusters.classes.names), "cosine")
    np.testing.assert_array_equal(partly.judged.prediction[labels >= 0], alone.judged.prediction)
    assert partly.neighbors.shape == found.neighbors.shape


def test_without_labels_and_splits_lists_say_that_they_cannot_be(clusters: Snapshot) -> None:
    bare = Snapshot(1, 120, clusters.ids, clusters.embeddings, None, {})
    picture = picture_of(bare, find(bare, "euclidean"))
    totals = {each["name"]: each["total"] for each in counts(picture)}
    assert (totals["label-errors"], totals["wrong-neighbors"], totals["leaks"]) == (None, None, None)
    assert totals["duplicates"] >= 1
    assert totals["outliers"] == 50


@pytest.mark.parametrize("rows", [2, 3])
def test_a_handful_of_images_is_enough(rows: int) -> None:
    few = snapshot_of(np.random.default_rng(1).normal(size=(rows, 4)), np.arange(rows) % 2, ("a", "b"))
    assert find(few, "cosine").neighbors.shape == (rows, rows - 1)
    assert flat_map(few, "cosine").shape == (rows, 2)


def test_five_planted_label_errors_are_among_the_first_fifty_suspects(fashion_mnist: Path) -> None:
    data = load_dataset(str(fashion_mnist), split="test")
    pixels = data.images.flatten(1).numpy()[:3000] / 255.0
    labels = data.labels.numpy()[:3000].copy()
    planted = np.random.default_rng(0).permutation(3000)[:5]
    labels[planted] = (labels[planted] + 5) % 10
    snapshot = snapshot_of(pixels, labels, data.class_names)
    suspects = rows_of(picture_of(snapshot, find(snapshot, "cosine")), "label-errors", 50)["rows"]
    assert set(planted.tolist()) <= {suspect["row"] for suspect in suspects}
