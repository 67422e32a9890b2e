"""What an embedding is good for, beyond telling classes apart: protocols that a recipe asks for by name.

They take seconds to a minute on 10,000 test images, which is why a run measures only those that ``evaluation.protocols``
names. Each gives numbers for ``metrics.json`` and details, plain values for ``evaluation.json``, that the report draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from likewise.errors import EvaluationError
from likewise.evaluation.anomaly import one_class_anomaly
from likewise.evaluation.clustering import clustering
from likewise.evaluation.components import independent_components
from likewise.evaluation.duplicates import duplicates
from likewise.evaluation.embedded_split import EmbeddedSplit
from likewise.evaluation.few_labels import few_labels
from likewise.evaluation.label_issues import label_issues, rank_suspects

AMOUNTS = (0.01, 0.1)
COMPONENTS, STRONGEST = 6, 8
SHOWN = 24
"""Pairs and suspects that are listed; the numbers count all of them."""


class _Splits(NamedTuple):
    train: EmbeddedSplit
    validation: EmbeddedSplit
    test: EmbeddedSplit
    num_classes: int
    seed: int


Found = tuple[dict[str, float], dict[str, Any]]


class Downstream(NamedTuple):
    """What the protocols found."""

    metrics: dict[str, float]
    """By the names of ``metrics.json``."""
    details: dict[str, dict[str, Any]]
    """By protocol."""
    notes: list[str]
    """Which protocols could not be measured, and why."""


def downstream(
    protocols: Sequence[str],
    train: EmbeddedSplit,
    validation: EmbeddedSplit,
    test: EmbeddedSplit,
    *,
    num_classes: int,
    seed: int = 0,
) -> Downstream:
    """Run the protocols that are named; one that these splits do not allow is told in ``notes`` and the rest goes on.

    Args:
        protocols: of ``few_labels``, ``clustering``, ``anomaly``, ``components``, ``duplicates``, ``label_issues``.
        train, validation, test: labelled splits.
        num_classes: K; labels are 0 … K-1.
        seed: of everything that is drawn.

    Raises:
        EvaluationError: a protocol that is not known.

    Example:
        >>> x = np.eye(3, dtype=np.float32)[np.arange(30) % 3]
        >>> split = EmbeddedSplit(x, np.arange(30) % 3, tuple(map(str, range(30))))
        >>> downstream(["clustering"], split, split, split, num_classes=3).metrics["clustering_accuracy"]
        1.0
    """
    splits = _Splits(train, validation, test, num_classes, seed)
    metrics: dict[str, float] = {}
    details: dict[str, dict[str, Any]] = {}
    notes = []
    for name in protocols:
        if name not in _PROTOCOLS:
            raise EvaluationError(
                f"The protocol {name!r} is not known.",
                expected=f"Known: {', '.join(_PROTOCOLS)}.",
                advice="Correct evaluation.protocols.",
            )
        try:
            numbers, details[name] = _PROTOCOLS[name](splits)
        except EvaluationError as error:
            notes.append(f"The protocol {name} was not measured: {error}")
        else:
            metrics |= numbers
    return Downstream(metrics, details, notes)


def _few_labels(splits: _Splits) -> Found:
    parts = [(part.embeddings, part.labels) for part in splits[:3]]
    found = few_labels(*parts, amounts=AMOUNTS, seed=splits.seed)
    rows = [
        {"amount": each.amount, "images": each.images, "mean": each.mean, "interval": each.interval} for each in found
    ]
    names = {0.01: "linear_probe_1_percent_accuracy", 0.1: "linear_probe_10_percent_accuracy"}
    return {names[each.amount]: each.mean for each in found}, {"rows": rows}


def _clustering(splits: _Splits) -> Found:
    test = splits.test
    found = clustering(test.embeddings, test.labels, clusters=splits.num_classes, spherical=True, seed=splits.seed)
    scores = {
        "nmi": found.nmi,
        "ami": found.ami,
        "ari": found.ari,
        "accuracy": found.accuracy,
        "silhouette": found.silhouette,
    }
    matching = found.matching or {}
    # Test may lack the highest classes; a cluster that is matched with none of those there stands for one of these.
    lacking = sorted({*range(splits.num_classes)} - {*matching.values()})
    matching |= zip(sorted({*range(splits.num_classes)} - {*matching}), lacking, strict=False)
    counts = np.zeros((splits.num_classes, splits.num_classes), dtype=np.int64)
    columns = np.array([matching[cluster] for cluster in found.assignments.tolist()], dtype=np.int64)
    np.add.at(counts, (test.labels, columns), 1)
    metrics = {f"clustering_{name}": value for name, value in scores.items() if value is not None}
    return metrics, {"counts": counts.tolist()}


def _anomaly(splits: _Splits) -> Found:
    train, test = splits.train, splits.test
    found = one_class_anomaly(train.embeddings, train.labels, test.embeddings, test.labels, distance="cosine")
    rows = [
        {"class": label, "auroc": each.auroc, "aupr": each.aupr, "fpr_at_95": each.fpr_at_95}
        for label, each in found.items()
    ]
    metrics = {
        f"one_class_{name}": float(np.mean([row[name] for row in rows])) for name in ("auroc", "aupr", "fpr_at_95")
    }
    return metrics, {"rows": rows}


def _components(splits: _Splits) -> Found:
    found = independent_components(splits.test.embeddings, components=COMPONENTS, seed=splits.seed)
    strongest = [[splits.test.ids[at] for at in row] for row in found.strongest(STRONGEST).tolist()]
    rows = [{"kurtosis": float(kurtosis), "ids": ids} for kurtosis, ids in zip(found.kurtosis, strongest, strict=True)]
    return {}, {"rows": rows, "converged": found.converged}


def _duplicates(splits: _Splits) -> Found:
    train, test = splits.train, splits.test
    leaks = duplicates(test.embeddings, train.embeddings)
    rows = [
        {"test": test.ids[query], "train": train.ids[place], "distance": float(distance)}
        for (query, place), distance in zip(leaks.pairs[:SHOWN].tolist(), leaks.distances[:SHOWN], strict=True)
    ]
    inside = duplicates(test.embeddings)
    groups = [[test.ids[at] for at in group] for group in inside.groups[:SHOWN]]
    details = {"rows": rows, "threshold": leaks.threshold, "pairs": len(leaks.pairs), "groups": groups}
    return {"leaked_share": len(np.unique(leaks.pairs[:, 0])) / len(test)}, details


def _label_issues(splits: _Splits) -> Found:
    test = splits.test
    found = label_issues(test.embeddings, test.labels, k=min(20, len(test) - 1), seed=splits.seed)
    rows = [
        {"id": test.ids[at], "label": int(test.labels[at]), "suggested": int(found.suggested[at])}
        for at in rank_suspects(test.embeddings, test.labels, found)[0][:SHOWN].tolist()
    ]
    metrics = {
        "suspected_labels_share": len(found.suspects) / len(test),
        "planted_labels_recall": found.planted_recall,
        "planted_labels_precision": found.planted_precision,
        "planted_labels_auroc": found.planted_auroc,
    }
    return metrics, {"rows": rows}


_PROTOCOLS: dict[str, Callable[[_Splits], Found]] = {
    "few_labels": _few_labels,
    "clustering": _clustering,
    "anomaly": _anomaly,
    "components": _components,
    "duplicates": _duplicates,
    "label_issues": _label_issues,
}
