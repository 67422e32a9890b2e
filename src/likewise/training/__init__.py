"""Training: the loop, schedules, checkpoints, the collapse alarm, and the run folder."""

from likewise.training.remeasure import remeasure
from likewise.training.run import Run
from likewise.training.train import resolve, train
from likewise.training.trial import try_out

__all__ = ["Run", "remeasure", "resolve", "train", "try_out"]
