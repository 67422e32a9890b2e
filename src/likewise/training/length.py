"""How long a run is: epochs, or exactly so many steps, images or seconds.

Whatever it is, the schedules (learning rate, momentum of a target network) go from their beginning to their end within it: a
run of 60 seconds is not the first minute of a longer one. Seconds are those of the training steps alone, not of validation,
checkpoints or evaluation; they are in the checkpoint, so a run that is resumed has what is left of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from likewise.recipe import Recipe

__all__ = ["Length"]

#: Seconds become a position in a schedule in so many parts.
PARTS_A_SECOND = 1000


@dataclass(frozen=True)
class Length:
    """Where a run ends.

    Args:
        steps_per_epoch: of a whole epoch.
        steps: of the run, or ``None`` where the clock ends it.
        seconds: of training, or ``None`` where steps end it.
    """

    steps_per_epoch: int
    steps: int | None
    seconds: float | None = None

    @classmethod
    def of(cls, recipe: Recipe, images: int) -> Length:
        """The length of a run of ``recipe`` over so many images.

        Example:
            >>> recipe = Recipe(name="mine", data={"source": "digits"}, objective="siamese")
            >>> recipe = recipe.with_overrides({"epochs": 3, "batch_size": 100})
            >>> Length.of(recipe, 1050).steps, Length.of(recipe.with_overrides({"training.images": 5000}), 1050).steps
            (30, 25)
        """
        options = recipe.training
        each = max(1, images // options.batch_size)
        in_a_step = min(options.batch_size, images) * (2 if recipe.objective.draws_pairs else 1)
        if options.seconds is not None:
            return cls(each, None, options.seconds)
        if options.images is not None:
            return cls(each, max(1, options.images // in_a_step))
        if options.steps is not None:
            return cls(each, options.steps)
        return cls(each, each * max(options.epochs, math.ceil(options.min_steps / each)))

    @property
    def epochs(self) -> int | None:
        """Passes over the images, the last one perhaps not whole; ``None`` where the clock ends the run."""
        return None if self.steps is None else math.ceil(self.steps / self.steps_per_epoch)

    def left(self, step: int) -> int | None:
        """Steps that are to come after so many; ``None`` where the clock ends the run."""
        return None if self.steps is None else max(0, self.steps - step)

    def over(self, step: int, seconds: float) -> bool:
        """Whether a run that has made so many steps in so many seconds is at its end."""
        return step >= self.steps if self.steps is not None else seconds >= (self.seconds or 0.0)

    def position(self, step: int, seconds: float) -> tuple[int, int]:
        """Where a schedule stands before a step, and how far it goes: in steps, or in parts of the time."""
        if self.steps is not None:
            return step, self.steps
        parts = max(1, round(PARTS_A_SECOND * (self.seconds or 0.0)))
        return min(int(PARTS_A_SECOND * seconds), parts - 1), parts

    def words(self) -> str:
        """``3 epochs of 10 steps``, ``25 steps (3 epochs)``, ``60 seconds``."""
        if self.steps is None:
            return f"{self.seconds:g} seconds"
        if self.steps % self.steps_per_epoch:
            return f"{self.steps:,} steps ({self.epochs} epochs, the last not whole)"
        epochs, steps = ("" if count == 1 else "s" for count in (self.epochs, self.steps_per_epoch))
        return f"{self.epochs} epoch{epochs} of {self.steps_per_epoch} step{steps}"
