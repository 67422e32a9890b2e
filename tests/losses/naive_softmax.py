"""The softmax family as double loops over Python floats, from the equations. Slow on purpose, and independent of
ours."""

from __future__ import annotations

from math import exp, log

import numpy as np

Array = np.ndarray


def cosine(a: Array, b: Array) -> float:
    return float(a @ b) / (float(a @ a) ** 0.5 * float(b @ b) ** 0.5)


def nt_xent(a: Array, b: Array, *, temperature: float) -> float:
    z, n = list(a) + list(b), len(a)
    total = 0.0
    for i in range(2 * n):
        p = (i + n) % (2 * n)
        below = sum(exp(cosine(z[i], z[k]) / temperature) for k in range(2 * n) if k != i)
        total -= log(exp(cosine(z[i], z[p]) / temperature) / below)
    return total / (2 * n)


def decoupled(a: Array, b: Array, *, temperature: float, sigma: float | None = None) -> float:
    z, n = list(a) + list(b), len(a)
    mean = sum(exp(cosine(a[i], b[i]) / sigma) for i in range(n)) / n if sigma else 1.0
    total = 0.0
    for i in range(2 * n):
        p = (i + n) % (2 * n)
        s = cosine(z[i], z[p])
        weight = 2 - exp(s / sigma) / mean if sigma else 1.0
        total += -weight * s / temperature
        total += log(sum(exp(cosine(z[i], z[k]) / temperature) for k in range(2 * n) if k not in (i, p)))
    return total / (2 * n)


def supcon(x: Array, y: Array, *, temperature: float, variant: str = "out") -> float:
    n, losses = len(x), []
    for i in range(n):
        below = sum(exp(cosine(x[i], x[a]) / temperature) for a in range(n) if a != i)
        shares = [exp(cosine(x[i], x[p]) / temperature) / below for p in range(n) if p != i and y[p] == y[i]]
        if shares and variant == "out":
            losses.append(-sum(log(s) for s in shares) / len(shares))
        elif shares:
            losses.append(-log(sum(shares) / len(shares)))
    return sum(losses) / len(losses)


def info_nce(q: Array, k: Array, extra: Array | None = None, *, temperature: float) -> float:
    n, total = len(q), 0.0
    columns = list(k) + ([] if extra is None else list(extra))
    for i in range(n):
        below = sum(exp(cosine(q[i], c) / temperature) for c in columns)
        total -= log(exp(cosine(q[i], k[i]) / temperature) / below)
    return total / n


def clip(a: Array, b: Array, *, temperature: float, positives: Array | None = None) -> float:
    n = len(a)
    ids = range(n) if positives is None else positives
    total = 0.0
    for x, y in ((a, b), (b, a)):
        for i in range(n):
            below = sum(exp(cosine(x[i], y[j]) / temperature) for j in range(n))
            hits = [exp(cosine(x[i], y[j]) / temperature) / below for j in range(n) if ids[j] == ids[i]]
            total -= sum(log(h) for h in hits) / len(hits)
    return total / (2 * n)


def siglip(a: Array, b: Array, *, temperature: float, bias: float, positives: Array | None = None) -> float:
    n, total = len(a), 0.0
    ids = range(n) if positives is None else positives
    for i in range(n):
        for j in range(n):
            z = 1 if ids[i] == ids[j] else -1
            total -= log(1 / (1 + exp(-z * (cosine(a[i], b[j]) / temperature + bias))))
    return total / n


def n_pairs(s: Array, y: Array, *, normalize_targets: bool = True) -> float:
    n, total = len(s), 0.0
    for i in range(n):
        below = sum(exp(s[i, k]) for k in range(n))
        row = [-log(exp(s[i, j]) / below) for j in range(n) if y[j] == y[i]]
        total += sum(row) / (len(row) if normalize_targets else 1)
    return total / n


def n_pairs_embedding(
    x: Array, y: Array, *, temperature: float = 1.0, normalize: bool = True, normalize_targets: bool = True
) -> float:
    s = np.array([[(cosine(u, v) if normalize else float(u @ v)) / temperature for v in x] for u in x])
    return n_pairs(s, y, normalize_targets=normalize_targets)


def multiclass_n_pairs(a: Array, p: Array, *, regularization: float = 0.0) -> float:
    n, total = len(a), 0.0
    for i in range(n):
        total += log(1 + sum(exp(float(a[i] @ p[j]) - float(a[i] @ p[i])) for j in range(n) if j != i))
        total += regularization * (float(a[i] @ a[i]) + float(p[i] @ p[i])) / 2
    return total / n


def soft_nearest_neighbor(x: Array, y: Array, *, temperature: float = 1.0) -> float:
    losses = [-log(p) for p in _shares(x, y, temperature) if p > 0]
    return sum(losses) / len(losses)


def nca(x: Array, y: Array, *, temperature: float = 1.0, form: str = "expected") -> float:
    shares = _shares(x, y, temperature)
    if form == "log":
        return soft_nearest_neighbor(x, y, temperature=temperature)
    return sum(1 - p for p in shares) / len(shares)


def _shares(x: Array, y: Array, temperature: float) -> list[float]:
    n, shares = len(x), []
    for i in range(n):
        weights = [exp(-float((x[i] - x[k]) @ (x[i] - x[k])) / temperature) if k != i else 0.0 for k in range(n)]
        shares.append(sum(w for w, label in zip(weights, y, strict=True) if label == y[i]) / sum(weights))
    return shares


def uniformity(x: Array, *, t: float = 2) -> float:
    n = len(x)
    pairs = [exp(-t * float((x[i] - x[j]) @ (x[i] - x[j]))) for i in range(n) for j in range(i)]
    return log(sum(pairs) / len(pairs))
