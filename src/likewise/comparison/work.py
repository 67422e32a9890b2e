"""What a comparison has to do, in pieces that do not wait for each other: a search on validation, or a run.

A piece is a recipe and a folder. Whoever does it, here or in another process or on another machine, opens the folder with
``resume``, so a piece that was begun before goes on and a piece that is done costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from likewise.comparison.rows import Search
from likewise.comparison.search import search, trials_folder
from likewise.errors import Interrupted, LikewiseError
from likewise.models.device import release_memory
from likewise.recipe import Recipe
from likewise.training import train

__all__ = ["Engine", "Outcome", "Work", "in_sequence", "perform", "stopped"]


@dataclass(frozen=True)
class Work:
    """One piece.

    Args:
        recipe: what is trained.
        folder: of the comparison.
        cell: folder of the run below it, or the key of the condition that is searched.
        trials: of a search; 0 is a run.
    """

    recipe: Recipe
    folder: Path
    cell: str
    trials: int = 0

    @property
    def place(self) -> Path:
        """Where what it has done so far can be looked at."""
        if self.trials:
            return trials_folder(self.folder, self.recipe, self.cell)
        return self.folder / self.cell / "log.txt"


@dataclass(frozen=True)
class Outcome:
    """What became of a piece: what a search found, nothing for a run (which is in its folder), or what was wrong."""

    found: Search | None = None
    error: LikewiseError | None = None


Engine = Callable[[Sequence[Work], Callable[[int], None]], Iterator[tuple[int, Outcome]]]
"""Does pieces of work in any order and gives each with its number when it is done; the function that it is given is called
with the number of each when it is begun. It raises ``Interrupted`` when a signal has come and all that was begun is saved."""


def perform(work: Work, *, quiet: bool) -> Outcome:
    """Do one piece in this process; what is wrong with it becomes its outcome, so that the rest can go on.

    Raises:
        Interrupted: SIGINT or SIGTERM came; the state is saved.
    """
    try:
        if work.trials:
            return Outcome(search(work.recipe, work.cell, work.folder, work.trials, quiet=quiet))
        train(work.recipe, work.folder / work.cell, resume=True, quiet=quiet)
        return Outcome()
    except Interrupted as error:
        raise Interrupted(
            error.got,
            expected=f"All that is finished and the state of this one are saved in {work.folder}.",
            advice="Give the same command again to go on.",
        ) from error
    except LikewiseError as error:
        # What led to it holds the frames of the failed run, and these its model and batches, while the next piece trains.
        error.__cause__ = error.__context__ = None
        return Outcome(error=error.with_traceback(None))
    finally:
        release_memory()  # model and features of a run would lie there while the next piece trains


def in_sequence(*, quiet: bool) -> Engine:
    """The plain engine: one piece after the other, in this process."""

    def run(works: Sequence[Work], begun: Callable[[int], None]) -> Iterator[tuple[int, Outcome]]:
        for number, work in enumerate(works):
            begun(number)
            yield number, perform(work, quiet=quiet)

    return run


def stopped(why: str, done: int, total: int, folder: Path) -> Interrupted:
    """What an engine raises that works on several pieces at a time, when all that were begun are saved."""
    return Interrupted(
        f"{why} after {done} of {total}.",
        expected=f"All that is finished and the state of those that were begun are saved in {folder}.",
        advice="Give the same command again to go on.",
    )
