"""Where the weights come from that a run begins with: chance, another run, or the stage before it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import torch

from likewise.errors import TrainingError
from likewise.models import EmbeddingModel, load_model
from likewise.recipe import Recipe

__all__ = ["start_of", "take_weights"]

logger = logging.getLogger("likewise")


Take = Literal["encoder", "model"]


def start_of(recipe: Recipe, folder: Path) -> tuple[Path | None, Take]:
    """The run or model folder that a run in ``folder`` starts from (``None``: random weights), and what it takes from it.

    A relative ``recipe.start`` is looked for below ``folder`` first (as stages write it), then in the working directory.

    Raises:
        TrainingError: ``recipe.start`` is not there.
    """
    if recipe.before:
        last = recipe.before[-1]
        return folder / "stages" / last.name, last.take
    if recipe.start is None:
        return None, recipe.start_take
    for place in (folder / recipe.start, Path(recipe.start).expanduser()):
        if place.is_dir():
            return place, recipe.start_take
    raise TrainingError(
        f"start is {recipe.start!r}, and there is no such folder.",
        expected="Expected the folder of a finished run, or of a model (config.json and model.safetensors).",
        advice="Train it first (likewise train … --out FOLDER), or correct the path.",
    )


def take_weights(model: EmbeddingModel, start: Path, take: Take) -> None:
    """Copy weights from the model in ``start`` into ``model``, with the preprocessing that they were trained with.

    Args:
        model: changed in place.
        start: a run or model folder.
        take: ``encoder`` alone, or the whole ``model``: of the embedding layer and the class scores what has the same shape,
            and the text encoder with its embedding layer where it has the same options.

    Raises:
        ModelError: there is no model in ``start``.
        TrainingError: its encoder is another one, or takes other images.
    """
    source = load_model(start)
    if (
        source.encoder_options.stored() != model.encoder_options.stored()
        or source.input.channels != model.input.channels
    ):
        raise TrainingError(
            f"The model in {start} has the encoder {source.encoder_options!r} for {source.input.channels} channels.",
            expected=f"This run has {model.encoder_options!r} for {model.input.channels}.",
            advice="Set encoder and its options as they are there; `likewise recipes FOLDER` prints them.",
        )
    try:
        model.encoder.load_state_dict(source.encoder.state_dict())
    except RuntimeError as error:
        raise TrainingError(
            f"The encoder in {start} does not fit images of {model.input.height} × {model.input.width} pixels ({error}).",
            expected=f"It was trained on {source.input.height} × {source.input.width}.",
            advice=f"Set data.image_size={source.input.height}.",
        ) from error
    model.adopt_input(source.input)
    taken, left = ["encoder"], []
    if take == "model":
        own, theirs = model.state_dict(), source.state_dict()
        same_texts = model.text is not None and source.text is not None and model.text.options == source.text.options
        for part in ("embedding", "classifier", "text.encoder", "text.embedding"):
            names = [name for name in own if name.startswith(f"{part}.")]
            if not names:
                continue
            fits = all(name in theirs and theirs[name].shape == own[name].shape for name in names)
            if not fits or (part.startswith("text.") and not same_texts):
                left.append(part)
                continue
            with torch.no_grad():
                for name in names:
                    own[name].copy_(theirs[name])
            taken.append(part)
    logger.info("weights of %s from %s", " and ".join(taken), start)
    if left:
        logger.info(
            "new weights for %s: the model in %s has none of the same kind and shape", " and ".join(left), start
        )
