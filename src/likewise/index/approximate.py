"""An approximate index for tables that are too large to be looked through, tuned by the recall that is asked for.

The rows are divided into as many partitions as the square root of their number, and a search looks into the few whose
centres are nearest. How few is not guessed: rows of the table are taken as queries, their true neighbours are found by
looking through everything, and the number of partitions is doubled until the share of those that it finds, recall@10, is
reached.
"""

from __future__ import annotations

import logging
import math

import numpy as np
from numpy.typing import NDArray

from likewise.index._lance import Distance, LanceItems
from likewise.index.manifest import Approximate
from likewise.index.vectors import MOST_BYTES, Vectors

__all__ = ["APPROXIMATE_FROM", "build_approximate"]

logger = logging.getLogger("likewise")

APPROXIMATE_FROM = 200_000  # rows; below, looking through all of them in memory is as fast
SAMPLE = 200
K = 10


def build_approximate(
    items: LanceItems, recall: float, distance: Distance, *, partitions: int | None = None, seed: int = 0
) -> Approximate:
    """Build the index and find the fewest probes that reach a recall.

    Args:
        items: the table, at its newest version.
        recall: recall@10 to reach, in (0, 1]; 1.0 probes everything if it must.
        distance: of the index.
        partitions: of the inverted file; by default √rows.
        seed: of the rows that are taken as queries.
    """
    rows = items.count()
    partitions = partitions or max(1, round(math.sqrt(rows)))
    items.build_vector_index(partitions)
    row_ids = items.column("id")[1]
    chosen = np.random.default_rng(seed).choice(row_ids, min(SAMPLE, rows), replace=False)
    queries = [np.array(row["embedding"], np.float32) for row in items.rows(chosen, ["embedding"])]
    k = min(K, rows)
    exact = _exact(items, queries, k, distance)
    probes = 1
    while True:
        # Counted by distance, so that rows at one distance, as float32 has it, are as good as each other.
        found = [items.nearest(query, k, probes=probes)[1] for query in queries]
        pairs = zip(exact, found, strict=True)
        share = float(np.mean([np.mean(near <= true[-1] * (1 + 1e-4) + 1e-6) * len(near) / k for true, near in pairs]))
        if share >= recall or probes >= partitions:
            break
        probes = min(2 * probes, partitions)
    logger.info(
        "approximate index of %s rows: recall@%d %.4f on %d queries, looking into %d of %d partitions",
        f"{rows:,}",
        k,
        share,
        len(queries),
        probes,
        partitions,
    )
    return Approximate(rows=rows, partitions=partitions, probes=probes, recall=share, sample=len(queries))


def _exact(
    items: LanceItems, queries: list[NDArray[np.float32]], k: int, distance: Distance
) -> list[NDArray[np.float32]]:
    """True distances of the k nearest of each query: all queries together in memory where the table fits."""
    dimension = len(queries[0])
    if items.count() * dimension * 4 > MOST_BYTES:
        return [items.nearest(query, k, probes=None)[1] for query in queries]
    return list(Vectors.read(items, 0, dimension).nearest(np.stack(queries), k, distance)[1])
