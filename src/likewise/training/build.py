"""From a recipe and its images to what is trained: the model with the weights it begins with, and the objective around it."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import torch

from likewise.data import ImageDataset, Splits
from likewise.data.captions import Captions
from likewise.errors import TrainingError
from likewise.models import EmbeddingModel, InputSpec, TextEncoderOptions, text_encoder_names
from likewise.objectives import Objective, find_objective, objective_names
from likewise.recipe import Recipe, TrainingOptions
from likewise.training.start import start_of, take_weights

__all__ = ["build_model", "build_objective", "freeze"]


def build_objective(recipe: Recipe, splits: Splits, folder: Path) -> Objective:
    """The objective around its model, with the weights that the run begins with."""
    start, take = start_of(recipe, folder)
    torch.manual_seed(recipe.seed)
    model = build_model(recipe, splits)
    if start:
        take_weights(model, start, take)
    freeze(model, recipe.training)
    return recipe.objective.build(model)


def freeze(model: EmbeddingModel, options: TrainingOptions) -> None:
    """Leave the encoders as they are that ``options`` name, but for the blocks at their end that are trained."""
    if options.freeze in ("encoder", "both"):
        model.freeze_encoder(options.image_blocks)
    if options.freeze in ("text_encoder", "both") and model.text is not None:
        model.text.freeze_encoder(options.text_blocks)


def build_model(recipe: Recipe, splits: Splits) -> EmbeddingModel:
    """The model of a recipe with fresh weights from torch's global random state, normalising by these training images."""
    train = splits.train
    if train.labels is None and recipe.objective.needs_labels:
        known = {name: find_objective(name) for name in objective_names()}
        free = [name for name, options in known.items() if not options(name=name).needs_labels]
        raise TrainingError(
            f"{train.name} has no labels.",
            expected=f"The objective {recipe.objective.name} learns from labels.",
            advice=f"Use a labelled source, or an objective that needs none: {', '.join(free)}."
            if free
            else "Use a labelled source.",
        )
    if len(train) < 2:
        raise TrainingError(f"There are {len(train)} training images.", expected="Expected at least two.")
    sample = train.take(torch.linspace(0, len(train) - 1, min(len(train), 10_000)).round().long())
    spec = InputSpec.measure(sample.cpu())
    statistics = recipe.encoder.pixel_statistics
    if statistics is not None:
        mean, std = statistics
        if spec.channels == 1:  # grey counts as three equal colours, which share the mean of their statistics
            mean, std = (fmean(mean),), (fmean(std),)
        spec = spec.model_copy(update={"mean": mean, "std": std})
    model = EmbeddingModel(
        recipe.encoder,
        spec,
        embedding_dim=recipe.embedding_dim,
        normalize=recipe.normalize,
        batch_norm=recipe.batch_norm,
        hidden=recipe.hidden,
        dropout=recipe.dropout,
        class_names=train.class_names,
        class_scores=recipe.objective.scores,
        head=recipe.head,
        text_encoder=_text_encoder(recipe, train),
    )
    model.fit_to(sample.cpu())
    return model


def _text_encoder(recipe: Recipe, train: ImageDataset) -> TextEncoderOptions | None:
    """The options of the text encoder, with the words of the training captions where it learns them."""
    if not recipe.objective.needs_captions:
        return None
    if recipe.text_encoder is None:
        raise TrainingError(
            f"The objective {recipe.objective.name} learns from captions, and the recipe names no text encoder.",
            expected=f"Expected one of {', '.join(text_encoder_names())}.",
            advice="Set text_encoder, for example --set text_encoder=small_transformer.",
        )
    return recipe.text_encoder.fitted(Captions(train).texts)
