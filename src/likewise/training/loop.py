"""The loop: an epoch's batches, a step each, then a look at validation and a checkpoint.

Everything a step depends on is either in the checkpoint (weights, optimiser, random states, sums) or a function of the
recipe's seed and the position (batches, augmentation, learning rate). So a run that is killed anywhere and resumed takes
exactly the steps that an uninterrupted one takes, and ends with the same bits.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim.optimizer import Optimizer

from likewise.data.views import flip_and_shift
from likewise.errors import Interrupted, TrainingError
from likewise.objectives import Batch, Objective
from likewise.recipe import Recipe, TrainingOptions
from likewise.training.checkpoint import Progress, latest_checkpoint, load_checkpoint, save_checkpoint
from likewise.training.files import write_text
from likewise.training.interruption import StopWish
from likewise.training.monitor import Monitor
from likewise.training.optimizers import build_optimizer, learning_rate_at
from likewise.training.progress import StepProgress

__all__ = ["TrainingData", "epochs_and_steps", "fit", "generator_for"]

logger = logging.getLogger("likewise")


class TrainingData(Protocol):
    """What the loop asks of its data; an ``ImageDataset`` has it, and so has a tensor with labels (``Embedder``)."""

    @property
    def name(self) -> str:
        """Of the data set."""

    @property
    def labels(self) -> Tensor | None:
        """(N,) int64, or None."""

    @property
    def fingerprint(self) -> str:
        """A run is not resumed on data with another one."""

    def __len__(self) -> int: ...

    def batches(self, index_batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """(indices, samples) for each batch of indices, in order."""


def generator_for(*key: int) -> torch.Generator:
    """A generator whose seed is a fixed mixture of the numbers in ``key`` (seed, epoch, purpose, step …)."""
    state = 0x9E3779B97F4A7C15
    for number in key:
        state = ((state ^ number) * 0xBF58476D1CE4E5B9) % 2**64
        state ^= state >> 31
    return torch.Generator().manual_seed(state % 2**63)


def epochs_and_steps(images: int, options: TrainingOptions) -> tuple[int, int]:
    """How many epochs a run has over so many images, and how many steps each of them."""
    steps = max(1, images // options.batch_size)
    return max(options.epochs, math.ceil(options.min_steps / steps)), steps


class _Trainer:
    """One run on its way; ``fit`` is the way in."""

    def __init__(
        self,
        recipe: Recipe,
        train: TrainingData,
        objective: Objective,
        fabric: Fabric,
        monitor: Monitor | None,
        folder: Path | None,
    ) -> None:
        self.recipe, self.options, self.folder, self.fabric = recipe, recipe.training, folder, fabric
        self.train = train
        self.labels = torch.full((len(train),), -1) if train.labels is None else train.labels
        self.objective, self.monitor = objective, monitor
        self.epochs, self.steps_per_epoch = epochs_and_steps(len(train), self.options)
        self.total_steps = self.epochs * self.steps_per_epoch
        self.optimizer: Optimizer = build_optimizer(self.options, objective)
        self.module, self._stepper = fabric.setup(objective, self.optimizer)
        self.progress = Progress()

    def restore(self) -> None:
        """Take up the newest checkpoint, if there is one, and cut ``metrics.jsonl`` back to it."""
        if self.folder is None:
            return
        newest = latest_checkpoint(self.folder / "checkpoints")
        if newest:
            self.progress = load_checkpoint(newest, self.objective, self.optimizer, fingerprint=self.train.fingerprint)
            logger.info("resumed from step %d of %d", self.progress.step, self.total_steps)
        lines = "".join(json.dumps(line) + "\n" for line in self.progress.history)
        write_text(self.folder / "metrics.jsonl", lines)

    def checkpoint(self) -> None:
        """Save the present position, where there is a folder for it."""
        if self.folder is None:
            return
        checkpoints = self.folder / "checkpoints"
        save_checkpoint(checkpoints, self.objective, self.optimizer, self.progress, fingerprint=self.train.fingerprint)

    def epoch(self, stop: StopWish, shown: StepProgress) -> None:
        """The steps of the present epoch that are still to do."""
        progress = self.progress
        generator = generator_for(self.recipe.seed, progress.epoch, 1)
        self.objective.attend(self.train)
        plan = self.objective.epoch(self.labels, self.options.batch_size, generator)
        ahead, mine = itertools.tee(itertools.islice(plan, progress.step_in_epoch, None))
        self.objective.train()
        began = time.perf_counter()
        before = progress.train_seconds
        try:
            for batch, (_, images) in zip(mine, self.train.batches(batch.indices for batch in ahead), strict=True):
                value = self._step(batch, images)
                progress.step += 1
                progress.step_in_epoch += 1
                progress.loss_sum += value
                progress.images += len(images)
                progress.train_seconds = before + time.perf_counter() - began
                shown.advance(value)
                if stop.wished:
                    self.checkpoint()
                    raise Interrupted(
                        f"{stop.wished} after step {progress.step} of {self.total_steps}.",
                        expected=f"The state is saved in {self.folder}.",
                        advice="Run the same command with --resume to go on.",
                    )
        finally:
            progress.train_seconds = before + time.perf_counter() - began

    def _step(self, batch: Batch, images: Tensor) -> float:
        rate = learning_rate_at(self.progress.step, self.total_steps, self.options)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("lr_factor", 1.0)
        draws = generator_for(self.recipe.seed, self.progress.step, 2)
        images = flip_and_shift(images, draws, flip=self.options.flip, shift=self.options.shift)
        device = self.fabric.device
        batch = batch.to(device)._replace(draws=draws)
        loss: Tensor = self.module(images.to(device, non_blocking=True), batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"The loss is {value} at step {self.progress.step + 1} (learning rate {rate:.2g}).",
                expected="Expected a finite loss.",
                advice=f"Lower the learning rate (--set learning_rate={self.options.learning_rate / 10:.2g}), clip the "
                "gradient (--set gradient_clip=1), or check the images for extreme values.",
            )
        self.fabric.backward(loss)
        if self.options.gradient_clip:
            self.fabric.clip_gradients(self.module, self._stepper, max_norm=self.options.gradient_clip)
        self._stepper.step()
        self._stepper.zero_grad(set_to_none=True)
        self.objective.after_step((self.progress.step + 1) / self.total_steps)
        return value

    def close_epoch(self) -> dict[str, Any]:
        """Look at validation and write the epoch's line."""
        progress = self.progress
        line: dict[str, Any] = {
            "epoch": progress.epoch + 1,
            "step": progress.step,
            "seconds": round(progress.train_seconds, 3),
            "learning_rate": learning_rate_at(max(0, progress.step - 1), self.total_steps, self.options),
            "train_loss": progress.loss_sum / max(1, progress.step_in_epoch),
            "images_per_second": round(progress.images / max(progress.train_seconds, 1e-9), 1),
            **(self.monitor.look(self.objective, self.fabric.device) if self.monitor else {}),
        }
        progress.history.append(line)
        progress.epoch += 1
        progress.step_in_epoch, progress.loss_sum = 0, 0.0
        if self.folder is not None:
            with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(line) + "\n")
        return line


def fit(
    recipe: Recipe,
    train: TrainingData,
    objective: Objective,
    fabric: Fabric,
    monitor: Monitor | None,
    folder: Path | None,
    *,
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
        quiet: no progress on standard error.
        on_epoch: called with each epoch's line.

    Returns:
        Where the run ended: steps, seconds, history.

    Raises:
        TrainingError: the loss is not finite, or a checkpoint cannot be written.
        Interrupted: SIGINT or SIGTERM came; the state is saved.
    """
    trainer = _Trainer(recipe, train, objective, fabric, monitor, folder)
    began = time.perf_counter()
    trainer.restore()
    progress = trainer.progress
    earlier = progress.total_seconds
    stop = StopWish()
    with (
        nullcontext() if folder is None else stop,
        StepProgress(
            recipe.name,
            trainer.total_steps,
            start=progress.step,
            batch_size=recipe.training.batch_size * (2 if recipe.objective.draws_pairs else 1),
            quiet=quiet,
        ) as shown,
    ):
        while progress.epoch < trainer.epochs:
            trainer.epoch(stop, shown)
            line = trainer.close_epoch()
            progress.total_seconds = earlier + time.perf_counter() - began
            if (
                progress.epoch % recipe.training.checkpoint_every == 0
                or progress.epoch == trainer.epochs
                or stop.wished
            ):
                trainer.checkpoint()
            if not quiet or folder is not None:
                _report(line, trainer.epochs)
            if on_epoch:
                on_epoch(line)
            if stop.wished and progress.epoch < trainer.epochs:
                raise Interrupted(
                    f"{stop.wished} after epoch {progress.epoch} of {trainer.epochs}.",
                    expected=f"The state is saved in {folder}.",
                    advice="Run the same command with --resume to go on.",
                )
    return dataclasses.replace(progress)


def _report(line: dict[str, Any], epochs: int) -> None:
    shown = [f"epoch {line['epoch']} of {epochs}", f"loss {line['train_loss']:.4f}"]
    for key, label, form in (
        ("val_loss", "validation", ".4f"),
        ("val_knn1_accuracy", "1-NN", ".1%"),
        ("val_effective_rank", "effective rank", ".1f"),
    ):
        if key in line:
            shown.append(f"{label} {line[key]:{form}}")
    logger.info("%s, %s images/s", ", ".join(shown), f"{line['images_per_second']:,.0f}")
    if line.get("collapsed"):
        logger.warning("COLLAPSE after epoch %d: %s", line["epoch"], line["collapse_reason"])
