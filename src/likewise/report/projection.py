"""The coordinates of the picture of the embedding: itself where it has two dimensions, else a projection.

At most about 3,000 test images are drawn: more cannot be told apart in a picture of this size, and t-SNE of 3,000
points costs 16 s. The coordinates are kept in ``embeddings/projection.parquet`` (id, label, x, y) together with a
digest of the embeddings they came from, so a report that is written again, and a comparison that shows many runs,
pay nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from likewise.evaluation import EmbeddedSplit, project
from likewise.training.files import replacing, writing_to

Method = Literal["tsne", "umap", "pca"]
METHOD_WORDS = {"tsne": "t-SNE", "umap": "UMAP", "pca": "PCA", "itself": "the embedding itself"}


@dataclass(frozen=True)
class Projection:
    """Points of a picture.

    Attributes:
        points: (N, 2) float32.
        labels: (N,) int64, or None without labels.
        ids: N, of the test images.
        method: ``itself``, ``tsne``, ``umap`` or ``pca``.
        total: how many test images there are, drawn or not.
        dimension: of the embedding.
    """

    points: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    ids: tuple[str, ...]
    method: str
    total: int
    dimension: int

    @property
    def words(self) -> str:
        """What the picture is of: "t-SNE of 64-D"; "2-D, as it is" for the embedding itself."""
        return "2-D, as it is" if self.method == "itself" else f"{METHOD_WORDS[self.method]} of {self.dimension}-D"


def projected(folder: Path, split: EmbeddedSplit, *, method: Method, most: int, seed: int = 0) -> Projection:
    """Coordinates for the test images of a run, from its folder if they lie there already.

    Args:
        folder: of the run; the coordinates are kept in it.
        split: the test embeddings.
        method: ``tsne``, ``umap`` or ``pca``, for embeddings of more than two dimensions.
        most: points in the picture at most, drawn at random by ``seed``.
        seed: of the draw and of the projection.
    """
    embeddings = np.asarray(split.embeddings, dtype=np.float32)
    total, dimension = embeddings.shape
    chosen = np.sort(np.random.default_rng(seed).permutation(total)[:most])
    vectors = np.ascontiguousarray(embeddings[chosen])
    known = np.asarray(split.labels, dtype=np.int64)[chosen]
    labels = None if (known < 0).all() else known
    ids = tuple(split.ids[int(i)] for i in chosen)
    if dimension <= 2:
        line = np.column_stack([vectors, np.zeros((len(vectors), 2 - dimension), np.float32)])
        return Projection(line, labels, ids, "itself", total, dimension)
    digest = hashlib.sha256(f"{method} {seed}".encode() + vectors.tobytes()).hexdigest()
    path = folder / "embeddings" / "projection.parquet"
    points = _kept(path, digest)
    if points is None:
        points = np.asarray(project(vectors, method=method, seed=seed), dtype=np.float32)
        columns: dict[str, Any] = {"id": list(ids), "label": known, "x": points[:, 0], "y": points[:, 1]}
        with writing_to(folder), replacing(path) as beside:
            pq.write_table(pa.table(columns).replace_schema_metadata({"of": digest, "method": method}), beside)
    return Projection(points, labels, ids, method, total, dimension)


def _kept(path: Path, digest: str) -> NDArray[np.float32] | None:
    if not path.is_file():
        return None
    table = pq.read_table(path)
    if (table.schema.metadata or {}).get(b"of") != digest.encode():
        return None
    return np.column_stack([table["x"].to_numpy(), table["y"].to_numpy()]).astype(np.float32)
