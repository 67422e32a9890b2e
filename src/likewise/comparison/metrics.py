"""Which numbers a comparison is about, what they are called, and their value on each single test image.

A number that is a mean over test images (an accuracy, a recall, MAP@R) can be compared in pairs, image by image, from
the records of two runs; that removes the noise which both share and is what makes small differences visible.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from likewise.comparison.rows import Metric

__all__ = [
    "MAIN_METRIC",
    "UNSEEN_METRIC",
    "images_counted",
    "is_share",
    "is_share_of_test_images",
    "known_metrics",
    "per_image",
]

MAIN_METRIC = "knn1_accuracy"
#: What a condition is about whose test classes training has not seen: it has no 1-NN accuracy.
UNSEEN_METRIC = "map_at_r"

_METRICS = (
    Metric("knn1_accuracy", "1-NN accuracy", "fraction", True),
    Metric("recall_at_1", "recall@1", "fraction", True),
    Metric("recall_at_5", "recall@5", "fraction", True),
    Metric("recall_at_10", "recall@10", "fraction", True),
    *(
        Metric(f"{first}_to_{second}_recall_at_{k}", f"{first} → {second} recall@{k}", "fraction", True)
        for first, second in (("text", "image"), ("image", "text"))
        for k in (1, 5, 10)
    ),
    Metric("zero_shot_accuracy", "zero-shot accuracy", "fraction", True),
    Metric("map_at_r", "MAP@R", "fraction", True),
    Metric("r_precision", "R-precision", "fraction", True),
    Metric("linear_probe_accuracy", "linear probe", "fraction", True),
    Metric("classifier_accuracy", "own classifier", "fraction", True),
    Metric("knn200_accuracy", "200-NN accuracy", "fraction", True),
    Metric("knn1_precision_macro", "1-NN precision", "fraction", True),
    Metric("knn1_recall_macro", "1-NN recall", "fraction", True),
    Metric("knn1_f1_macro", "1-NN F1", "fraction", True),
    *(Metric(f"class_recall_at_{k}", f"class recall@{k}", "fraction", True) for k in range(1, 6)),
    Metric("effective_rank", "effective rank", "dimensions", True),
    Metric("alignment", "alignment", "number", False),
    Metric("uniformity", "uniformity", "number", False),
    Metric("train_seconds", "training seconds", "s", False),
    Metric("total_seconds", "total seconds", "s", False),
    Metric("train_steps", "training steps", "steps", False),
    Metric("train_images", "images passed in training", "images", False),
)
_PREDICTIONS = {
    "knn1_accuracy": "knn1_prediction",
    "knn200_accuracy": "knn200_prediction",
    "linear_probe_accuracy": "linear_probe_prediction",
    "classifier_accuracy": "classifier_prediction",
    "zero_shot_accuracy": "zero_shot_prediction",
}
_VALUES = {"map_at_r": "average_precision_at_r", "r_precision": "r_precision"}
_RANKS = {
    "recall_at_": "first_hit_rank",
    "class_recall_at_": "true_class_rank",
    "image_to_text_recall_at_": "image_to_text_rank",
}
#: Ranks of an image's captions, as many as it has.
_CAPTION_RANKS = ("text_to_image_recall_at_", "text_to_image_ranks")


def known_metrics(present: Iterable[str]) -> list[Metric]:
    """Those of ``present`` that a comparison shows, the main one first."""
    names = set(present)
    main = MAIN_METRIC if MAIN_METRIC in names else UNSEEN_METRIC
    return [dataclasses.replace(metric, main=metric.name == main) for metric in _METRICS if metric.name in names]


def is_share(metric: str) -> bool:
    """Whether the number lies in 0 … 1 whatever is measured."""
    return any(known.name == metric and known.unit == "fraction" for known in _METRICS)


def is_share_of_test_images(metric: str) -> bool:
    """Whether the number counts test images, so that one run alone has a Wilson interval."""
    return metric in _PREDICTIONS or metric.startswith(tuple(_RANKS))


def images_counted(records: pa.Table, metric: str) -> int | None:
    """How many test images a number is a share of, as ``per_image`` has them; ``None`` where that cannot be told.

    Example:
        >>> images_counted(pa.table({"first_hit_rank": [1, None, 4]}), "recall_at_5")
        2
    """
    values = per_image(records, metric)
    return None if values is None else int((~np.isnan(values)).sum())


def per_image(records: pa.Table, metric: str) -> NDArray[np.float64] | None:
    """The metric on each test image: its mean is the number in ``metrics.json``.

    Args:
        records: the table in ``records/test.parquet`` of a run.
        metric: a name from ``metrics.json``.

    Returns:
        (N,), or ``None`` where the number is not a mean over images or its column is missing. In 0 … 1; of a number whose
        samples are captions, an image's hits by the mean number of captions, which may be more. NaN for an image that the
        number does not count: alone in its class, it has nothing to find.

    Example:
        >>> table = pa.table({"label": [0, 1, 1], "knn1_prediction": [0, 1, 0], "first_hit_rank": [1, None, 4]})
        >>> per_image(table, "knn1_accuracy").tolist(), per_image(table, "recall_at_5").tolist()
        ([1.0, 1.0, 0.0], [1.0, nan, 1.0])
    """

    def column(name: str) -> NDArray[np.float64] | None:
        if name not in records.column_names:
            return None
        values: NDArray[np.float64] = np.asarray(records[name].to_numpy(zero_copy_only=False), dtype=np.float64)
        return values

    if metric in _PREDICTIONS:
        predicted, labels = column(_PREDICTIONS[metric]), column("label")
        return None if predicted is None or labels is None else (predicted == labels).astype(np.float64)
    if metric in _VALUES:
        return column(_VALUES[metric])
    for prefix, name in _RANKS.items():
        rest = metric.removeprefix(prefix)
        if rest != metric and rest.isdecimal():
            ranks = column(name)
            return None if ranks is None else np.where(np.isnan(ranks), np.nan, ranks <= int(rest))
    prefix, name = _CAPTION_RANKS
    if metric.startswith(prefix) and name in records.column_names:
        lists = records[name].combine_chunks()
        hits = lists.flatten().to_numpy() <= int(metric.removeprefix(prefix))
        image = np.repeat(np.arange(len(lists)), lists.value_lengths().to_numpy())
        found = np.bincount(image, weights=hits, minlength=len(lists)) * (len(lists) / len(hits))
        return found.astype(np.float64)
    return None
