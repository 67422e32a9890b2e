"""From a recipe to a finished run folder: data, model, loop, measurement."""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from likewise.data import ImageDataset, Splits
from likewise.errors import RecipeError, RunError
from likewise.models import EmbeddingModel, save_model
from likewise.models.device import release_memory
from likewise.recipe import Budget, Recipe
from likewise.recipes import load_recipe
from likewise.training.build import build_objective
from likewise.training.compilation import compile_encoder
from likewise.training.environment import describe_environment, make_fabric, peak_memory_mb
from likewise.training.examples import write_examples
from likewise.training.exhausted import exhaustion_told
from likewise.training.files import read_json, write_json
from likewise.training.frozen import frozen_view, unmirrored
from likewise.training.length import Length
from likewise.training.loop import fit
from likewise.training.measure import measure
from likewise.training.monitor import Monitor
from likewise.training.ranks import Ranks
from likewise.training.run import Run, data_of
from likewise.training.run_folder import free_folder, open_together, unfinished
from likewise.training.tensorboard import Events
from likewise.training.text_baselines import edge_warnings, text_baselines

__all__ = ["resolve", "train", "train_in"]

logger = logging.getLogger("likewise")
Measure = Callable[[EmbeddingModel, Splits, Recipe], dict[str, float]]


def resolve(
    recipe: str | Path | Recipe,
    *,
    data: str | None = None,
    budget: Budget | None = None,
    seed: int | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Recipe:
    """The recipe that a set of options means: loaded, then overridden.

    A title such as "Fashion-MNIST by siamese pairs" names the source that is learned from. A number of validation images
    belongs to the recipe's own source: of another one, given as ``data``, a tenth of the training images validates.
    """
    values = dict(overrides or {}) | ({} if data is None else {"data.source": data})
    values |= {} if seed is None else {"seed": seed}
    loaded = load_recipe(recipe, budget=budget)
    chosen = loaded.with_overrides(values)
    if chosen.data.source == loaded.data.source:
        return chosen
    # what another source changes by itself goes first, so that whatever was set stands
    _, by, how = loaded.title.partition(" by ")
    moved: dict[str, Any] = {"title": f"{Path(chosen.data.source).name} by {how}"} if by else {}
    if isinstance(loaded.data.validation, int):
        moved["data.validation"] = 0.1
    return loaded.with_overrides(moved).with_overrides(values)


def train(
    recipe: str | Path | Recipe,
    out: str | os.PathLike[str] | None = None,
    *,
    data: str | None = None,
    budget: Budget | None = None,
    seed: int | None = None,
    resume: bool = False,
    quiet: bool = False,
    **overrides: Any,
) -> Run:
    """Train and measure one recipe; the run folder has everything but pictures and report.

    Args:
        recipe: shipped name, ``.yaml`` or ``.py`` file, or a ``Recipe``.
        out: run folder; default ``runs/<recipe>``, or ``-2``, ``-3`` … where that is taken.
        data: source of the images, in place of the recipe's.
        budget: ``smoke``, ``laptop`` or ``paper``, for recipes that have several.
        seed: of the splits, the weights and the order of the images.
        resume: go on with the run in ``out``; a finished one is returned as it is.
        quiet: no progress on standard error.
        **overrides: settings by ``key`` or ``section__key``: ``epochs=3``, ``objective__margin=2.0``.

    Raises:
        RecipeError: a setting that is not there or does not fit.
        DatasetError: the images cannot be had or used.
        RunError: ``out`` holds something else, or another process works in it.
        TrainingError: the loss is not finite, or the disk or the memory is full.
        RankError: started by ``torchrun``, and another of its processes failed or is gone.
        Interrupted: SIGINT or SIGTERM came; the state is saved.
    """
    named = {key.replace("__", "."): value for key, value in overrides.items()}
    resolved = resolve(recipe, data=data, budget=budget, seed=seed, overrides=named)
    if out is None and resume:
        begun = unfinished(resolved.name)
        raise RunError(
            "--resume was given without a folder.",
            expected="Expected the run to go on with.",
            advice=f"Pass --out DIR{f', such as {begun[0]}' if begun else ''}."
            + (f" Not finished either: {', '.join(map(str, begun[1:]))}." if begun[1:] else ""),
        )
    ranks = _ranks_for(resolved)
    folder = Path(ranks.from_first(str(Path(out) if out is not None else free_folder(resolved.name))))
    with open_together(folder, resolved, ranks, resume=resume) as finished:
        if not finished:
            train_in(folder, resolved, quiet=quiet, ranks=ranks)
        ranks.agree(0)  # the others read when rank 0 has written
        run = Run.load(folder)
    ranks.leave_at_exit()
    return run


def _ranks_for(recipe: Recipe) -> Ranks:
    ranks = Ranks(make_fabric(accelerator=recipe.training.accelerator, precision=recipe.training.precision))
    if recipe.training.seconds is not None and ranks.count > 1:
        raise RecipeError(
            f"training.seconds is {recipe.training.seconds:g} and the run has {ranks.count} ranks.",
            expected="Expected one process: several have no clock in common.",
            advice="Set training.steps or training.images instead.",
        )
    return ranks


@exhaustion_told()
def train_in(
    folder: Path, recipe: Recipe, *, quiet: bool, measured: Measure | None = None, ranks: Ranks | None = None
) -> None:
    """Train ``recipe`` in an open folder and write what ``measured`` finds into its ``metrics.json``.

    Args:
        folder: open, and held by this process or by rank 0.
        recipe: what to do.
        quiet: no progress on standard error.
        measured: what finds the numbers of the run and of each stage by its recipe, in place of ``measure`` and the pictures of
            the task, which look at test images.
        ranks: the processes that share the run; ``None`` finds out.
    """
    ranks = ranks or _ranks_for(recipe)
    events = Events(folder) if recipe.training.tensorboard and ranks.first else None
    earlier = [_stage(folder, recipe, index, quiet=quiet, measured=measured) for index in range(len(recipe.before))]
    began = time.perf_counter()
    fabric = ranks.fabric
    if fabric.device.type == "cuda":
        torch.cuda.init()  # which nothing else may have asked for yet
        torch.cuda.reset_peak_memory_stats(fabric.device)
    splits = ranks.one_first(lambda: data_of(recipe))
    logger.info("%s: %s", recipe.data.source, splits.train.origin)
    for note in splits.notes:
        logger.info("%s", note)
    ranks.on_first(lambda: write_json(folder / "environment.json", describe_environment(fabric)))
    learned = splits.to_learn_from(recipe.data.learn_from)
    if fabric.device.type == "cuda":
        at_hand = _at_hand(splits.train, fabric.device)
        learned = at_hand if learned is splits.train else _at_hand(learned, fabric.device)
        splits = dataclasses.replace(splits, train=at_hand)
    objective = ranks.together(lambda: build_objective(recipe, splits, folder))
    model = objective.model
    length = Length.of(recipe, len(learned))
    if not model.encoder_frozen:
        compile_encoder(model, recipe.training.compile)
    objective.to(fabric.device)
    view = frozen_view(recipe, model)
    seen = splits.each(view)
    plain = seen.each(unmirrored)
    learned = view(learned, augmented=True)
    monitor = Monitor(
        plain.train,
        plain.validation,
        batch_size=recipe.training.batch_size,
        sample=recipe.evaluation.monitor,
        seed=recipe.seed,
        probe=recipe.evaluation.online_probe,
    )
    logger.info(
        "training %s on %s images for %s (%s)",
        recipe.objective.name,
        f"{len(learned):,}",
        length.words(),
        fabric.device if ranks.count == 1 else f"{ranks.count} ranks, {fabric.device.type}",
    )
    reached = (ranks.on_first(lambda: text_baselines(model, plain)) or {}) if measured is None else {}
    beside_the_loop = time.perf_counter() - began
    try:
        on_epoch = events.write if events else None
        progress = fit(recipe, learned, objective, fabric, monitor, folder, ranks=ranks, quiet=quiet, on_epoch=on_epoch)
    finally:
        if events:
            events.close()
    began = time.perf_counter()
    ranks.follow_first(model.buffers())  # running averages of norms that each rank keeps for itself
    ranks.on_first(lambda: save_model(model, folder / "model"))
    with ranks.naming_the_lost(), torch.compiler.set_stance("force_eager"):
        if measured is None:
            options = recipe.evaluation
            metrics = measure(
                model,
                seen,
                folder,
                protocols=options.protocols,
                seed=recipe.seed,
                options=options,
                reached=reached,
                ranks=ranks,
            )
            ranks.on_first(lambda: write_examples(folder, objective, splits.test, seed=recipe.seed))
        else:
            metrics = measured(model, seen, recipe)
    if not ranks.first:
        return
    last = progress.history[-1] if progress.history else monitor.look(objective, fabric.device)
    metrics |= {
        "collapsed": float(last["collapsed"]),
        "train_steps": progress.step + sum(stage.get("train_steps", 0) for stage in earlier),
        "train_images": progress.images + sum(stage.get("train_images", 0) for stage in earlier),
        "train_seconds": round(progress.train_seconds + sum(stage["train_seconds"] for stage in earlier), 3),
        "total_seconds": round(
            progress.total_seconds
            + beside_the_loop
            + time.perf_counter()
            - began
            + sum(stage["total_seconds"] for stage in earlier),
            3,
        ),
        "peak_memory_mb": round(_peak(fabric.device), 1),
    }
    if "images_per_second" in last:
        metrics["images_per_second"] = last["images_per_second"]
    written = folder / "evaluation.json"
    truncated = read_json(written).get("truncated_captions", {}) if written.is_file() else {}
    warnings = _warnings(splits, last, truncated, mirrored=recipe.evaluation.mirrored) + edge_warnings(reached)
    write_json(folder / "warnings.json", warnings)
    write_json(folder / "metrics.json", metrics)
    if recipe.data.caption_templates and "zero_shot_accuracy" in metrics:
        logger.info("done: zero-shot accuracy %.2f %% on test, in %s", 100 * metrics["zero_shot_accuracy"], folder)
    elif "text_to_image_recall_at_1" in metrics:
        found = 100 * metrics["text_to_image_recall_at_1"]
        logger.info("done: text to image recall@1 %.2f %% on test, in %s", found, folder)
    elif "knn1_accuracy" in metrics:
        logger.info("done: 1-NN accuracy %.2f %% on test, in %s", 100 * metrics["knn1_accuracy"], folder)
    elif "map_at_r" in metrics:
        logger.info("done: MAP@R %.2f %% among unseen classes, in %s", 100 * metrics["map_at_r"], folder)
    elif "effective_rank" in metrics:
        logger.info("done: effective rank %.1f on test, in %s", metrics["effective_rank"], folder)


def _at_hand(data: ImageDataset, device: torch.device) -> ImageDataset:
    """The data on the GPU where its images take at most half of the memory that is free there, else as it is."""
    if not isinstance(data.images, torch.Tensor) or data.images.device == device:
        return data
    size, free = data.images.nbytes, torch.cuda.mem_get_info(device)[0]
    if size > free // 2:
        logger.info(
            "%s images take %.1f GB of the %.1f GB that are free on the GPU: they stay in the memory of the CPU",
            f"{len(data):,}", size / 1e9, free / 1e9,
        )  # fmt: skip
        return data
    return data.to(device)


def _stage(folder: Path, recipe: Recipe, index: int, *, quiet: bool, measured: Measure | None) -> dict[str, float]:
    """Numbers of stage ``index`` before the run, from where it stands; it is a run of its own in ``stages/NAME``."""
    name = recipe.before[index].name
    inner, plan = folder / "stages" / name, recipe.stage(index)
    ranks = _ranks_for(plan)
    with open_together(inner, plan, ranks, resume=True) as finished:
        if not finished:
            logger.info("stage %d of %d: %s", index + 1, len(recipe.before) + 1, name)
            train_in(inner, plan, quiet=quiet, measured=measured, ranks=ranks)
            release_memory()  # for the next stage
        ranks.agree(0)
    metrics: dict[str, float] = read_json(inner / "metrics.json")
    return metrics


def _peak(device: torch.device) -> float:
    return torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else peak_memory_mb()


def _warnings(splits: Splits, last: Mapping[str, Any], truncated: Mapping[str, int], *, mirrored: bool) -> list[str]:
    found = []
    if last["collapsed"]:
        found.append(
            f"The embeddings have collapsed: {last['collapse_reason']}. The numbers say little about the data."
        )
    bad = sum(len(part.bad_images) for part in (splits.train, splits.validation, splits.test))
    if bad:
        found.append(f"{bad} images could not be used and were left out; they are listed below.")
    if mirrored:
        found.append(
            "Every number is of the mean over an image and its mirror image (evaluation.mirrored); embed, search and serve "
            "take the image alone."
        )
    cut = sum(truncated.values())
    if cut:
        found.append(f"{cut:,} captions are longer than the text encoder reads and were cut.")
    return found + list(splits.notes)
