"""Runs whose numbers are known, written where training would write them: the grid is what these tests are about."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from likewise.recipe import Recipe
from likewise.training import Run

TEST_IMAGES = 1000
RAW_PIXELS = 0.70


def recipe_of(objective: str, **changes: Any) -> Recipe:
    values: dict[str, Any] = {
        "name": f"digits-{objective.replace('_', '')}",
        "data": {"source": "digits", "validation": 200},
        "encoder": {"name": "small_cnn", "widths": (4, 8, 16)},
        "embedding_dim": 4,
        "objective": objective,
        "training": {"epochs": 1, "batch_size": 100},
        "evaluation": {"monitor": 100},
    }
    return Recipe.parse(values | changes)


class Trainer:
    """Stands in for ``train``: ``accuracy(recipe)`` is the share of test images that the run gets right.

    An image is right where its difficulty, the same for all runs, is below that share; so two runs differ exactly on the
    images between their two shares.
    """

    def __init__(self, accuracy: Callable[[Recipe], float]) -> None:
        self.accuracy = accuracy
        self.calls: list[str] = []
        self.zero_shot = False  # whether it was also measured from class names, with the same images right
        self.lonely = 0  # the first so many test images have no other one of their class to find
        self.image_prefix: Callable[[Recipe], str] = lambda recipe: "test"

    def __call__(self, recipe: Recipe, out: Path, *, resume: bool, quiet: bool) -> Run:
        self.calls.append("/".join(out.parts[-3:]))
        out.mkdir(parents=True, exist_ok=True)
        (out / "recipe.yaml").write_text(recipe.to_yaml())
        share = self.accuracy(recipe)
        difficulty = np.random.default_rng(0).permutation((np.arange(TEST_IMAGES) + 0.5) / TEST_IMAGES)
        right = difficulty < share
        labels = np.arange(TEST_IMAGES) % 10
        records = {
            "id": [f"{self.image_prefix(recipe)}/{number}" for number in range(TEST_IMAGES)],
            "label": labels,
            "knn1_prediction": np.where(right, labels, (labels + 1) % 10),
            "first_hit_rank": pa.array(np.where(right, 1, 7), mask=np.arange(TEST_IMAGES) < self.lonely),
            "average_precision_at_r": np.where(right, 0.5, 0.0),
        }
        if self.zero_shot:
            records["zero_shot_prediction"] = records["knn1_prediction"]
        (out / "records").mkdir(exist_ok=True)
        pq.write_table(pa.table(records), out / "records" / "test.parquet")
        accuracy = float(right.mean())
        size, unseen = recipe.data.train_size, recipe.data.unseen_classes is not None
        if isinstance(size, str):
            size = 10 * int(size.removesuffix("/class"))
        evaluation = {
            "sizes": {
                "train": 800 if size is None else size if isinstance(size, int) else int(800 * size),
                "validation": 200,
                "test": TEST_IMAGES,
            },
            "image_shape": [1, 8, 8],
            "class_names": list("0123456789"),
            "recall_curve": {str(k): accuracy if k < 7 else 1.0 for k in range(1, 11)},
            "baselines": {"raw_pixels_recall_at_1": 0.5, "raw_pixels_map_at_r": 0.3}
            if unseen
            else {"raw_pixels_knn1_accuracy": RAW_PIXELS, "pca_knn1_accuracy": 0.6},
            "origin": "made up",
            "bad_images": [],
        }
        known = {"knn1_accuracy": accuracy, "knn1_f1_macro": accuracy - 0.01}
        metrics = ({} if unseen else known) | {
            "recall_at_1": float(right[self.lonely :].mean()),
            "recall_at_10": 1.0,
            "map_at_r": 0.5 * accuracy,
            "train_seconds": 1.5,
            "total_seconds": 2.0,
        }
        if self.zero_shot:
            metrics["zero_shot_accuracy"] = accuracy
        for name, value in {
            "evaluation": evaluation,
            "environment": {"python": "3", "packages": {"torch": "2"}},
            "warnings": [],
            "metrics": metrics,
        }.items():
            (out / f"{name}.json").write_text(json.dumps(value))
        (out / "metrics.jsonl").write_text("")
        return Run.load(out)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Recipe], float]], Trainer]:
    """``stand_in(accuracy)`` puts a ``Trainer`` in the place of ``train`` and returns it."""

    def install(accuracy: Callable[[Recipe], float]) -> Trainer:
        trainer = Trainer(accuracy)
        monkeypatch.setattr(importlib.import_module("likewise.comparison.work"), "train", trainer)
        return trainer

    return install
