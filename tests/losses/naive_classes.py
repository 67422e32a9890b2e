"""Class and proxy losses, and losses without negatives, as loops over Python floats, from the equations."""

from __future__ import annotations

from itertools import combinations
from math import acos, cos, exp, floor, log, pi, sin

import numpy as np
from naive_softmax import cosine

Array = np.ndarray


def cross_entropy(logits: list[float], target: int) -> float:
    return -log(exp(logits[target]) / sum(exp(v) for v in logits))


def normalized_softmax(x: Array, y: Array, p: Array, *, temperature: float = 0.05) -> float:
    rows = [cross_entropy([cosine(u, c) / temperature for c in p], t) for u, t in zip(x, y, strict=True)]
    return sum(rows) / len(rows)


def cosface(x: Array, y: Array, p: Array, *, margin: float = 0.35, scale: float = 64.0) -> float:
    total = 0.0
    for u, t in zip(x, y, strict=True):
        logits = [scale * (cosine(u, c) - (margin if k == t else 0)) for k, c in enumerate(p)]
        total += cross_entropy(logits, t)
    return total / len(x)


def arcface(x: Array, y: Array, p: Array, *, margin: float = 0.5, scale: float = 64.0) -> float:
    return subcenter(x, y, p, centers=1, margin=margin, scale=scale)


def subcenter(x: Array, y: Array, p: Array, *, centers: int = 3, margin: float = 0.5, scale: float = 64.0) -> float:
    total = 0.0
    for u, t in zip(x, y, strict=True):
        best = [max(cosine(u, p[c * centers + k]) for k in range(centers)) for c in range(len(p) // centers)]
        angle = acos(best[t])
        best[t] = cos(angle + margin) if angle + margin < pi else best[t] - margin * sin(pi - margin)
        total += cross_entropy([scale * b for b in best], t)
    return total / len(x)


def sphereface(x: Array, y: Array, p: Array, *, margin: int = 4) -> float:
    total = 0.0
    for u, t in zip(x, y, strict=True):
        length = float(u @ u) ** 0.5
        logits = [length * cosine(u, c) for c in p]
        angle = acos(cosine(u, p[t]))
        k = floor(margin * angle / pi)
        logits[t] = length * ((-1) ** k * cos(margin * angle) - 2 * k)
        total += cross_entropy(logits, t)
    return total / len(x)


def squared(u: Array, v: Array) -> float:
    a, b = u / float(u @ u) ** 0.5, v / float(v @ v) ** 0.5
    return float((a - b) @ (a - b))


def proxy_nca(x: Array, y: Array, p: Array, *, temperature: float = 1.0) -> float:
    total = 0.0
    for u, t in zip(x, y, strict=True):
        below = sum(exp(-squared(u, c) / temperature) for k, c in enumerate(p) if k != t)
        total -= log(exp(-squared(u, p[t]) / temperature) / below)
    return total / len(x)


def proxy_nca_pp(x: Array, y: Array, p: Array, *, temperature: float = 1 / 9) -> float:
    rows = [cross_entropy([-squared(u, c) / temperature for c in p], t) for u, t in zip(x, y, strict=True)]
    return sum(rows) / len(rows)


def proxy_anchor(x: Array, y: Array, p: Array, *, margin: float = 0.1, alpha: float = 32.0) -> float:
    pull, push, present = 0.0, 0.0, set(y.tolist())
    for k, c in enumerate(p):
        own = [cosine(u, c) for u, t in zip(x, y, strict=True) if t == k]
        other = [cosine(u, c) for u, t in zip(x, y, strict=True) if t != k]
        pull += log(1 + sum(exp(-alpha * (s - margin)) for s in own))
        push += log(1 + sum(exp(alpha * (s + margin)) for s in other))
    return pull / len(present) + push / len(p)


def soft_triple(
    x: Array,
    y: Array,
    p: Array,
    *,
    centers: int = 10,
    scale: float = 20.0,
    gamma: float = 0.1,
    margin: float = 0.01,
    regularization: float = 0.2,
) -> float:
    classes, total = len(p) // centers, 0.0
    for u, t in zip(x, y, strict=True):
        logits = []
        for c in range(classes):
            cosines = [cosine(u, p[c * centers + k]) for k in range(centers)]
            weights = [exp(s / gamma) for s in cosines]
            logits.append(sum(w * s for w, s in zip(weights, cosines, strict=True)) / sum(weights))
        logits[t] -= margin
        total += cross_entropy([scale * v for v in logits], t)
    apart = 0.0
    for c in range(classes):
        for k, j in combinations(range(centers), 2):
            apart += squared(p[c * centers + k], p[c * centers + j]) ** 0.5
    pairs = classes * centers * (centers - 1)
    return total / len(x) + (regularization * apart / pairs if pairs else 0.0)


def vicreg(a: Array, b: Array, *, invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0) -> float:
    n, d = a.shape
    total = invariance * sum(float(u - v) ** 2 for u, v in zip(a.flat, b.flat, strict=True)) / (n * d)
    for x in (a, b):
        c = np.cov(x.T)
        for j in range(d):
            total += variance * 0.5 * max(0.0, 1 - (c[j, j] + 1e-4) ** 0.5) / d
            total += covariance * sum(c[j, k] ** 2 for k in range(d) if k != j) / d
    return float(total)


def barlow_twins(a: Array, b: Array, *, redundancy: float = 0.005, epsilon: float = 1e-5) -> float:
    u, v = ((x - x.mean(0)) / np.sqrt(x.var(0) + epsilon) for x in (a, b))
    total = 0.0
    for d in range(a.shape[1]):
        for e in range(a.shape[1]):
            c = float(u[:, d] @ v[:, e]) / len(a)
            total += (1 - c) ** 2 if d == e else redundancy * c**2
    return total


def negative_cosine(p: Array, z: Array) -> float:
    return -sum(cosine(u, v) for u, v in zip(p, z, strict=True)) / len(p)


def swav(a: Array, b: Array, *, temperature: float = 0.1, epsilon: float = 0.05, iterations: int = 3) -> float:
    total = 0.0
    for scores, other in ((a, b), (b, a)):
        q = np.exp(other / epsilon)
        n, k = q.shape
        for _ in range(iterations):
            q = q / q.sum(axis=0, keepdims=True) / k
            q = q / q.sum(axis=1, keepdims=True) / n
        for row, code in zip(scores, q * n, strict=True):
            total -= sum(
                c * log(exp(s / temperature) / sum(np.exp(row / temperature))) for s, c in zip(row, code, strict=True)
            )
    return total / (2 * len(a))


def dino(
    s: Array, t: Array, center: Array, *, student_temperature: float = 0.1, teacher_temperature: float = 0.04
) -> float:
    total = 0.0
    for u, v in zip(s, t, strict=True):
        target = np.exp((v - center) / teacher_temperature)
        target = target / target.sum()
        total -= sum(
            w * log(exp(a / student_temperature) / sum(np.exp(u / student_temperature)))
            for a, w in zip(u, target, strict=True)
        )
    return total / len(s)
