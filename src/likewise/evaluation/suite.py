"""The whole evaluation of a run that has labels, in one call.

Neighbours are searched once per question and shared: the Euclidean table of five serves the 1-NN numbers and the
pictures, the cosine table of 200 serves the weighted vote and class recall, the test split on itself serves
retrieval. For 55,000 / 5,000 / 10,000 × 64 it takes under 12 s on two cores. Everything that is chosen is chosen on
validation; every number has one value per test sample in ``records``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from likewise.errors import EvaluationError
from likewise.evaluation._inputs import ArrayLike, as_embeddings
from likewise.evaluation.class_recall import class_ranks, class_recall_at_k
from likewise.evaluation.embedded_split import EmbeddedSplit
from likewise.evaluation.geometry import geometry
from likewise.evaluation.intervals import wilson
from likewise.evaluation.knn import KnnResult, knn_vote
from likewise.evaluation.linear_probe import LinearProbeResult, linear_probe
from likewise.evaluation.nearest import nearest
from likewise.evaluation.retrieval import RetrievalResult, has_pairs, retrieval

SHOWN_NEIGHBORS = 5
"""Train neighbours stored per test sample, for the pictures."""

_CURVE = range(1, 11)
_WIDE_K = 200


@dataclass(frozen=True)
class Evaluation:
    """Numbers, their intervals, and what is behind each of them."""

    metrics: dict[str, float]
    """Names of ``metrics.json``; a number that was not measured is absent."""
    intervals: dict[str, tuple[float, float]]
    """95 % Wilson intervals of the shares among them."""
    recall_curve: dict[int, float]
    """k = 1 … 10 → recall@k, test on test without self."""
    records: pa.Table
    """One row per test sample."""


def evaluate(
    train: EmbeddedSplit,
    validation: EmbeddedSplit,
    test: EmbeddedSplit,
    *,
    num_classes: int,
    class_scores: ArrayLike | None = None,
    validation_class_scores: ArrayLike | None = None,
) -> Evaluation:
    """Every protocol that needs embeddings and labels.

    What the images do not allow is left out: the probe with a single class in train, geometry of a single test image,
    retrieval where no test image has another one of its class.

    Args:
        train: gallery of the kNN classifiers and training data of the linear probe.
        validation: chooses the probe's strength; gives the ``val_`` numbers.
        test: what is reported.
        num_classes: K; labels are 0 … K-1.
        class_scores: (M, K) the classifier's own scores on test, or None.
        validation_class_scores: (V, K) the same on validation, or None.

    Raises:
        EvaluationError: dimensions differ, labels beyond K-1, scores of another shape, values not finite.
    """
    for split, name in ((train, "train"), (validation, "validation"), (test, "test")):
        if split.labels.max() >= num_classes:
            raise EvaluationError(
                f"{name} has the label {split.labels.max()} with num_classes={num_classes}.",
                expected=f"Expected labels 0 … {num_classes - 1}.",
                advice="Use the same class numbers in all splits.",
            )
    nearest_few = nearest(test.embeddings, train.embeddings, min(SHOWN_NEIGHBORS, len(train)))
    near = _vote(nearest_few, 1, train, test, num_classes)
    wide = _wide_vote(train, test, num_classes)
    found = retrieval_in(test)
    probe = _probe(train, validation, test)
    near_validation = _vote(nearest(validation.embeddings, train.embeddings, 1), 1, train, validation, num_classes)

    metrics = {
        "knn1_accuracy": near.accuracy,
        "knn1_precision_macro": near.precision_macro,
        "knn1_recall_macro": near.recall_macro,
        "knn1_f1_macro": near.f1_macro,
        "knn200_accuracy": wide.accuracy,
        "val_knn1_accuracy": near_validation.accuracy,
        **geometry_numbers(test),
    }
    if probe is not None:
        metrics |= {"linear_probe_accuracy": probe.accuracy, "val_linear_probe_accuracy": probe.validation_accuracy}
    ks = range(1, min(5, num_classes) + 1)
    metrics |= {f"class_recall_at_{k}": v for k, v in class_recall_at_k(wide.probabilities, test.labels, ks).items()}
    if found is not None:
        metrics |= {f"recall_at_{k}": found.recall[k] for k in (1, 5, 10)}
        metrics |= {"map_at_r": found.map_at_r, "r_precision": found.r_precision}
    own = _predictions(class_scores, test, num_classes, "class_scores")
    if own is not None:
        metrics["classifier_accuracy"] = float((own == test.labels).mean())
    own_validation = _predictions(validation_class_scores, validation, num_classes, "validation_class_scores")
    if own_validation is not None:
        metrics["val_classifier_accuracy"] = float((own_validation == validation.labels).mean())
    return Evaluation(
        metrics=metrics,
        intervals=_intervals(metrics, len(test), len(validation), found),
        recall_curve={} if found is None else dict(found.recall),
        records=_records(train, test, near, wide, nearest_few, found, probe, own),
    )


def _vote(
    table: tuple[NDArray[np.float32], NDArray[np.int64]],
    k: int,
    train: EmbeddedSplit,
    split: EmbeddedSplit,
    num_classes: int,
) -> KnnResult:
    distances, neighbors = table
    return knn_vote(
        distances[:, :k],
        neighbors[:, :k],
        train_labels=train.labels,
        test_labels=split.labels,
        num_classes=num_classes,
    )


def _wide_vote(train: EmbeddedSplit, test: EmbeddedSplit, num_classes: int) -> KnnResult:
    distances, neighbors = nearest(test.embeddings, train.embeddings, min(_WIDE_K, len(train)), distance="cosine")
    return knn_vote(
        distances,
        neighbors,
        train_labels=train.labels,
        test_labels=test.labels,
        distance="cosine",
        weighting="softmax",
        num_classes=num_classes,
    )


def geometry_numbers(test: EmbeddedSplit) -> dict[str, float]:
    """``effective_rank``, ``uniformity``, ``spread``, and ``alignment`` where labels have pairs; a single row has no shape."""
    if len(test) < 2:
        return {}
    shape = geometry(test.embeddings, test.labels if test.labeled else None)
    numbers = {"effective_rank": shape.effective_rank, "uniformity": shape.uniformity, "spread": shape.spread}
    return numbers if shape.alignment is None else numbers | {"alignment": shape.alignment}


def _probe(train: EmbeddedSplit, validation: EmbeddedSplit, test: EmbeddedSplit) -> LinearProbeResult | None:
    """None where train has one class: then there is nothing to tell apart."""
    if len(np.unique(train.labels)) < 2:
        return None
    return linear_probe(*((part.embeddings, part.labels) for part in (train, validation, test)))


def retrieval_in(test: EmbeddedSplit) -> RetrievalResult | None:
    """None where no class of the test split has two members: then there is nothing to find."""
    return retrieval(test.embeddings, test.labels, ks=_CURVE) if has_pairs(test.labels) else None


def _predictions(
    scores: ArrayLike | None, split: EmbeddedSplit, num_classes: int, name: str
) -> NDArray[np.int64] | None:
    if scores is None:
        return None
    array = as_embeddings(scores, name)
    if array.shape != (len(split), num_classes):
        raise EvaluationError(
            f"{name} has shape {array.shape}.",
            expected=f"Expected ({len(split)}, {num_classes}): one column per class.",
            advice="Pass the classifier's scores for the same samples in the same order.",
        )
    return np.asarray(array.argmax(axis=1), dtype=np.int64)


def _intervals(
    metrics: dict[str, float], tested: int, validated: int, found: RetrievalResult | None
) -> dict[str, tuple[float, float]]:
    asked = tested - (found.queries_without_positive if found else 0)
    result = {}
    for name, value in metrics.items():
        if name.startswith("recall_at_"):
            n = asked
        elif name.endswith("_accuracy"):
            n = validated if name.startswith("val_") else tested
        elif name.startswith("class_recall_at_"):
            n = tested
        else:
            continue
        result[name] = wilson(round(value * n), n)
    return result


def _records(
    train: EmbeddedSplit,
    test: EmbeddedSplit,
    near: KnnResult,
    wide: KnnResult,
    table: tuple[NDArray[np.float32], NDArray[np.int64]],
    found: RetrievalResult | None,
    probe: LinearProbeResult | None,
    own: NDArray[np.int64] | None,
) -> pa.Table:
    ids = np.asarray(train.ids, dtype=object)
    distances, neighbors = table
    missing = np.ones(len(test), dtype=bool) if found is None else found.first_hit_rank == 0
    empty = np.zeros(len(test))
    columns = {
        "id": pa.array(test.ids, pa.string()),
        "label": pa.array(test.labels),
        "knn1_prediction": pa.array(near.predictions),
        "knn1_neighbor": pa.array(ids[neighbors[:, 0]], pa.string()),
        "knn1_distance": pa.array(distances[:, 0]),
        "neighbors": pa.array(ids[neighbors].tolist(), pa.list_(pa.string())),
        "knn200_prediction": pa.array(wide.predictions),
        "true_class_rank": pa.array(class_ranks(wide.probabilities, test.labels)),
        "first_hit_rank": pa.array(empty if found is None else found.first_hit_rank, pa.int64(), mask=missing),
        "average_precision_at_r": pa.array(
            empty if found is None else found.average_precision_at_r, pa.float64(), mask=missing
        ),
        "r_precision": pa.array(empty if found is None else found.r_precision_each, pa.float64(), mask=missing),
    }
    if probe is not None:
        columns["linear_probe_prediction"] = pa.array(probe.predictions)
    if own is not None:
        columns["classifier_prediction"] = pa.array(own)
    return pa.table(columns)
