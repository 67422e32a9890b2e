"""The loop: an epoch's batches, a step each, then a look at validation and a checkpoint.

Everything a step depends on is either in the checkpoint (weights, optimiser, random states, sums) or a function of the
recipe's seed and the position (batches, augmentation, learning rate). So a run that is killed anywhere and resumed takes
exactly the steps that an uninterrupted one takes, and ends with the same bits; on a GPU up to the order of its sums.

On several ranks all of them go through this loop. Each plans the whole batch and takes its part of it; the loss is that
of the whole batch on every rank, so all see the same numbers and stop at the same step. Rank 0 alone looks at
validation and writes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from likewise.objectives import Objective
from likewise.recipe import Recipe
from likewise.training.checkpoint import Progress
from likewise.training.files import write_text
from likewise.training.interruption import StopWish
from likewise.training.length import Length
from likewise.training.monitor import Monitor
from likewise.training.progress import StepProgress, log_epoch
from likewise.training.ranks import Ranks
from likewise.training.trainer import Trainer, interrupted
from likewise.training.training_data import TrainingData

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["fit"]


def fit(
    recipe: Recipe,
    train: TrainingData,
    objective: Objective,
    fabric: Fabric,
    monitor: Monitor | None,
    folder: Path | None,
    *,
    ranks: Ranks | None = None,
    quiet: bool = False,
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
) -> Progress:
    """Train ``objective`` to the end, from the newest checkpoint in ``folder`` where there is one.

    Args:
        recipe: what to do.
        train: the training images, or anything else with their interface.
        objective: what is trained; changed in place.
        fabric: device and precision.
        monitor: what looks at validation after each epoch; ``None``: nothing does.
        folder: the run folder; ``None`` writes nothing anywhere, and a signal then interrupts as Python has it.
        ranks: the processes that share the run; ``None`` asks ``fabric``.
        quiet: no progress on standard error.
        on_epoch: called with each epoch's line, on rank 0.

    Returns:
        Where the run ended: steps, seconds, and, on rank 0, the history.

    Raises:
        TrainingError: the loss is not finite, or a checkpoint cannot be written.
        RankError: another rank failed or is gone.
        Interrupted: SIGINT or SIGTERM came; the state is saved.
    """
    ranks = ranks or Ranks(fabric)
    if Length.of(recipe, len(train)).steps == 0:  # measured as it was drawn: there may be nothing to train
        fabric.strategy.precision.convert_module(objective).to(fabric.device)
        if folder is not None:
            history = folder / "metrics.jsonl"
            ranks.on_first(lambda: write_text(history, ""))
        return Progress()
    trainer = Trainer(recipe, train, objective, fabric, monitor, folder, ranks)
    trainer.restore()
    progress = trainer.progress
    stop = StopWish()
    with (
        ranks.naming_the_lost(),
        nullcontext() if folder is None else stop,
        StepProgress(
            recipe.name,
            trainer.length.steps,
            start=progress.step,
            seconds=recipe.training.seconds,
            batch_size=recipe.training.batch_size * (2 if recipe.objective.draws_pairs else 1),
            quiet=quiet or not ranks.first,
        ) as shown,
    ):
        while not trainer.over:
            trainer.epoch(stop, shown)
            line = trainer.close_epoch()
            wish = ranks.agree(stop.number)
            if progress.epoch % recipe.training.checkpoint_every == 0 or trainer.over or wish:
                trainer.checkpoint()
            if ranks.first and (not quiet or folder is not None):
                log_epoch(line, trainer.length.epochs)
            if ranks.first and on_epoch:
                on_epoch(line)
            if wish and not trainer.over:
                of = "" if trainer.length.epochs is None else f" of {trainer.length.epochs}"
                raise interrupted(wish, f"epoch {progress.epoch}{of}", folder)
    return dataclasses.replace(progress)
