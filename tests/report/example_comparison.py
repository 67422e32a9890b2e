"""A ``comparison.json`` made by hand, in the form that ``likewise.comparison`` writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

RECIPES = {"fashion-crossentropy": "cross-entropy", "fashion-siamese": "siamese", "fashion-contrastive": "contrastive"}
SIZES = {"100": 100, "1000": 1000, "all": 10000}


def comparison_content(*, seeds: Sequence[int] = (0, 1, 2)) -> dict[str, Any]:
    """A ``comparison.json`` in the agreed form, with numbers by a formula; two cells failed, one is pending."""
    metrics = [
        {"name": "knn1_accuracy", "label": "1-NN accuracy", "unit": "fraction", "higher_is_better": True, "main": True},
        {
            "name": "linear_probe_accuracy",
            "label": "linear probe accuracy",
            "unit": "fraction",
            "higher_is_better": True,
            "main": False,
        },
        {"name": "map_at_r", "label": "MAP@R", "unit": "fraction", "higher_is_better": True, "main": False},
        {"name": "train_seconds", "label": "training seconds", "unit": "s", "higher_is_better": False, "main": False},
    ]
    summary, differences, curves, cells, baselines = [], [], [], [], []
    for at, recipe in enumerate(RECIPES):
        for size, n in SIZES.items():
            for m, metric in enumerate(metrics):
                mean = (
                    0.60 + 0.07 * np.log10(n) - 0.03 * at - 0.02 * m
                    if metric["unit"] == "fraction"
                    else 2 + n / 200 + 9 * at
                )
                values = [mean * (1 + 0.004 * (seed - 1)) for seed in seeds]
                summary.append(
                    {
                        "recipe": recipe,
                        "condition": size,
                        "metric": metric["name"],
                        "mean": mean,
                        "low": mean * 0.985,
                        "high": mean * 1.015,
                        "n": len(seeds),
                        "interval": "seeds",
                        "values": values,
                    }
                )
            ks = list(range(1, 11))
            mean_k = [0.98 - (0.25 - 0.03 * np.log10(n) + 0.03 * at) / k for k in ks]
            curves.append(
                {
                    "recipe": recipe,
                    "condition": size,
                    "k": ks,
                    "mean": mean_k,
                    "low": [v - 0.01 for v in mean_k],
                    "high": [v + 0.01 for v in mean_k],
                    "n": len(seeds),
                    "interval": "seeds",
                }
            )
            for seed in seeds:
                failed, pending = (at, size, seed) in ((1, "100", 0), (2, "100", 1)), (at, size, seed) == (2, "1000", 2)
                cells.append(
                    {
                        "recipe": recipe,
                        "condition": size,
                        "seed": seed,
                        "folder": f"cells/{recipe}/train-{size}/seed-{seed}",
                        "status": "failed" if failed else "pending" if pending else "done",
                        "error": "TrainingError: the loss is not finite at step 12." if failed else None,
                        "seconds": None if failed or pending else 12.3 + seed,
                        "warnings": ["The embeddings have collapsed."] * ((at, size) == (1, "100") and not failed),
                        "metrics": {} if failed or pending else {"knn1_accuracy": 0.7 + 0.01 * seed},
                    }
                )
    for size, n in SIZES.items():
        for name, label, value in (("pca_10", "PCA to 10", 0.50), ("raw_pixels", "raw pixels", 0.55)):
            baselines.append(
                {
                    "name": name,
                    "label": label,
                    "dimension": 10,
                    "condition": size,
                    "metric": "knn1_accuracy",
                    "mean": value + 0.07 * np.log10(n),
                    "low": None,
                    "high": None,
                    "n": 1,
                    "interval": "none",
                    "values": [],
                }
            )
        for a, b, d in (("fashion-crossentropy", "fashion-siamese", 0.031), ("fashion-siamese", "raw_pixels", -0.004)):
            differences.append(
                {
                    "a": a,
                    "b": b,
                    "condition": size,
                    "metric": "knn1_accuracy",
                    "mean": d,
                    "low": d - 0.02,
                    "high": d + 0.02,
                    "n": 3,
                    "method": "paired-bootstrap",
                    "supported": abs(d) > 0.02,
                }
            )
    statements = [
        "With 10,000 training images cross-entropy is ahead of siamese by 3.1 points (95 % interval 1.1 to 5.1).",
        "Between siamese and raw pixels no difference is shown (-0.4 points, 95 % interval -2.4 to 1.6).",
    ]
    return {
        "format": 2,
        "created": "2026-01-02T03:04:05+00:00",
        "updated": "2026-01-02T03:14:05+00:00",
        "complete": False,
        "command": "likewise compare fashion-crossentropy fashion-siamese fashion-contrastive --seeds 3",
        "budget": "laptop",
        "overrides": {"epochs": 3},
        "notes": ["The test split is the source's own."],
        "environment": {"python": "3.11.9", "cpus": 2},
        "data": {
            "source": "fashion-mnist",
            "origin": "made by hand",
            "validation": 1000,
            "test": 3000,
            "class_names": [],
            "bad_images": [],
        },
        "recipes": [
            {"name": name, "title": name, "label": label, "objective": label, "embedding_dim": 10}
            for name, label in RECIPES.items()
        ],
        "seeds": list(seeds),
        "conditions": [{"key": size, "train_size": size, "count": n, "test": 3000} for size, n in SIZES.items()],
        "cells": cells,
        "metrics": metrics,
        "baselines": baselines,
        "summary": summary,
        "differences": differences,
        "recall_curves": curves,
        "statements": statements,
        "answers": [{"question": "Which objective gives the better 1-NN accuracy?", "statements": statements[:1]}],
    }
