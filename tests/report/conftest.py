"""A run folder made by hand: everything that training writes, from arrays, in milliseconds and without training."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from example_comparison import RECIPES, comparison_content
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from likewise.data import ImageDataset, Splits
from likewise.evaluation import EmbeddedSplit
from likewise.recipe import Recipe
from likewise.training.run import Run, write_embeddings

Make = Callable[..., tuple[Run, Splits]]


def dataset(split: str, images: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> ImageDataset:
    ids = tuple(f"{split}/{i:05d}" for i in range(len(images)))
    return ImageDataset(
        "digits",
        split,
        torch.from_numpy(images),
        torch.from_numpy(labels),
        tuple(names),
        None,
        ids,
        "0" * 64,
        "made by hand",
    )


def write_run(
    folder: Path,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    names: Sequence[str],
    *,
    dimension: int = 2,
    objective: str = "siamese",
    history: list[dict[str, Any]] | None = None,
    warnings: Sequence[str] = (),
    metrics: dict[str, float] | None = None,
    **more: Any,
) -> tuple[Run, Splits]:
    """Images and labels of train and test, embedded by PCA and measured with scikit-learn, as a finished run."""
    folder.mkdir(parents=True)
    held = max(2, len(train[0]) // 10)
    splits = Splits(
        dataset("train", train[0][held:], train[1][held:], names),
        dataset("validation", train[0][:held], train[1][:held], names),
        dataset("test", *test, names),
    )
    recipe = Recipe(
        name="hand-made",
        title="Made by hand",
        description="PCA in place of training.",
        data={"source": "digits"},
        embedding_dim=dimension,
        objective=objective,
        evaluation={"projection": "pca", "projection_points": 500},
    )
    flat = {
        name: getattr(splits, name).images.numpy().reshape(len(getattr(splits, name)), -1)
        for name in ("train", "validation", "test")
    }
    pca = PCA(dimension, random_state=0).fit(flat["train"] / 255)
    z = {name: pca.transform(values / 255).astype(np.float32) for name, values in flat.items()}
    for name, values in z.items():
        part = getattr(splits, name)
        write_embeddings(folder, name, EmbeddedSplit(values, part.labels.numpy(), part.ids))
    distances, found = NearestNeighbors(n_neighbors=5).fit(z["train"]).kneighbors(z["test"])
    labels, gallery = splits.test.labels.numpy(), splits.train.labels.numpy()
    said = gallery[found[:, 0]]
    hit = gallery[found] == labels[:, None]
    accuracy = float((said == labels).mean())
    records = pa.table(
        {
            "id": list(splits.test.ids),
            "label": labels,
            "knn1_prediction": said,
            "knn1_neighbor": [splits.train.ids[i] for i in found[:, 0]],
            "knn1_distance": distances[:, 0].astype(np.float32),
            "neighbors": [[splits.train.ids[i] for i in row] for row in found],
            "true_class_rank": np.where(hit.any(1), hit.argmax(1) + 1, 6),
        }
    )
    (folder / "records").mkdir()
    pq.write_table(records, folder / "records" / "test.parquet")
    numbers = {
        "knn1_accuracy": accuracy,
        "knn200_accuracy": 0.8123,
        "recall_at_1": 0.7654,
        "recall_at_5": 0.9,
        "recall_at_10": 0.95,
        "map_at_r": 0.4321,
        "linear_probe_accuracy": 0.8765,
        "effective_rank": 1.934,
        "val_knn1_accuracy": 0.8011,
        "collapsed": 0.0,
        "train_seconds": 83.2,
        "images_per_second": 12345.6,
        "peak_memory_mb": 512.3,
    } | (metrics or {})
    evaluation = {
        "intervals": {"knn1_accuracy": [accuracy - 0.02, accuracy + 0.02], "linear_probe_accuracy": [0.86, 0.89]},
        "recall_curve": {str(k): 1 - 0.25 / k for k in range(1, 11)},
        "baselines": {"raw_pixels_knn1_accuracy": 0.5555, "pca_knn1_accuracy": 0.4444},
        "class_names": list(names),
        "bad_images": [],
        "origin": "made by hand",
        "sizes": {name: len(values) for name, values in z.items()},
    } | more
    if history is None:
        history = [
            {
                "epoch": e,
                "train_loss": 2 / e,
                "val_loss": 2 / e + 0.1,
                "val_knn1_accuracy": 0.8 - 0.3 / e,
                "val_effective_rank": 2 - 1 / e,
                "val_spread": 0.9,
                "collapsed": False,
                "images_per_second": 12000.0,
            }
            for e in range(1, 6)
        ]
    (folder / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    for name, value in (
        ("metrics", numbers),
        ("evaluation", evaluation),
        ("warnings", list(warnings)),
        ("environment", {"python": "3.11", "torch": "2.13.0", "processor": {"cores": 2}}),
    ):
        (folder / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in history), encoding="utf-8")
    return Run.load(folder), splits


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's digits: (1797, 1, 8, 8) uint8 and (1797,) int64."""
    data = load_digits()
    return (data.images[:, None] * 15.9).astype(np.uint8), data.target.astype(np.int64)


@pytest.fixture
def make_run(tmp_path: Path, digits: tuple[np.ndarray, np.ndarray]) -> Make:
    """``make_run(**options)`` gives a run on digits and its data; ``images`` and ``labels`` replace them."""

    def make(**options: Any) -> tuple[Run, Splits]:
        images, labels = options.pop("images", digits[0]), options.pop("labels", digits[1])
        names = options.pop("names", [f"digit {i}" for i in range(10)])
        split = len(images) * 2 // 3
        folder = tmp_path / options.pop("folder", "run")
        return write_run(folder, (images[:split], labels[:split]), (images[split:], labels[split:]), names, **options)

    return make


@pytest.fixture
def without_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures become noise of 300 x 300 pixels in a millisecond, for tests of a page's words."""

    def write(_: Any, path: Path, *, photos: bool = False) -> Path:
        noise = np.random.default_rng(int(photos)).integers(0, 255, (300, 300), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        return path

    monkeypatch.setattr("likewise.report.picture.save_figure", write)


@pytest.fixture
def make_comparison(tmp_path: Path, make_run: Make) -> Callable[..., Path]:
    """``make_comparison(change)`` gives a comparison folder with one real run; ``change`` edits its content."""

    def make(change: Callable[[dict[str, Any]], None] = lambda content: None) -> Path:
        folder = tmp_path / "comparison"
        for recipe in RECIPES:
            make_run(folder=f"comparison/cells/{recipe}/train-all/seed-0")
        content = comparison_content()
        change(content)
        (folder / "comparison.json").write_text(json.dumps(content), encoding="utf-8")
        return folder

    return make
