"""What can be said about a run without labels: the shape of its space, and who is near whom.

How good the neighbours are cannot be said: that needs labels, or a person who looks at the pictures.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from likewise.evaluation.embedded_split import EmbeddedSplit
from likewise.evaluation.nearest import nearest
from likewise.evaluation.suite import SHOWN_NEIGHBORS, Evaluation, geometry_numbers


def evaluate_unlabeled(train: EmbeddedSplit, test: EmbeddedSplit) -> Evaluation:
    """Geometry of the test embeddings, and the nearest training samples of each.

    Args:
        train: the gallery.
        test: what is reported; a single row has no geometry.

    Returns:
        ``effective_rank``, ``uniformity`` and ``spread``; the records name the neighbours of every test sample.

    Raises:
        EvaluationError: dimensions differ, or there are too few rows.

    Example:
        >>> rows = np.eye(4, dtype=np.float32)
        >>> split = EmbeddedSplit(rows, np.full(4, -1), ("a", "b", "c", "d"))
        >>> sorted(evaluate_unlabeled(split, split).metrics)
        ['effective_rank', 'spread', 'uniformity']
    """
    distances, neighbors = nearest(test.embeddings, train.embeddings, min(SHOWN_NEIGHBORS, len(train)))
    ids = np.asarray(train.ids, dtype=object)
    return Evaluation(
        metrics=geometry_numbers(test),
        intervals={},
        recall_curve={},
        records=pa.table(
            {
                "id": pa.array(test.ids, pa.string()),
                "knn1_neighbor": pa.array(ids[neighbors[:, 0]], pa.string()),
                "knn1_distance": pa.array(distances[:, 0]),
                "neighbors": pa.array(ids[neighbors].tolist(), pa.list_(pa.string())),
            }
        ),
    )
