from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from likewise.errors import EvaluationError
from likewise.evaluation import EmbeddedSplit, clustering, downstream, few_labels, one_class_anomaly
from likewise.recipe_options import Protocol


def split(name: str, n: int, seed: int) -> EmbeddedSplit:
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    x = np.eye(3, 5)[labels] + 0.3 * random.normal(size=(n, 5))
    return EmbeddedSplit(x.astype(np.float32), labels, tuple(f"{name}/{i}" for i in range(n)))


TRAIN, VALIDATION, TEST = split("train", 300, 0), split("validation", 90, 1), split("test", 120, 2)


def test_every_protocol_a_recipe_can_name_gives_plain_values() -> None:
    metrics, details, notes = downstream(get_args(Protocol), TRAIN, VALIDATION, TEST, num_classes=3)
    assert notes == []
    assert list(details) == list(get_args(Protocol))
    assert all(isinstance(value, float) and np.isfinite(value) for value in metrics.values())
    found = clustering(TEST.embeddings, TEST.labels, clusters=3, spherical=True)
    assert metrics["clustering_nmi"] == found.nmi
    counts = np.array(details["clustering"]["counts"])
    assert np.trace(counts) / counts.sum() == pytest.approx(found.accuracy)
    alone = one_class_anomaly(TRAIN.embeddings, TRAIN.labels, TEST.embeddings, TEST.labels, distance="cosine")
    assert metrics["one_class_auroc"] == pytest.approx(np.mean([each.auroc for each in alone.values()]))
    parts = [(part.embeddings, part.labels) for part in (TRAIN, VALIDATION, TEST)]
    assert metrics["linear_probe_10_percent_accuracy"] == few_labels(*parts)[1].mean
    assert set(details["components"]["rows"][0]["ids"]) <= set(TEST.ids)


def test_a_leak_and_a_wrong_label_are_listed_by_id() -> None:
    x, labels = TEST.embeddings.copy(), TEST.labels.copy()
    x[5] = TRAIN.embeddings[17]
    labels[7] = (labels[7] + 1) % 3
    spoiled = EmbeddedSplit(x, labels, TEST.ids)
    _, details, _ = downstream(["duplicates", "label_issues"], TRAIN, VALIDATION, spoiled, num_classes=3)
    assert details["duplicates"]["rows"][0] == {"test": "test/5", "train": "train/17", "distance": 0.0}
    assert {"id": "test/7", "label": int(labels[7]), "suggested": int(TEST.labels[7])} in details["label_issues"][
        "rows"
    ]


def test_what_the_splits_do_not_allow_is_a_note_and_the_rest_is_measured() -> None:
    without = np.flatnonzero(TRAIN.labels < 2)
    train = EmbeddedSplit(TRAIN.embeddings[without], TRAIN.labels[without], tuple(TRAIN.ids[at] for at in without))
    collapsed = EmbeddedSplit(np.ones_like(TEST.embeddings), TEST.labels, TEST.ids)
    metrics, details, notes = downstream(
        ["anomaly", "components", "duplicates"], train, VALIDATION, collapsed, num_classes=3
    )
    assert [note.split(":")[0] for note in notes] == [
        "The protocol anomaly was not measured",
        "The protocol components was not measured",
    ]
    assert "collapsed" in notes[1]
    assert list(details) == ["duplicates"]
    assert list(metrics) == ["leaked_share"]
    few = EmbeddedSplit(TEST.embeddings[:1], TEST.labels[:1], TEST.ids[:1])
    _, details, notes = downstream(get_args(Protocol), TRAIN, VALIDATION, few, num_classes=3)
    assert len(details) + len(notes) == len(get_args(Protocol))


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(EvaluationError, match="'clusters' is not known"):
        downstream(["clusters"], TRAIN, VALIDATION, TEST, num_classes=3)


def test_a_test_split_without_the_highest_class_is_counted() -> None:
    there = TEST.labels < 2
    ids = tuple(np.array(TEST.ids)[there].tolist())
    test = EmbeddedSplit(TEST.embeddings[there], TEST.labels[there], ids)
    metrics, details, _ = downstream(["clustering"], TRAIN, VALIDATION, test, num_classes=3)
    counts = np.array(details["clustering"]["counts"])
    assert counts.sum(axis=1).tolist() == [*np.bincount(test.labels), 0]
    assert np.trace(counts) / counts.sum() == pytest.approx(metrics["clustering_accuracy"])
