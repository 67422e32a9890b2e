"""Progress on standard error: a bar with rate and time left on a terminal, plain lines where there is none."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["StepProgress", "log_epoch"]

logger = logging.getLogger("likewise")
SECONDS_BETWEEN_LINES = 10.0
MOST_LINES = 60  # of a run whose epochs are short
_SHORT = 2.0  # seconds


class StepProgress:
    """Shows how far a run is.

    Args:
        title: of the bar.
        total: steps of the whole run; ``None`` where ``seconds`` end it.
        start: steps done before (a resumed run).
        seconds: of training that end the run, in place of steps.
        batch_size: images a step, for the rate.
        unit: what one step is called.
        quiet: show nothing.
    """

    def __init__(
        self,
        title: str,
        total: int | None,
        *,
        start: int,
        batch_size: int,
        seconds: float | None = None,
        unit: str = "step",
        quiet: bool = False,
    ) -> None:
        self._total, self._start, self._batch_size, self._seconds = total, start, batch_size, seconds
        self._unit = unit
        self._done, self._began, self._last_line = start, time.perf_counter(), time.perf_counter()
        self._bar: Progress | None = None
        self._lines = not quiet and not sys.stderr.isatty()
        if not quiet and sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[loss]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task(title, total=total, completed=start, rate="", loss="")

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, loss: float | None, by: int = 1, *, trained: float = 0.0) -> None:
        """``by`` more steps are done, after ``trained`` seconds of training; ``loss`` is shown where it is known."""
        self._done += by
        now = time.perf_counter()
        seconds = now - self._began
        steps = self._done - self._start
        rate = steps * self._batch_size / seconds if seconds > 0 else 0.0
        if self._bar and (steps % 8 < by or self._done == self._total):
            text = "" if loss is None else f"loss {loss:.4f}"
            self._bar.update(self._task, completed=self._done, rate=f"{rate:,.0f} images/s", loss=text)
        elif self._lines and now - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = now
            of, left = "", max(0.0, (self._seconds or 0.0) - trained)
            if self._total is not None:
                of, left = f" of {self._total:,}", (self._total - self._done) * seconds / steps
            loss_text = "" if loss is None else f", loss {loss:.4f}"
            logger.info(
                "%s %s%s, %s images/s, %.0f s left%s",
                self._unit,
                f"{self._done:,}",
                of,
                f"{rate:,.0f}",
                left,
                loss_text,
            )


def log_epoch(line: dict[str, Any], epochs: int | None) -> None:
    """Say what an epoch came to, out of how many where that is known; of many short ones some, and the last.

    A few images for hundreds of passes would be hundreds of lines, and ``metrics.jsonl`` has them all.
    """
    collapsed = line.get("collapsed")
    if epochs and not collapsed and line["seconds"] < _SHORT * line["epoch"]:
        epoch, every = line["epoch"], -(-epochs // MOST_LINES)
        if epoch % every and epoch not in (1, epochs):
            return
    shown = [f"epoch {line['epoch']}" + (f" of {epochs}" if epochs else ""), f"loss {line['train_loss']:.4f}"]
    for key, label, form in (
        ("val_loss", "validation", ".4f"),
        ("val_knn1_accuracy", "1-NN", ".1%"),
        ("val_effective_rank", "effective rank", ".1f"),
    ):
        if key in line:
            shown.append(f"{label} {line[key]:{form}}")
    logger.info("%s, %s images/s", ", ".join(shown), f"{line['images_per_second']:,.0f}")
    if collapsed:
        logger.warning("COLLAPSE after epoch %d: %s", line["epoch"], line["collapse_reason"])
