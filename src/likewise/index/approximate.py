"""An approximate index for tables that are too large to be looked through, tuned by the recall that is asked for.

The rows are divided into as many partitions as the square root of their number, and a search looks into the few whose
centres are nearest. How few is not guessed: rows of the table are taken as queries, their true neighbours are found by
looking through everything, and the fewest partitions are taken whose share of those, recall@10, reaches what was asked for,
with room for the chance in which rows were drawn. A table whose embeddings fit into memory is divided there; a larger one
gets LanceDB's inverted file (IVF_FLAT) on disk.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from likewise.errors import SearchIndexError
from likewise.index._lance import Distance, LanceItems
from likewise.index.centres import Centres
from likewise.index.manifest import Approximate, Manifest
from likewise.index.vectors import MOST_BYTES, Vectors, read_rows

__all__ = ["APPROXIMATE_FROM", "build_approximate", "check_recall", "outgrown"]

logger = logging.getLogger("likewise")

APPROXIMATE_FROM = 200_000  # rows; below, one query looks through all of them in memory in some milliseconds
SAMPLE = 500  # rows that are queries, where the table is in memory
SAMPLE_ON_DISK = 200
K = 10
SURE = 1.645  # standard errors by which the recall measured lies above the one asked for: 95 % one-sided

Queries = NDArray[np.float32]
Distances = list[NDArray[np.float32]]


def check_recall(recall: float) -> None:
    """Raise SearchIndexError unless ``recall`` is one that can be asked for."""
    if not 0 < recall <= 1:
        raise SearchIndexError(f"recall is {recall}.", expected="Expected more than 0 and at most 1.")


def outgrown(rows: int, manifest: Manifest) -> bool:
    """Whether a table of so many rows wants an approximate index, or another one than it has."""
    built = manifest.approximate
    if built is None:
        return rows >= APPROXIMATE_FROM
    beyond_memory = built.held == "memory" and rows * manifest.embedding_dim * 4 > MOST_BYTES
    return beyond_memory or rows >= max(APPROXIMATE_FROM, 2 * built.rows)


def build_approximate(
    folder: Path, items: LanceItems, dimension: int, recall: float, distance: Distance, *, seed: int = 0
) -> Approximate:
    """Build the index and find the fewest probes that reach a recall.

    Args:
        folder: of the index.
        items: the table, at its newest version.
        dimension: of the embeddings.
        recall: recall@10 to reach, in (0, 1]; 1.0 probes everything if it must.
        distance: of the index.
        seed: of the rows that are taken as queries, and of the partitions.
    """
    rows = items.count()
    partitions = max(1, round(math.sqrt(rows)))
    held: Literal["memory", "disk"] = "memory" if rows * dimension * 4 <= MOST_BYTES else "disk"
    random = np.random.default_rng(seed)
    search: Callable[[int], Distances]
    if held == "memory":
        embeddings, row_ids, ids = read_rows(items, dimension)
        rows = len(embeddings)
        centres = Centres.fit(embeddings, partitions, distance, seed=seed) if rows else None
        vectors = Vectors(embeddings, row_ids, ids, distance, centres)
        if centres is not None:
            centres.write(folder)
        queries = vectors.embeddings[random.permutation(rows)[:SAMPLE]]
        exact = list(vectors.nearest(queries, K + 1)[1])

        def search(probes: int) -> Distances:
            return [vectors.nearly(query, K + 1, probes)[1] for query in queries]

    else:
        items.build_vector_index(partitions)
        chosen = random.choice(items.columns([])["_rowid"].to_numpy(), min(SAMPLE_ON_DISK, rows), replace=False)
        queries = np.array([row["embedding"] for row in items.rows(chosen, ["embedding"])], np.float32)
        exact = [items.nearest(query, K + 1, probes=None)[1] for query in queries]

        def search(probes: int) -> Distances:
            return [items.nearest(query, K + 1, probes=probes)[1] for query in queries]

    probes, share = _fewest_probes(exact, search, partitions, recall)
    logger.info(
        "approximate index of %s rows: recall@%d %.4f on %d queries, looking into %d of %d partitions",
        f"{rows:,}",
        K,
        share,
        len(queries),
        probes,
        partitions,
    )
    return Approximate(
        rows=rows, partitions=partitions, probes=probes, recall=share, sample=len(queries), asked=recall, held=held
    )


def _fewest_probes(
    exact: Distances, search: Callable[[int], Distances], partitions: int, recall: float
) -> tuple[int, float]:
    """The fewest probes that reach a recall, and the recall they reach: doubled until they do, then bisected."""

    def measured(probes: int) -> tuple[float, bool]:
        shares = np.array([_share(true, near) for true, near in zip(exact, search(probes), strict=True)])
        share, error = float(shares.mean()), float(shares.std()) / math.sqrt(len(shares))
        return share, share - SURE * error >= recall or probes >= partitions

    if not exact:
        return 1, 1.0
    high = 1
    share, enough = measured(high)
    while not enough:
        high = min(2 * high, partitions)
        share, enough = measured(high)
    low = high // 2
    while high - low > max(1, high // 16):
        middle = (low + high) // 2
        found, enough = measured(middle)
        if enough:
            high, share = middle, found
        else:
            low = middle
    return high, share


def _share(true: NDArray[np.float32], near: NDArray[np.float32]) -> float:
    """Share of the true neighbours that were found: by distance, so that rows at one distance are as good as each other.

    The row that is the query is among both and counts in neither.
    """
    others = len(true) - 1
    if others == 0:
        return 1.0
    found = int((near <= true[-1] * (1 + 1e-4) + 1e-6).sum())
    return max(0, found - 1) / others
