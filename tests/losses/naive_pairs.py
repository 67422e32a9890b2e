"""Losses of pairs and triplets as loops over Python floats, from the equations. Slow on purpose."""

from __future__ import annotations

from itertools import combinations

import numpy as np

Array = np.ndarray


def distance(a: Array, b: Array, kind: str = "euclidean") -> float:
    if kind == "cosine":
        return 1 - float(a @ b) / (float(a @ a) ** 0.5 * float(b @ b) ** 0.5)
    squared = float((a - b) @ (a - b))
    return squared if kind == "squared" else squared**0.5


def contrastive(x: Array, y: Array, *, margin: float = 1.0, form: str = "squared", reduction: str = "sum") -> float:
    values = []
    for i, j in combinations(range(len(x)), 2):
        d = distance(x[i], x[j])
        if form == "squared":
            values.append(d**2 if y[i] == y[j] else max(0.0, margin - d**2))
        else:
            values.append(0.5 * d**2 if y[i] == y[j] else 0.5 * max(0.0, margin - d) ** 2)
    return sum(values) / (len(values) if reduction == "mean" else 1)


def siamese(
    a: Array, b: Array, different: Array, *, margin: float = 2.5, half: bool = False, reduction: str = "mean"
) -> float:
    values = []
    for u, v, other in zip(a, b, different, strict=True):
        d = distance(u, v)
        values.append((1 - other) * d**2 + other * max(0.0, margin - d) ** 2)
    total = sum(values) / (len(values) if reduction == "mean" else 1)
    return 0.5 * total if half else total


def triplet(x: Array, y: Array, *, margin: float = 0.2, mining: str = "all", distance: str = "euclidean") -> float:
    kind, values = distance, []
    for a in range(len(x)):
        same = [_d(x[a], x[p], kind) for p in range(len(x)) if p != a and y[p] == y[a]]
        other = [_d(x[a], x[k], kind) for k in range(len(x)) if y[k] != y[a]]
        if not same or not other:
            continue
        if mining == "all":
            values += [max(0.0, p - n + margin) for p in same for n in other]
        elif mining == "hard":
            values.append(max(0.0, max(same) - min(other) + margin))
        else:
            for p in same:
                beyond = [n for n in other if n > p]
                values.append(max(0.0, p - (min(beyond) if beyond else max(other)) + margin))
    return sum(values) / len(values)


_d = distance


def alignment(a: Array, b: Array, *, alpha: float = 2) -> float:
    return sum(distance(u, v) ** alpha for u, v in zip(a, b, strict=True)) / len(a)
