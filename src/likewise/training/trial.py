"""A trial: a recipe trained to look at validation alone, for whoever chooses settings.

It is trained as any run is, and stopped and resumed as any run is; but of the images that numbers are reported on none is
ever embedded, so nothing can be chosen on them.
"""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

from likewise.data import Splits
from likewise.errors import RecipeError
from likewise.evaluation import knn
from likewise.models import EmbeddingModel
from likewise.models.device import release_memory
from likewise.recipe import Recipe
from likewise.training.files import read_json
from likewise.training.measure import embed_split
from likewise.training.measure_texts import caption_recall, zero_shot_accuracy
from likewise.training.run import data_of
from likewise.training.run_folder import logging_to, open_folder
from likewise.training.train import train_in

__all__ = ["refuse_what_cannot_be_judged", "selection_metric", "try_out"]


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
            train_in(folder, recipe, quiet=quiet, measured=functools.partial(_validate, recipe))
            release_memory()  # for the next trial
        for unneeded in ("checkpoints", "model", "stages"):
            shutil.rmtree(folder / unneeded, ignore_errors=True)
        found: dict[str, float] = read_json(folder / "metrics.json")
        return found


def selection_metric(recipe: Recipe) -> str:
    """What a trial of ``recipe`` is judged by.

    ``val_knn1_accuracy``, the share of validation images whose nearest training image has their class; for an objective that
    learns from captions ``val_text_to_image_recall_at_1``, the share of captions whose own image is the nearest. Where the
    captions are made of class names all images of a class share theirs, so that no model could find the one that is asked
    for: there it is ``val_zero_shot_accuracy``, the share of validation images whose class has the nearest text.
    """
    if not recipe.objective.needs_captions:
        return "val_knn1_accuracy"
    return "val_zero_shot_accuracy" if recipe.data.caption_templates else "val_text_to_image_recall_at_1"


def refuse_what_cannot_be_judged(recipe: Recipe) -> None:
    """Look at the data before anything is trained: a trial needs labels, or captions, on both sides.

    Raises:
        RecipeError: train or validation has none.
        DatasetError: the images cannot be had or used.
    """
    splits = data_of(recipe)
    if selection_metric(recipe) != "val_knn1_accuracy":
        if splits.train.captions is None or splits.validation.captions is None:
            raise RecipeError(
                f"{recipe.data.source} has no captions, and trials of {recipe.objective.name} were asked for.",
                expected="Expected captions: that is what it learns from and is judged by.",
                advice="Give a source with captions with --data, or set data.caption_templates for one with labels.",
            )
        return
    if splits.train.labels is None or splits.validation.labels is None:
        raise RecipeError(
            f"{recipe.data.source} has no labels, and trials of {recipe.objective.name} were asked for.",
            expected="Expected labels: a trial is judged by 1-NN accuracy on validation.",
            advice="Leave out --trials, or give a labelled source with --data.",
        )


def _validate(judged: Recipe, model: EmbeddingModel, splits: Splits, recipe: Recipe) -> dict[str, float]:
    if recipe != judged:
        return {}  # a stage before the run: the trial is judged by what comes of it
    metric, data, mirrored = selection_metric(recipe), splits.validation, recipe.evaluation.mirrored
    asked, _ = embed_split(model, data, mirrored=mirrored)
    if metric == "val_zero_shot_accuracy":
        return {metric: zero_shot_accuracy(model, asked, data.class_names, recipe.data.caption_templates)}
    if metric == "val_text_to_image_recall_at_1":
        return {metric: caption_recall(model, data, asked.embeddings)}
    gallery, _ = embed_split(model, splits.train, mirrored=mirrored)
    return {metric: knn(gallery.embeddings, gallery.labels, asked.embeddings, asked.labels, k=1).accuracy}
