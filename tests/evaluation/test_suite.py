import numpy as np
import pytest

from likewise.errors import EvaluationError
from likewise.evaluation import (
    EmbeddedSplit,
    class_recall_at_k,
    evaluate,
    evaluate_unlabeled,
    evaluate_unseen,
    geometry,
    knn,
    linear_probe,
    retrieval,
    wilson,
)


def split(n, seed, name, classes=4):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, n)
    centres = np.random.default_rng(7).normal(size=(classes, 6))
    points = (centres[labels] + random.normal(size=(n, 6))).astype(np.float32)
    return EmbeddedSplit(points, labels, tuple(f"{name}/{i}" for i in range(n)))


@pytest.fixture(scope="module")
def splits():
    return split(400, 0, "train"), split(100, 1, "validation"), split(150, 2, "test")


@pytest.fixture(scope="module")
def evaluation(splits):
    scores = np.random.default_rng(3).random((150, 4))
    return evaluate(*splits, num_classes=4, class_scores=scores, validation_class_scores=scores[:100])


def test_every_number_is_that_of_its_protocol(splits, evaluation):
    train, validation, test = splits
    metrics = dict(evaluation.metrics)
    near = knn(train.embeddings, train.labels, test.embeddings, test.labels)
    wide = knn(
        train.embeddings, train.labels, test.embeddings, test.labels, 200, distance="cosine", weighting="softmax"
    )
    found = retrieval(test.embeddings, test.labels, ks=range(1, 11))
    probe = linear_probe(
        (train.embeddings, train.labels), (validation.embeddings, validation.labels), (test.embeddings, test.labels)
    )
    shape = geometry(test.embeddings, test.labels)
    scores = np.random.default_rng(3).random((150, 4))
    recalls = class_recall_at_k(wide.probabilities, test.labels, (1, 2, 3, 4))
    expected = {
        "knn1_accuracy": near.accuracy,
        "knn1_precision_macro": near.precision_macro,
        "knn1_recall_macro": near.recall_macro,
        "knn1_f1_macro": near.f1_macro,
        "knn200_accuracy": wide.accuracy,
        **{f"class_recall_at_{k}": v for k, v in recalls.items()},
        **{f"recall_at_{k}": found.recall[k] for k in (1, 5, 10)},
        "map_at_r": found.map_at_r,
        "r_precision": found.r_precision,
        "linear_probe_accuracy": probe.accuracy,
        "val_linear_probe_accuracy": probe.validation_accuracy,
        "val_knn1_accuracy": knn(train.embeddings, train.labels, validation.embeddings, validation.labels).accuracy,
        "classifier_accuracy": (scores.argmax(axis=1) == test.labels).mean(),
        "val_classifier_accuracy": (scores[:100].argmax(axis=1) == validation.labels).mean(),
        "alignment": shape.alignment,
        "uniformity": shape.uniformity,
        "effective_rank": shape.effective_rank,
        "spread": shape.spread,
    }
    assert metrics == pytest.approx(expected)
    assert all(type(value) is float for value in metrics.values())
    assert evaluation.recall_curve == found.recall


def test_intervals_belong_to_shares(evaluation):
    assert evaluation.intervals["knn1_accuracy"] == wilson(round(evaluation.metrics["knn1_accuracy"] * 150), 150)
    assert evaluation.intervals["val_knn1_accuracy"] == wilson(
        round(evaluation.metrics["val_knn1_accuracy"] * 100), 100
    )
    for name, (low, high) in evaluation.intervals.items():
        assert 0 <= low <= evaluation.metrics[name] <= high <= 1
    assert "map_at_r" not in evaluation.intervals
    assert "effective_rank" not in evaluation.intervals


def test_records_recompute_the_numbers(splits, evaluation):
    test = splits[2]
    rows = evaluation.records.to_pydict()
    label = np.array(rows["label"])
    assert rows["id"] == list(test.ids)
    np.testing.assert_array_equal(label, test.labels)
    for column, name in {
        "knn1_prediction": "knn1_accuracy",
        "knn200_prediction": "knn200_accuracy",
        "linear_probe_prediction": "linear_probe_accuracy",
        "classifier_prediction": "classifier_accuracy",
    }.items():
        assert (np.array(rows[column]) == label).mean() == pytest.approx(evaluation.metrics[name])
    assert np.mean(rows["average_precision_at_r"]) == pytest.approx(evaluation.metrics["map_at_r"])
    assert np.mean(rows["r_precision"]) == pytest.approx(evaluation.metrics["r_precision"])
    assert (np.array(rows["first_hit_rank"]) <= 5).mean() == pytest.approx(evaluation.metrics["recall_at_5"])
    assert (np.array(rows["true_class_rank"]) <= 2).mean() == pytest.approx(evaluation.metrics["class_recall_at_2"])
    assert all(
        len(five) == 5 and five[0] == one for five, one in zip(rows["neighbors"], rows["knn1_neighbor"], strict=True)
    )
    train_labels = dict(zip(splits[0].ids, splits[0].labels, strict=True))
    assert [train_labels[one] for one in rows["knn1_neighbor"]] == rows["knn1_prediction"]


def test_what_is_not_measured_is_absent():
    splits = split(40, 0, "train", 3), split(20, 1, "validation", 3), split(4, 2, "test", 3)
    one_each = EmbeddedSplit(splits[2].embeddings[:3], np.array([0, 1, 2]), ("a", "b", "c"))
    evaluation = evaluate(splits[0], splits[1], one_each, num_classes=3)
    absent = {"classifier_accuracy", "map_at_r", "recall_at_1", "alignment", "class_recall_at_4"}
    assert not absent & set(evaluation.metrics)
    assert evaluation.recall_curve == {}
    assert evaluation.records["first_hit_rank"].null_count == 3
    assert "classifier_prediction" not in evaluation.records.column_names


def test_a_single_class_has_no_probe_and_a_single_image_no_geometry():
    train, validation, test = (split(n, n, name, 1) for n, name in ((40, "train"), (9, "validation"), (1, "test")))
    evaluation = evaluate(train, validation, test, num_classes=1)
    assert evaluation.metrics["knn1_accuracy"] == 1
    absent = {
        "linear_probe_accuracy",
        "val_linear_probe_accuracy",
        "effective_rank",
        "uniformity",
        "spread",
        "recall_at_1",
    }
    assert not absent & set(evaluation.metrics)
    assert "linear_probe_prediction" not in evaluation.records.column_names
    alone = evaluate_unseen(test)
    assert (alone.metrics, alone.recall_curve, alone.records["id"].to_pylist()) == ({}, {}, list(test.ids))
    unlabeled = [EmbeddedSplit(part.embeddings, np.full(len(part), -1), part.ids) for part in (train, test)]
    assert evaluate_unlabeled(*unlabeled).metrics == {}


def test_a_lonely_class_is_null_in_the_records():
    train, validation, test = split(60, 0, "train"), split(30, 1, "validation"), split(30, 2, "test", 3)
    labels = test.labels.copy()
    labels[4] = 3
    evaluation = evaluate(train, validation, EmbeddedSplit(test.embeddings, labels, test.ids), num_classes=4)
    nulls = evaluation.records["average_precision_at_r"].is_null().to_pylist()
    assert [i for i, null in enumerate(nulls) if null] == [4]


def test_bad_input_is_named(splits):
    train, validation, test = splits
    with pytest.raises(EvaluationError, match="num_classes=3"):
        evaluate(train, validation, test, num_classes=3)
    with pytest.raises(EvaluationError, match=r"\(150, 4\)"):
        evaluate(train, validation, test, num_classes=4, class_scores=np.zeros((150, 5)))
    with pytest.raises(EvaluationError, match="ids has 1"):
        EmbeddedSplit(np.zeros((2, 3)), np.array([0, 1]), ("a",))
    with pytest.raises(EvaluationError, match="labels is None"):
        EmbeddedSplit(np.zeros((2, 3)), None, ("a", "b"))
