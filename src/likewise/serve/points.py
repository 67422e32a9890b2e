"""``GET /points``: everything that the map needs of every image, as typed arrays that a browser takes without parsing.

A length (uint32, little-endian), a JSON header of that many bytes, then the arrays that the header lists, one behind the
other, each beginning at a multiple of four bytes. 70,000 images with ids, label, prediction, cluster and scores are 4 MB.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from likewise.serve.explored import Picture
from likewise.serve.snapshot import UNKNOWN, Categories, Numbers, Snapshot

__all__ = ["Encoded", "encode", "points_columns"]

_BLOCK = 2**18
_TITLES = {
    "label": "Label",
    "prediction": "Prediction",
    "error": "Right or wrong",
    "cluster": "Cluster",
    "anomaly": "Anomaly score",
    "issue": "Label issue score",
    "split": "Split",
    "source": "Source",
}

Column = Categories | Numbers


def points_columns(picture: Picture) -> dict[str, Column]:
    """All that points can be coloured by, by name."""
    classes, found = picture.snapshot.classes, picture.findings
    columns: dict[str, Column] = {} if classes is None else {"label": classes}
    if found is not None:
        if found.judged is not None and classes is not None:
            known = classes.codes != UNKNOWN
            wrong = np.where(known, found.judged.prediction != classes.codes, UNKNOWN)
            columns["prediction"] = Categories(classes.names, found.judged.prediction)
            columns["error"] = Categories(("right", "wrong"), wrong.astype(np.int32))
        clusters = int(found.cluster.max(initial=0)) + 1
        columns["cluster"] = Categories(tuple(f"cluster {number}" for number in range(1, clusters + 1)), found.cluster)
        columns["anomaly"] = Numbers(found.anomaly)
        if found.judged is not None:
            columns["issue"] = Numbers(found.judged.score)
    own = set(columns)
    return columns | {
        f"column {name}" if name in own else name: column for name, column in picture.snapshot.columns.items()
    }


@dataclass(frozen=True, eq=False)
class Encoded:
    """An answer that can be sent many times.

    Args:
        parts: of it, one behind the other.
        length: bytes of all.
        tag: as an ``ETag``, the same for the same bytes.
    """

    parts: tuple[memoryview | bytes, ...]
    length: int
    tag: str

    async def blocks(self) -> AsyncIterator[memoryview | bytes]:
        """The bytes, some at a time."""
        for part in self.parts:
            for start in range(0, len(part), _BLOCK):
                yield part[start : start + _BLOCK]


def encode(picture: Picture, name: str) -> Encoded:
    """The answer for one picture of an index."""
    snapshot = picture.snapshot
    columns = points_columns(picture)
    planes = {"tsne": picture.tsne, "pca": picture.pca}
    arrays: list[tuple[str, NDArray[Any]]] = []
    for plane, places in planes.items():
        if places is not None:
            arrays += [(f"{plane}.x", places[:, 0]), (f"{plane}.y", places[:, 1])]
    for key, column in columns.items():
        if isinstance(column, Numbers):
            arrays.append((key, column.values.astype("<f4")))
        else:
            arrays.append((key, column.codes.astype("<i2" if len(column.names) < 2**15 else "<i4")))
    offsets, letters = _text(snapshot)
    arrays += [("id.offsets", offsets), ("id.letters", letters)]
    contiguous = [(key, np.ascontiguousarray(array)) for key, array in arrays]
    header = {
        "index": name,
        "version": snapshot.version,
        "model": snapshot.model,
        "stamp": snapshot.stamp,
        "rows": len(snapshot),
        "total": snapshot.total,
        "dimension": picture.dimension,
        "captions": snapshot.captions,
        "found": picture.findings is not None,
        "planes": [
            {"name": plane, "title": _plane_title(plane, picture.dimension)}
            for plane, places in planes.items()
            if places is not None
        ],
        "columns": [_described(key, column) for key, column in columns.items()],
        "arrays": [{"name": key, "type": array.dtype.name, "length": len(array)} for key, array in contiguous],
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    parts: list[memoryview | bytes] = [struct.pack("<I", len(text)), text]
    for _, array in contiguous:
        parts += [array.data.cast("B"), bytes(-array.nbytes % 4)] if len(array) else []
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return Encoded(tuple(parts), sum(map(len, parts)), f'"{digest.hexdigest()}"')


def _plane_title(plane: str, dimension: int) -> str:
    if dimension <= 2:
        return "the embedding itself"
    return {"tsne": "t-SNE", "pca": "principal components"}[plane]


def _described(key: str, column: Column) -> dict[str, Any]:
    title = _TITLES.get(key, key)
    if isinstance(column, Categories):
        return {"name": key, "title": title, "kind": "categories", "names": column.names}
    finite = column.values[np.isfinite(column.values)]
    # A few far values would leave one colour for all others.
    low, high = np.quantile(finite, (0.01, 0.99)).tolist() if len(finite) else (0.0, 1.0)
    return {"name": key, "title": title, "kind": "numbers", "low": low, "high": high}


def _text(snapshot: Snapshot) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """Ids as one run of UTF-8 and where each begins, without a Python object for any of them."""
    if not len(snapshot):
        return np.zeros(1, np.uint32), np.empty(0, np.uint8)
    _, offsets, letters = snapshot.ids.buffers()
    places = np.frombuffer(offsets, np.int32)[snapshot.ids.offset : snapshot.ids.offset + len(snapshot) + 1]
    run = np.frombuffer(letters, np.uint8)[places[0] : places[-1]] if letters is not None else np.empty(0, np.uint8)
    return (places - places[0]).astype(np.uint32), run
