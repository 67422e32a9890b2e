"""``GET /lists/{name}``: images that a person should look at, the most urgent first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from likewise.errors import ServeError
from likewise.serve.explored import Picture
from likewise.serve.findings import Findings
from likewise.serve.snapshot import UNKNOWN, Categories

__all__ = ["LISTS", "MOST_ROWS", "counts", "rows_of"]

MOST_ROWS = 1_000
_FEWEST_OUTLIERS = 50

Ranked = tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]] | None, NDArray[np.floating[Any]]]
"""Positions of the images, of the other image of each where there is one, and what they are ranked by."""


@dataclass(frozen=True)
class _List:
    title: str
    about: str
    value: str
    rank: Callable[[Picture, Findings], Ranked | None]


def _label_errors(picture: Picture, found: Findings) -> Ranked | None:
    if found.judged is None:
        return None
    return found.judged.suspects, None, found.judged.gaps


def _wrong_neighbors(picture: Picture, found: Findings) -> Ranked | None:
    if found.judged is None:
        return None
    other, distance = found.judged.other, found.judged.other_distance
    rows = np.flatnonzero(other != UNKNOWN)
    rows = rows[np.argsort(distance[rows], kind="stable")]
    # The same two images, seen from the other one, are no news.
    again = (other[other[rows]] == rows) & (other[rows] < rows)
    rows = rows[~again]
    return rows, other[rows], distance[rows]


def _duplicates(picture: Picture, found: Findings) -> Ranked | None:
    return found.pairs[:, 0], found.pairs[:, 1], found.pair_distances


def _leaks(picture: Picture, found: Findings) -> Ranked | None:
    split = picture.snapshot.columns.get("split")
    if not isinstance(split, Categories) or len(split.names) < 2:
        return None
    first, second = split.codes[found.pairs].T
    across = (first != second) & (first != UNKNOWN) & (second != UNKNOWN)
    return found.pairs[across, 0], found.pairs[across, 1], found.pair_distances[across]


def _outliers(picture: Picture, found: Findings) -> Ranked | None:
    rows = np.argsort(-found.anomaly, kind="stable")[: max(_FEWEST_OUTLIERS, len(found.anomaly) // 100)]
    return rows, None, found.anomaly[rows]


LISTS = {
    "label-errors": _List(
        "Suspected label errors",
        "Images whose neighbours speak for another class than the label, by how much farther they are from their own class.",
        "gap",
        _label_errors,
    ),
    "wrong-neighbors": _List(
        "Wrong neighbours",
        "Images whose nearest neighbour has another label, the nearest first: a wrong label, two names, or a confusion.",
        "distance",
        _wrong_neighbors,
    ),
    "duplicates": _List(
        "Duplicates",
        "Pairs that are nearer than a tenth of the usual distance to the nearest neighbour.",
        "distance",
        _duplicates,
    ),
    "leaks": _List(
        "Leaks between splits",
        "Duplicates of which one is in another split: a test with such images measures memory.",
        "distance",
        _leaks,
    ),
    "outliers": _List(
        "Outliers",
        "The hundredth part of the images that is farthest from all others, by the distance to the fifth nearest.",
        "distance",
        _outliers,
    ),
}


def counts(picture: Picture) -> list[dict[str, Any]]:
    """Each list with its number of rows, None where it cannot be made of this index."""
    listed = []
    for name, each in LISTS.items():
        ranked = None if picture.findings is None else each.rank(picture, picture.findings)
        total = None if ranked is None else len(ranked[0])
        listed.append({"name": name, "title": each.title, "about": each.about, "value": each.value, "total": total})
    return listed


def rows_of(picture: Picture, name: str, limit: int) -> dict[str, Any]:
    """The first rows of a list.

    Raises:
        ServeError: no such list (404), or not of this index, or not yet (409).
    """
    if name not in LISTS:
        raise ServeError(f"There is no list {name!r}.", expected=f"Expected one of {', '.join(LISTS)}.", status=404)
    found = picture.findings
    if found is None:
        raise ServeError(
            f"The list {name!r} is not there yet.",
            expected="Expected at least two images, looked through once.",
            advice="GET /explorer says how far it is.",
            status=409,
        )
    ranked = LISTS[name].rank(picture, found)
    if ranked is None:
        raise ServeError(
            f"The list {name!r} cannot be made of this index.",
            expected="Expected labels of two classes for label errors, and two splits for leaks.",
            status=409,
        )
    rows, others, values = ranked
    listed = []
    for rank in range(min(limit, len(rows))):
        entry = {"rank": rank + 1, **_image(picture, int(rows[rank])), LISTS[name].value: _plain(values[rank])}
        if others is not None:
            entry["other"] = _image(picture, int(others[rank]))
        listed.append(entry)
    each = LISTS[name]
    answer = {"name": name, "title": each.title, "about": each.about, "value": each.value, "total": len(rows)}
    answer["rows"] = listed
    if name == "label-errors" and found.judged is not None:
        answer["planted_recall"] = found.judged.planted_recall
    return answer


def _plain(value: np.floating[Any]) -> float | None:
    """JSON has no infinity."""
    return float(value) if np.isfinite(value) else None


def _image(picture: Picture, row: int) -> dict[str, Any]:
    classes, found = picture.snapshot.classes, picture.findings
    image: dict[str, Any] = {"row": row, "id": picture.snapshot.ids[row].as_py()}
    split = picture.snapshot.columns.get("split")
    if isinstance(split, Categories):
        image["split"] = _name(split, int(split.codes[row]))
    if classes is not None:
        image["label"] = _name(classes, int(classes.codes[row]))
        if found is not None and found.judged is not None:
            image["suggested"] = _name(classes, int(found.judged.suggested[row]))
    return image


def _name(column: Categories, code: int) -> str | None:
    return None if code == UNKNOWN else column.names[code]
