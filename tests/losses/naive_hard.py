"""Weighted pairs and lifted structures as loops over Python floats, from the equations. Slow on purpose."""

from __future__ import annotations

from itertools import combinations
from math import acos, cos, exp, log

import numpy as np
from naive_pairs import distance
from naive_softmax import cosine

Array = np.ndarray


def split(x: Array, y: Array, i: int) -> tuple[list[int], list[int]]:
    others = [j for j in range(len(x)) if j != i]
    return [j for j in others if y[j] == y[i]], [j for j in others if y[j] != y[i]]


def multi_similarity(x: Array, y: Array, *, alpha: float = 2.0, beta: float = 50.0, base: float = 0.5) -> float:
    total = 0.0
    for i in range(len(x)):
        same, other = split(x, y, i)
        total += log(1 + sum(exp(-alpha * (cosine(x[i], x[p]) - base)) for p in same)) / alpha
        total += log(1 + sum(exp(beta * (cosine(x[i], x[n]) - base)) for n in other)) / beta
    return total / len(x)


def circle(x: Array, y: Array, *, margin: float = 0.4, gamma: float = 80.0) -> float:
    values = []
    for i in range(len(x)):
        same, other = split(x, y, i)
        if not same or not other:
            continue
        pull = push = 0.0
        for p in same:
            s = cosine(x[i], x[p])
            pull += exp(-gamma * max(0.0, 1 + margin - s) * (s - (1 - margin)))
        for n in other:
            s = cosine(x[i], x[n])
            push += exp(gamma * max(0.0, s + margin) * (s - margin))
        values.append(log(1 + push * pull))
    return sum(values) / len(values)


def lifted(x: Array, y: Array, *, margin: float = 1.0) -> float:
    values = []
    for i, j in combinations(range(len(x)), 2):
        if y[i] != y[j]:
            continue
        inner = sum(exp(margin - distance(x[i], x[k])) for k in split(x, y, i)[1])
        inner += sum(exp(margin - distance(x[j], x[k])) for k in split(x, y, j)[1])
        values.append(max(0.0, log(inner) + distance(x[i], x[j])) ** 2)
    return sum(values) / (2 * len(values))


def generalized_lifted(x: Array, y: Array, *, margin: float = 1.0) -> float:
    values = []
    for i in range(len(x)):
        same, other = split(x, y, i)
        if same and other:
            pull = log(sum(exp(distance(x[i], x[p])) for p in same))
            push = log(sum(exp(margin - distance(x[i], x[n])) for n in other))
            values.append(max(0.0, pull + push))
    return sum(values) / len(values)


def tuplet(x: Array, y: Array, *, margin: float = 0.1, scale: float = 64.0) -> float:
    values = []
    for a in range(len(x)):
        same, other = split(x, y, a)
        for p in same:
            target = cos(acos(cosine(x[a], x[p])) - margin)
            values.append(log(1 + sum(exp(scale * (cosine(x[a], x[n]) - target)) for n in other)))
    return sum(values) / len(values)
