"""A run on its way: its steps, the losses on their way to the record, its checkpoints, and its look at validation.

A step is a function of the weights, the position and the recipe's seed: what it draws and the learning rate follow from
these, so nothing of it has to be kept but the position.
"""

from __future__ import annotations

import itertools
import json
import logging
import math
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer

from likewise.data import ImageDataset
from likewise.data.draws import Draws
from likewise.errors import Interrupted, TrainingError
from likewise.models import synchronize_batch_norm
from likewise.models.device import to_device
from likewise.objectives import Batch, Objective
from likewise.recipe import Recipe
from likewise.training.checkpoint import Progress, latest_checkpoint, load_checkpoint, save_checkpoint
from likewise.training.files import write_text
from likewise.training.frozen import FrozenFeatures, augmented
from likewise.training.gradcache import cache_gradients
from likewise.training.interruption import StopWish
from likewise.training.length import Length
from likewise.training.monitor import Monitor
from likewise.training.optimizers import build_optimizer, learning_rate_at, look_ahead
from likewise.training.progress import StepProgress
from likewise.training.progressive import resized, size_at
from likewise.training.ranks import Ranks
from likewise.training.seeds import generator_for
from likewise.training.step_losses import StepLosses
from likewise.training.training_data import TrainingData

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Trainer", "interrupted"]

logger = logging.getLogger("likewise")


class Trainer:
    """One run on its way; ``loop.fit`` is the way in."""

    def __init__(
        self,
        recipe: Recipe,
        train: TrainingData,
        objective: Objective,
        fabric: Fabric,
        monitor: Monitor | None,
        folder: Path | None,
        ranks: Ranks,
    ) -> None:
        self.recipe, self.options, self.folder, self.fabric = recipe, recipe.training, folder, fabric
        self.train = train
        # on the CPU, where batches are planned
        self.labels = torch.full((len(train),), -1) if train.labels is None else train.labels.cpu()
        self.objective, self.monitor, self.ranks = objective, monitor, ranks
        if self.options.gradcache:
            cache_gradients(objective, self.options.gradcache, name=recipe.objective.name)
        if ranks.group is not None:
            objective.spread(ranks.group)
            if not objective.normalizes_apart:
                # Chunks are normalised each on its own, wherever they are.
                leave = objective.model if self.options.gradcache else None
                synchronize_batch_norm(objective, ranks.group, leave=leave)
        self.length = Length.of(recipe, len(train))
        self.optimizer: Optimizer = build_optimizer(self.options, objective)
        self.module, self._stepper = fabric.setup(objective, self.optimizer)
        self.progress = Progress()
        self.losses = StepLosses(fabric.device)
        self.last_loss: float | None = None
        self._began, self._earlier = time.perf_counter(), 0.0

    def restore(self) -> None:
        """Take up the newest checkpoint, if there is one, and cut ``metrics.jsonl`` back to it."""
        if self.folder is None:
            return
        checkpoints, history = self.folder / "checkpoints", self.folder / "metrics.jsonl"
        newest = latest_checkpoint(checkpoints) if self.ranks.first else None
        name = self.ranks.from_first(newest.name if newest else "")
        if name:
            self.progress = self.ranks.together(
                lambda: load_checkpoint(
                    checkpoints / name,
                    self.objective,
                    self.optimizer,
                    fingerprint=self.train.fingerprint,
                    precision=self.fabric.strategy.precision,
                )
            )
            self._earlier = self.progress.total_seconds
            logger.info("resumed from %s", self.place())
        lines = "".join(json.dumps(line) + "\n" for line in self.progress.history)
        self.ranks.on_first(lambda: write_text(history, lines))

    def checkpoint(self) -> None:
        """Save the present position, where there is a folder for it; every loss so far has been looked at before."""
        self.progress.total_seconds = self._earlier + time.perf_counter() - self._began
        if self.folder is None:
            return
        checkpoints = self.folder / "checkpoints"
        self.ranks.on_first(
            lambda: save_checkpoint(
                checkpoints,
                self.objective,
                self.optimizer,
                self.progress,
                fingerprint=self.train.fingerprint,
                precision=self.fabric.strategy.precision,
            )
        )

    def epoch(self, stop: StopWish, shown: StepProgress) -> None:
        """The steps of the present epoch that are still to do."""
        progress = self.progress
        generator = generator_for(self.recipe.seed, progress.epoch, 1)
        if isinstance(self.train, ImageDataset):
            self.objective.attend(self.train)
        plan = self.objective.epoch(self.labels, self.options.batch_size, generator)
        left = self.length.left(progress.step)
        end = None if left is None else progress.step_in_epoch + left
        to_do = itertools.islice(plan, progress.step_in_epoch, end)
        ahead, mine = itertools.tee(batch.part(self.ranks.rank, self.ranks.count) for batch in to_do)
        self.objective.train()
        if isinstance(self.train, FrozenFeatures):
            self.train.compute_now()  # the clock is of the steps alone, whatever is kept from earlier runs
        began = time.perf_counter()
        before = progress.train_seconds
        try:
            for batch, (_, images) in zip(mine, self.train.batches(batch.indices for batch in ahead), strict=True):
                self._step(batch, images)
                progress.step += 1
                progress.step_in_epoch += 1
                progress.images += batch.total or len(images)
                progress.train_seconds = before + time.perf_counter() - began
                shown.advance(self.last_loss, trained=progress.train_seconds)
                wish = self.ranks.agree_soon(stop.number)
                if wish:
                    self._note(self.losses.rest())
                    self.checkpoint()
                    raise interrupted(wish, self.place(), self.folder)
                if left is None and self.over:
                    if self.options.lookahead:
                        look_ahead(self.optimizer)
                    break
            self._note(self.losses.rest())
        finally:
            progress.train_seconds = before + time.perf_counter() - began

    @property
    def over(self) -> bool:
        """Whether the run is at its end."""
        return self.length.over(self.progress.step, self.progress.train_seconds)

    def place(self) -> str:
        """Where the run is, in words."""
        if self.length.steps is None:
            return f"step {self.progress.step}, {self.progress.train_seconds:.1f} of {self.length.seconds:g} s"
        return f"step {self.progress.step} of {self.length.steps}"

    def _rate(self, step: int) -> float:
        return learning_rate_at(*self.length.position(step, self.progress.train_seconds), self.options)

    def _step(self, batch: Batch, images: Tensor) -> None:
        seed, step = self.recipe.seed, self.progress.step
        rate = self._rate(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("lr_factor", 1.0)
        if self.ranks.rank:  # what draws from the global state (dropout) must not draw the same on every rank
            torch.manual_seed(generator_for(seed, step, 3, self.ranks.rank).initial_seed())
        draws = Draws(generator_for(seed, step, 2), batch.rows, total=batch.total)
        images = augmented(images, draws, self.options)
        at, end = self.length.position(step, self.progress.train_seconds)
        if self.options.initial_scale < 1:
            images = resized(images, size_at(at, end, min(images.shape[2:]), self.options))
        device = self.fabric.device
        batch = batch.to(device)._replace(draws=draws)
        loss: Tensor = self.module(to_device(images, device), batch)
        loss = self.objective.of_whole_batch(loss, batch)
        self._note(self.losses.add(step, loss.detach()))
        self.fabric.backward(loss)
        self.objective.before_step()
        if self.options.gradient_clip:
            # A norm that is not finite makes the next loss so: no need to wait for each on a GPU.
            self.fabric.clip_gradients(
                self.module, self._stepper, max_norm=self.options.gradient_clip, error_if_nonfinite=False
            )
        self._stepper.step()
        self._stepper.zero_grad(set_to_none=True)
        last = self.length.left(step + 1) == 0
        if self.options.lookahead and ((step + 1) % self.options.lookahead == 0 or last):
            look_ahead(self.optimizer)
        self.objective.after_step((at + 1) / end)

    def _note(self, values: list[tuple[int, float]]) -> None:
        """Sum up losses that have arrived, in the order of their steps; the first that is not finite ends the run."""
        for step, value in values:
            if not math.isfinite(value):
                rate = self._rate(step)
                self.ranks.fail(
                    TrainingError(
                        f"The loss is {value} at step {step + 1} (learning rate {rate:.2g}).",
                        expected="Expected a finite loss.",
                        advice=f"Lower the learning rate (--set learning_rate={self.options.learning_rate / 10:.2g}), "
                        "clip the gradient (--set gradient_clip=1), or check the images for extreme values.",
                    )
                )
            self.progress.loss_sum += value
            self.last_loss = value

    def close_epoch(self) -> dict[str, Any]:
        """Look at validation and write the epoch's line: rank 0, while the others wait; it alone has the whole line."""
        line = self.ranks.on_first(self._look) or {}
        self.progress.epoch += 1
        self.progress.step_in_epoch, self.progress.loss_sum = 0, 0.0
        return line

    def _look(self) -> dict[str, Any]:
        progress = self.progress
        line: dict[str, Any] = {
            "epoch": progress.epoch + 1,
            "step": progress.step,
            "seconds": round(progress.train_seconds, 3),
            "learning_rate": self._rate(max(0, progress.step - 1)),
            "train_loss": progress.loss_sum / max(1, progress.step_in_epoch),
            "images_per_second": round(progress.images / max(progress.train_seconds, 1e-9), 1),
            **(self.monitor.look(self.objective, self.fabric.device) if self.monitor else {}),
        }
        progress.history.append(line)
        if self.folder is not None:
            with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(line) + "\n")
        return line


def interrupted(number: int, after: str, folder: Path | None) -> Interrupted:
    """What a run raises that a signal has ended."""
    return Interrupted(
        f"{signal.Signals(number).name} after {after}.",
        expected=f"The state is saved in {folder}.",
        advice="Run the same command with --resume to go on.",
    )
