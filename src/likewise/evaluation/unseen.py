"""Retrieval among classes that training never saw: the open-set protocol of metric learning (Oh Song et al. 2016).

There is no classifier and no gallery of training images here: each test image looks for others of its class among the test
images. Clusters say whether the classes can be found without their names.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from likewise.evaluation._inputs import ArrayLike
from likewise.evaluation.embedded_split import EmbeddedSplit
from likewise.evaluation.geometry import geometry
from likewise.evaluation.intervals import wilson
from likewise.evaluation.nearest import nearest
from likewise.evaluation.retrieval import retrieval
from likewise.evaluation.suite import SHOWN_NEIGHBORS, Evaluation

_CURVE = range(1, 11)


def evaluate_unseen(test: EmbeddedSplit) -> Evaluation:
    """Recall@k, MAP@R, R-precision and geometry of test embeddings of unseen classes.

    Raises:
        EvaluationError: no class has two members.

    Example:
        >>> rows = np.array([[0, 0], [0, 1], [9, 0], [9, 1]], dtype=np.float32)
        >>> found = evaluate_unseen(EmbeddedSplit(rows, np.array([5, 5, 7, 7]), ("a", "b", "c", "d")))
        >>> found.metrics["recall_at_1"], found.metrics["map_at_r"]
        (1.0, 1.0)
    """
    found = retrieval(test.embeddings, test.labels, ks=_CURVE)
    shape = geometry(test.embeddings, test.labels)
    shown = min(SHOWN_NEIGHBORS, len(test) - 1)
    distances, neighbors = nearest(test.embeddings, test.embeddings, shown, exclude_self=True)
    metrics = {f"recall_at_{k}": found.recall[k] for k in (1, 5, 10)}
    metrics |= {"map_at_r": found.map_at_r, "r_precision": found.r_precision}
    metrics |= {"effective_rank": shape.effective_rank, "uniformity": shape.uniformity, "spread": shape.spread}
    if shape.alignment is not None:
        metrics["alignment"] = shape.alignment
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
    """What raw pixels reach without any training: ``raw_pixels_recall_at_1``, ``raw_pixels_map_at_r`` ….

    Args:
        test_images: (M, C, H, W) uint8.
        test_labels: (M,) int.
    """
    found = retrieval(test_images.reshape(len(test_images), -1), test_labels, ks=(1, 5, 10))
    named = {f"recall_at_{k}": value for k, value in found.recall.items()}
    named |= {"map_at_r": found.map_at_r, "r_precision": found.r_precision}
    return {f"raw_pixels_{name}": value for name, value in named.items()}
