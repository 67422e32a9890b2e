"""Margins, angles, histograms and rankings as loops over Python floats, from the equations. Slow on purpose."""

from __future__ import annotations

from math import exp, log, radians, tan

import numpy as np
from naive_hard import split
from naive_pairs import distance
from naive_softmax import cosine

Array = np.ndarray


def _reduce(values: list[float], pairs: int, reduction: str) -> float:
    by = {"sum": 1, "mean": pairs, "nonzero": sum(v > 0 for v in values)}[reduction]
    return sum(values) / max(by, 1)


def margin_based(
    x: Array,
    y: Array,
    *,
    margin: float = 0.2,
    beta: float | Array = 1.2,
    regularization: float = 0.0,
    reduction: str = "nonzero",
) -> float:
    values, boundaries = [], []
    for i in range(len(x)):
        b = float(beta[y[i]]) if isinstance(beta, np.ndarray) else beta
        boundaries.append(b)
        same, other = split(x, y, i)
        values += [max(0.0, margin + distance(x[i], x[p]) - b) for p in same]
        values += [max(0.0, margin + b - distance(x[i], x[n])) for n in other]
    return _reduce(values, len(values), reduction) + regularization * sum(boundaries) / len(boundaries)


def snr_contrastive(
    x: Array,
    y: Array,
    *,
    margin: float = 1.0,
    positive_margin: float = 0.0,
    zero_mean: float = 0.0,
    reduction: str = "mean",
) -> float:
    values = []
    for i in range(len(x)):
        same, other = split(x, y, i)
        values += [max(0.0, np.var(x[p] - x[i]) / np.var(x[i]) - positive_margin) for p in same]
        values += [max(0.0, margin - np.var(x[n] - x[i]) / np.var(x[i])) for n in other]
    return _reduce(values, len(values), reduction) + zero_mean * float(np.mean(np.abs(x.sum(axis=1))))


def angular(x: Array, y: Array, *, alpha: float = 45.0, form: str = "n_pair") -> float:
    u = [v / np.linalg.norm(v) for v in x]
    t, values = tan(radians(alpha)) ** 2, []
    for a in range(len(x)):
        same, other = split(x, y, a)
        for p in same:
            if form == "n_pair":
                f = [4 * t * (u[a] + u[p]) @ u[n] - 2 * (1 + t) * u[a] @ u[p] for n in other]
                values.append(log(1 + sum(exp(v) for v in f)))
            else:
                values += [angular_triplet(u[a], u[p], u[n], t) for n in other]
    return sum(values) / len(values)


def angular_triplet(a: Array, p: Array, n: Array, t: float) -> float:
    return max(0.0, distance(a, p, "squared") - 4 * t * distance(n, (a + p) / 2, "squared"))


def ranked_list(
    x: Array,
    y: Array,
    *,
    alpha: float = 1.2,
    margin: float = 0.4,
    sharpness: float = 10.0,
    positive_sharpness: float = 0.0,
    balance: float = 0.5,
) -> float:
    total = 0.0
    for i in range(len(x)):
        same, other = split(x, y, i)
        near = [h for p in same if (h := distance(x[i], x[p]) - (alpha - margin)) > 0]
        far = [h for n in other if (h := alpha - distance(x[i], x[n])) > 0]
        for part, share, t in ((near, 1 - balance, positive_sharpness), (far, balance, sharpness)):
            weights = [exp(t * h) for h in part]
            total += share * sum(w * h for w, h in zip(weights, part, strict=True)) / max(sum(weights), 1e-300)
    return total / len(x)


def _shares(value: float, nodes: Array) -> list[float]:
    """What a value gives each node: 1 at the node, falling to 0 at its neighbours."""
    step = nodes[1] - nodes[0]
    return [max(0.0, 1 - abs(value - node) / step) for node in nodes]


def histogram(x: Array, y: Array, *, bins: int = 100) -> float:
    nodes = np.linspace(-1, 1, bins + 1)
    pull, push = np.zeros(bins + 1), np.zeros(bins + 1)
    pulls = pushes = 0
    for i in range(len(x)):
        same, other = split(x, y, i)
        pulls, pushes = pulls + len(same), pushes + len(other)
        for p in same:
            pull += _shares(cosine(x[i], x[p]), nodes)
        for n in other:
            push += _shares(cosine(x[i], x[n]), nodes)
    return sum(push[r] / pushes * sum(pull[: r + 1]) / pulls for r in range(bins + 1))


def fast_ap(x: Array, y: Array, *, bins: int = 10) -> float:
    nodes, values = np.linspace(0, 4, bins + 1), []
    for i in range(len(x)):
        same, other = split(x, y, i)
        if not same:
            continue
        near = sum(np.array(_shares(2 - 2 * cosine(x[i], x[p]), nodes)) for p in same)
        far = sum(np.array(_shares(2 - 2 * cosine(x[i], x[n]), nodes)) for n in other)
        precision = 0.0
        for k in range(bins + 1):
            every = sum(near[: k + 1]) + sum(far[: k + 1])
            precision += near[k] * sum(near[: k + 1]) / every if every > 0 else 0.0
        values.append(1 - precision / len(same))
    return sum(values) / len(values)


def smooth_ap(x: Array, y: Array, *, temperature: float = 0.01, include_query: bool = False) -> float:
    values = []
    for i in range(len(x)):
        same, other = split(x, y, i)
        if include_query:
            same = [*same, i]
        if not same:
            continue
        s = {j: cosine(x[i], x[j]) for j in same + other}

        def rank(p: int, among: list[int], s: dict[int, float] = s) -> float:
            return 1 + sum(1 / (1 + exp((s[p] - s[j]) / temperature)) for j in among if j != p)

        values.append(1 - sum(rank(p, same) / rank(p, same + other) for p in same) / len(same))
    return sum(values) / len(values)
