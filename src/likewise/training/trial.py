"""A trial: a recipe trained to look at validation alone, for whoever chooses settings.

It is trained as any run is, and stopped and resumed as any run is; but of the images that numbers are reported on none is
ever embedded, so nothing can be chosen on them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from likewise.data import Splits
from likewise.evaluation import knn
from likewise.models import EmbeddingModel
from likewise.recipe import Recipe
from likewise.training.files import read_json
from likewise.training.measure import embed_split
from likewise.training.measure_texts import caption_recall
from likewise.training.run_folder import logging_to, open_folder
from likewise.training.train import train_in

__all__ = ["selection_metric", "try_out"]


def try_out(recipe: Recipe, folder: Path, *, quiet: bool = False) -> dict[str, float]:
    """Train ``recipe`` in ``folder`` and measure it on validation.

    A trial that is there is read, one that was stopped goes on. Model and checkpoints are removed at its end.

    Returns:
        The number that ``selection_metric`` names, of all validation images, and the timings.

    Raises:
        As ``train`` does.
    """
    with open_folder(folder, recipe, resume=True), logging_to(folder / "log.txt"):
        if not (folder / "metrics.json").is_file():
            train_in(folder, recipe, quiet=quiet, measured=_validate)
        for unneeded in ("checkpoints", "model", "stages"):
            shutil.rmtree(folder / unneeded, ignore_errors=True)
        found: dict[str, float] = read_json(folder / "metrics.json")
        return found


def selection_metric(recipe: Recipe) -> str:
    """What a trial of ``recipe`` is judged by.

    ``val_knn1_accuracy``, the share of validation images whose nearest training image has their class; for an objective that
    learns from captions ``val_text_to_image_recall_at_1``, the share of captions whose own image is the nearest.
    """
    return "val_text_to_image_recall_at_1" if recipe.objective.needs_captions else "val_knn1_accuracy"


def _validate(model: EmbeddingModel, splits: Splits, recipe: Recipe) -> dict[str, float]:
    mirrored = recipe.evaluation.mirrored
    if model.text is not None:
        images, _ = embed_split(model, splits.validation, mirrored=mirrored)
        return {"val_text_to_image_recall_at_1": caption_recall(model, splits.validation, images.embeddings)}
    gallery, _ = embed_split(model, splits.train, mirrored=mirrored)
    queries, _ = embed_split(model, splits.validation, mirrored=mirrored)
    found = knn(gallery.embeddings, gallery.labels, queries.embeddings, queries.labels, k=1)
    return {"val_knn1_accuracy": found.accuracy}
