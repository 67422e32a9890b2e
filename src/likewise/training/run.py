"""A run is a folder that explains itself: what was trained, on what, where, how it went and what came out.

Nothing else is state: the folder can be moved, read with any tool (YAML, JSON, Parquet, safetensors, PNG, HTML), and
trained again from its own ``recipe.yaml``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from likewise.data import Splits, load_splits, with_label_noise, with_unseen_classes
from likewise.errors import RunError
from likewise.evaluation import EmbeddedSplit
from likewise.models import EmbeddingModel, load_model
from likewise.recipe import Recipe
from likewise.training.examples import read_examples
from likewise.training.files import read_json, replacing

__all__ = ["SPLITS", "Run", "data_of", "read_embeddings", "write_embeddings"]

SPLITS = ("train", "validation", "test")


class Run:
    """A finished run.

    Attributes:
        folder: where it lies.
        recipe: what was trained, every default resolved.
        metrics: final numbers by name; a number that was not measured is absent.
        history: one record an epoch.
        environment: versions, processor, threads, precision.
        evaluation: intervals, recall curve, baselines, class names, sizes, origin of the data.
        warnings: what a reader of the numbers must know, collapse first.

    Example:
        >>> Run.load("nowhere")
        Traceback (most recent call last):
        ...
        likewise.errors.RunError: nowhere is not a run folder. ...
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recipe = Recipe.from_yaml((folder / "recipe.yaml").read_text("utf-8"), origin=str(folder / "recipe.yaml"))
        self.metrics: dict[str, float] = read_json(folder / "metrics.json")
        self.environment: dict[str, Any] = read_json(folder / "environment.json")
        self.evaluation: dict[str, Any] = read_json(folder / "evaluation.json")
        self.warnings: list[str] = read_json(folder / "warnings.json")
        lines = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
        self.history: list[dict[str, Any]] = [json.loads(line) for line in lines]

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Run:
        """Read a finished run.

        Raises:
            RunError: there is no run, it is not finished, or one of its files is damaged.
        """
        folder = Path(folder)
        if not (folder / "recipe.yaml").is_file():
            raise RunError(
                f"{folder} is not a run folder.",
                expected="Expected recipe.yaml and metrics.json in it.",
                advice="Train one with `likewise train RECIPE --out FOLDER`.",
            )
        if not (folder / "metrics.json").is_file():
            raise RunError(
                f"The run in {folder} is not finished.",
                expected="Expected metrics.json, which is written at its end.",
                advice=f"Go on with `likewise train {folder / 'recipe.yaml'} --out {folder} --resume`.",
            )
        try:
            return cls(folder)
        except (OSError, ValueError) as error:
            raise RunError(
                f"The run in {folder} cannot be read ({error}).",
                expected="Expected the files that training wrote.",
                advice="Copy the folder again; `--resume` writes them anew from the last checkpoint.",
            ) from error

    @cached_property
    def model(self) -> EmbeddingModel:
        """The trained model, in evaluation mode, on the CPU."""
        return load_model(self.folder)

    def embeddings(self, split: str = "test") -> EmbeddedSplit:
        """Embeddings, labels and ids of ``train``, ``validation`` or ``test``.

        Raises:
            RunError: there is no such split.
        """
        return read_embeddings(self.folder, split)

    def records(self) -> pa.Table:
        """One row per test image: what stands behind each number (see ``likewise.evaluation.evaluate``).

        Raises:
            RunError: the file is missing or damaged.
        """
        with _reading(self.folder / "records" / "test.parquet") as path:
            return pq.read_table(path)

    def examples(self) -> dict[str, NDArray[np.uint8]]:
        """Pictures of the objective's task on test images, column name → (E, C, H, W); empty where it has none."""
        return read_examples(self.folder)

    @cached_property
    def _data(self) -> Splits:
        return data_of(self.recipe)

    def data(self) -> Splits:
        """The images, loaded by the recipe (once)."""
        return self._data

    def __repr__(self) -> str:
        return (
            f"Run({str(self.folder)!r}, recipe={self.recipe.name!r}, knn1_accuracy={self.metrics.get('knn1_accuracy')})"
        )


def data_of(recipe: Recipe) -> Splits:
    """Train, validation and test images of a recipe, with the difficulties that it plants in them."""
    data = recipe.data
    splits = load_splits(
        data.source,
        validation=data.validation,
        seed=recipe.seed,
        train_size=data.train_size,
        image_size=data.image_size,
        on_bad_image=data.on_bad_image,
        memory_limit=data.memory_limit,
        unlabeled=data.learn_from != "train",
        unlabeled_size=data.unlabeled_size,
        image_column=data.image_column,
        label_column=data.label_column,
        caption_column=data.caption_column,
        caption_templates=data.caption_templates,
    )
    if data.unseen_classes is not None:
        splits = with_unseen_classes(splits, data.unseen_classes)
    if data.label_noise:
        splits = with_label_noise(splits, data.label_noise, seed=recipe.seed)
    return splits


def write_embeddings(folder: Path, split: str, embedded: EmbeddedSplit) -> None:
    """Write ``embeddings/{split}.parquet``: id (string), label (int64), embedding (list of D float32)."""
    vectors = pa.FixedSizeListArray.from_arrays(
        pa.array(np.ascontiguousarray(embedded.embeddings).ravel()), embedded.embeddings.shape[1]
    )
    table = pa.table({"id": list(embedded.ids), "label": embedded.labels, "embedding": vectors})
    path = folder / "embeddings" / f"{split}.parquet"
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as beside:
        pq.write_table(table, beside)


def read_embeddings(folder: Path, split: str) -> EmbeddedSplit:
    """Read what ``write_embeddings`` wrote.

    Raises:
        RunError: the file is missing or damaged.
    """
    path = folder / "embeddings" / f"{split}.parquet"
    if not path.is_file():
        found = sorted(file.stem for file in (folder / "embeddings").glob("*.parquet"))
        raise RunError(
            f"{folder} has no embeddings of {split!r}.",
            expected=f"It has {', '.join(found) or 'none'}.",
            advice="`likewise evaluate RUN` writes them anew.",
        )
    with _reading(path):
        table = pq.read_table(path)
        vectors = table["embedding"].combine_chunks()
        values = vectors.flatten().to_numpy().reshape(len(table), -1)
        return EmbeddedSplit(values, table["label"].to_numpy(), tuple(table["id"].to_pylist()))


@contextmanager
def _reading(path: Path) -> Iterator[Path]:
    """Around what is read from a Parquet file of a run.

    Raises:
        RunError: it is missing or damaged.
    """
    try:
        yield path
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise RunError(
            f"{path} cannot be read ({type(error).__name__}: {(str(error).splitlines() or [''])[0]}).",
            expected="Expected the Parquet file that the run wrote.",
            advice="`likewise evaluate RUN` writes it anew.",
        ) from error
