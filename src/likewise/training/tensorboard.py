"""TensorBoard events beside a run, for those who use it: every number of an epoch's line, at its step.

The run does not need them: they say what ``metrics.jsonl`` says.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from likewise.errors import TrainingError

__all__ = ["Events"]


class Events:
    """Writes ``tensorboard/`` in the run folder, from the first epoch's line on.

    A run that is resumed tells TensorBoard to forget what the steps said that are taken again.

    Args:
        folder: the run folder.

    Raises:
        TrainingError: ``tensorboardX``, which writes the events, is not installed.
    """

    def __init__(self, folder: Path) -> None:
        if importlib.util.find_spec("tensorboardX") is None:
            raise TrainingError(
                "training.tensorboard is true, and tensorboardX is not installed.",
                expected="Expected it: it writes the events.",
                advice='Install it with `pip install "likewise[tensorboard]"`, or set training.tensorboard=false.',
            )
        self._folder = folder / "tensorboard"
        self._writer: Any = None

    def write(self, line: Mapping[str, Any]) -> None:
        """An epoch's line; what is no number in it is left out."""
        if self._writer is None:
            from tensorboardX import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=line["step"])
        for name, value in line.items():
            if name != "step" and isinstance(value, int | float):
                self._writer.add_scalar(name, float(value), line["step"])
        self._writer.flush()

    def close(self) -> None:
        """Close the file of events."""
        if self._writer is not None:
            self._writer.close()
