"""Miners as loops over Python floats, from their definitions, and losses of the tuples they find. Slow on purpose."""

from __future__ import annotations

from math import exp, log

import numpy as np
from naive_hard import split
from naive_pairs import distance
from naive_softmax import cosine

Array = np.ndarray
Triple = tuple[int, int, int]


def every(x: Array, y: Array) -> list[Triple]:
    return [(a, p, n) for a in range(len(x)) for p in split(x, y, a)[0] for n in split(x, y, a)[1]]


def hard(x: Array, y: Array, *, kind: str = "euclidean") -> list[Triple]:
    found = []
    for a in range(len(x)):
        same, other = split(x, y, a)
        if same and other:
            near = min(other, key=lambda n: distance(x[a], x[n], kind))
            found.append((a, max(same, key=lambda p: distance(x[a], x[p], kind)), near))
    return found


def semihard(x: Array, y: Array, *, kind: str = "euclidean") -> list[Triple]:
    found = []
    for a in range(len(x)):
        same, other = split(x, y, a)
        d = {j: distance(x[a], x[j], kind) for j in same + other}
        for p in same if other else ():
            beyond = [n for n in other if d[n] > d[p]]
            found.append((a, p, min(beyond, key=d.__getitem__) if beyond else max(other, key=d.__getitem__)))
    return found


def easy_positive(x: Array, y: Array, *, kind: str = "cosine", negatives: str = "semihard") -> list[Triple]:
    found = []
    for a in range(len(x)):
        same, other = split(x, y, a)
        d = {j: distance(x[a], x[j], kind) for j in same + other}
        if not same:
            continue
        p = min(same, key=d.__getitem__)
        usable = [n for n in other if negatives == "hard" or d[n] > d[p]]
        if usable:
            found.append((a, p, min(usable, key=d.__getitem__)))
    return found


def multi_similarity(
    x: Array, y: Array, *, epsilon: float = 0.1
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    pull, push = [], []
    for i in range(len(x)):
        same, other = split(x, y, i)
        s = {j: cosine(x[i], x[j]) for j in same + other}
        pull += [(i, p) for p in same if other and s[p] < max(s[n] for n in other) + epsilon]
        push += [(i, n) for n in other if same and s[n] > min(s[p] for p in same) - epsilon]
    return pull, push


def draw_weights(x: Array, y: Array, a: int, *, cutoff: float = 0.5, reach: float = 1.4) -> dict[int, float]:
    """What each negative of an anchor is drawn with, from the density of distances on the sphere."""
    u = [v / np.linalg.norm(v) for v in x]
    other = split(x, y, a)[1]
    d = {n: float(np.linalg.norm(u[a] - u[n])) for n in other}
    usable = [n for n in other if d[n] < reach] or other
    width = x.shape[1]

    def density(r: float) -> float:
        return r ** (width - 2) * (1 - r**2 / 4) ** ((width - 3) / 2)

    weights = {n: 1 / density(max(d[n], cutoff)) for n in usable}
    total = sum(weights.values())
    return {n: w / total for n, w in weights.items()}


def triplet_of(found: list[Triple], x: Array, *, margin: float = 0.2, kind: str = "euclidean") -> float:
    values = [max(0.0, distance(x[a], x[p], kind) - distance(x[a], x[n], kind) + margin) for a, p, n in found]
    return sum(values) / max(len(values), 1)


def mined_triplet(x: Array, y: Array, *, miner: str, distance: str = "euclidean", **options: str) -> float:
    find = {"all": every, "hard": hard, "semihard": semihard, "easy_positive": easy_positive}[miner]
    found = every(x, y) if find is every else find(x, y, kind=distance, **options)  # type: ignore[operator]
    return triplet_of(found, x, kind=distance)


def mined_multi_similarity(x: Array, y: Array, *, epsilon: float = 0.1) -> float:
    pull, push = multi_similarity(x, y, epsilon=epsilon)
    total = 0.0
    for i in range(len(x)):
        total += log(1 + sum(exp(-2.0 * (cosine(x[i], x[p]) - 0.5)) for a, p in pull if a == i)) / 2.0
        total += log(1 + sum(exp(50.0 * (cosine(x[i], x[n]) - 0.5)) for a, n in push if a == i)) / 50.0
    return total / len(x)


def mined_contrastive(x: Array, y: Array, *, form: str, reduction: str, margin: float = 3.0) -> float:
    """Of hard triplets, each a positive and a negative pair."""
    found = hard(x, y)
    values = []
    for a, p, n in found:
        near, far = distance(x[a], x[p]), distance(x[a], x[n])
        if form == "squared":
            values += [near**2, max(0.0, margin - far**2)]
        else:
            values += [0.5 * near**2, 0.5 * max(0.0, margin - far) ** 2]
    return sum(values) / (len(values) if reduction == "mean" else 1)
