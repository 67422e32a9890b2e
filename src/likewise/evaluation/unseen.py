"""Retrieval among classes that training never saw: the open-set protocol of metric learning (Oh Song et al. 2016).

There is no classifier and no gallery of training images here: each test image looks for others of its class among the test
images. Clusters say whether the classes can be found without their names.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from likewise.evaluation._inputs import ArrayLike
from likewise.evaluation.embedded_split import EmbeddedSplit
from likewise.evaluation.intervals import wilson
from likewise.evaluation.nearest import nearest
from likewise.evaluation.retrieval import has_pairs, retrieval
from likewise.evaluation.suite import SHOWN_NEIGHBORS, Evaluation, geometry_numbers, retrieval_in


def evaluate_unseen(test: EmbeddedSplit) -> Evaluation:
    """Recall@k, MAP@R, R-precision and geometry of test embeddings of unseen classes.

    Where no class has two members there is nothing to find, and where there is one image no geometry: these are left out.

    Example:
        >>> rows = np.array([[0, 0], [0, 1], [9, 0], [9, 1]], dtype=np.float32)
        >>> found = evaluate_unseen(EmbeddedSplit(rows, np.array([5, 5, 7, 7]), ("a", "b", "c", "d")))
        >>> found.metrics["recall_at_1"], found.metrics["map_at_r"]
        (1.0, 1.0)
    """
    found = retrieval_in(test)
    if found is None:
        columns = {"id": pa.array(test.ids, pa.string()), "label": pa.array(test.labels)}
        return Evaluation(metrics=geometry_numbers(test), intervals={}, recall_curve={}, records=pa.table(columns))
    shown = min(SHOWN_NEIGHBORS, len(test) - 1)
    distances, neighbors = nearest(test.embeddings, test.embeddings, shown, exclude_self=True)
    metrics = {f"recall_at_{k}": found.recall[k] for k in (1, 5, 10)}
    metrics |= {"map_at_r": found.map_at_r, "r_precision": found.r_precision, **geometry_numbers(test)}
    asked = len(test) - found.queries_without_positive
    missing = found.first_hit_rank == 0
    ids = np.asarray(test.ids, dtype=object)
    return Evaluation(
        metrics=metrics,
        intervals={
            name: wilson(round(value * asked), asked)
            for name, value in metrics.items()
            if name.startswith("recall_at_")
        },
        recall_curve=dict(found.recall),
        records=pa.table(
            {
                "id": pa.array(test.ids, pa.string()),
                "label": pa.array(test.labels),
                "test_neighbors": pa.array(ids[neighbors].tolist(), pa.list_(pa.string())),
                "test_neighbor_distance": pa.array(distances[:, 0]),
                "first_hit_rank": pa.array(found.first_hit_rank, pa.int64(), mask=missing),
                "average_precision_at_r": pa.array(found.average_precision_at_r, pa.float64(), mask=missing),
                "r_precision": pa.array(found.r_precision_each, pa.float64(), mask=missing),
            }
        ),
    )


def unseen_baselines(test_images: ArrayLike, test_labels: ArrayLike) -> dict[str, float]:
    """What raw pixels reach without any training: ``raw_pixels_recall_at_1``, ``raw_pixels_map_at_r`` …; empty where no
    class has two members.

    Args:
        test_images: (M, C, H, W) uint8.
        test_labels: (M,) int.
    """
    if not has_pairs(np.asarray(test_labels)):
        return {}
    found = retrieval(test_images.reshape(len(test_images), -1), test_labels, ks=(1, 5, 10))
    named = {f"recall_at_{k}": value for k, value in found.recall.items()}
    named |= {"map_at_r": found.map_at_r, "r_precision": found.r_precision}
    return {f"raw_pixels_{name}": value for name, value in named.items()}
