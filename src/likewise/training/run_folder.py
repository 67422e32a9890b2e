"""Opening a folder for a run: never over another run, never two processes in one, never on a disk that is full."""

from __future__ import annotations

import fcntl
import logging
import os
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from likewise.errors import RecipeError, RunError
from likewise.recipe import Recipe
from likewise.training.files import ELSEWHERE, write_text, writing_to
from likewise.training.ranks import Ranks

__all__ = ["free_folder", "logging_to", "open_folder", "open_together", "unfinished", "working_in"]

logger = logging.getLogger("likewise")
LEAST_FREE_BYTES = 64 * 2**20
PATIENCE = 60.0  # seconds for which a network file system may hide a new file


def free_folder(name: str, root: Path = Path("runs")) -> Path:
    """``runs/name``, or ``runs/name-2``, ``-3`` … where that is taken."""
    folder, number = root / name, 1
    while folder.exists():
        number += 1
        folder = root / f"{name}-{number}"
    return folder


def unfinished(name: str, root: Path = Path("runs")) -> list[Path]:
    """Folders below ``root`` of runs of the recipe ``name`` that were begun and have no numbers."""
    return [
        written.parent
        for written in sorted(root.glob("*/recipe.yaml"))
        if f"name: {name}" in written.read_text("utf-8", errors="replace").splitlines()
        and not (written.parent / "metrics.json").exists()
    ]


@contextmanager
def open_folder(folder: Path, recipe: Recipe, *, resume: bool) -> Iterator[None]:
    """Make ``folder`` ready for a run of ``recipe``, write ``recipe.yaml``, and hold the folder for this process.

    Raises:
        RunError: another run, other files or another process are there, it cannot be written, or the disk is full.
    """
    _check(folder, recipe, resume=resume)
    advice = "Choose another --out, change its permissions, or free some space."
    with ExitStack() as held:
        with writing_to(folder, advice):
            held.enter_context(working_in(folder, advice))
            _check(folder, recipe, resume=resume)  # another start may have come first
            free = shutil.disk_usage(folder).free
            if free < LEAST_FREE_BYTES:
                raise RunError(
                    f"The disk of {folder} has {free / 2**20:.0f} MB left.",
                    expected=f"Expected at least {LEAST_FREE_BYTES // 2**20} MB for a run.",
                    advice="Free some space or choose another --out.",
                )
            write_text(folder / "recipe.yaml", recipe.to_yaml())
        yield


def _check(folder: Path, recipe: Recipe, *, resume: bool) -> None:
    """Raise what stands against a run of ``recipe`` in ``folder``, in which nothing is changed."""
    written = folder / "recipe.yaml"
    if folder.is_dir() and any(path.name != ".lock" for path in folder.iterdir()):
        if not written.is_file():
            raise RunError(
                f"{folder} holds files that are not a run.",
                expected="Expected an empty or a new folder.",
                advice="Choose another --out.",
            )
        if not resume:
            raise RunError(
                f"{folder} holds a run already.",
                expected="Expected an empty or a new folder.",
                advice="Pass --resume to go on with it, or choose another --out.",
            )
        _same(Recipe.from_yaml(written.read_text("utf-8"), origin=str(written)), recipe, folder)


@contextmanager
def open_together(folder: Path, recipe: Recipe, ranks: Ranks, *, resume: bool) -> Iterator[bool]:
    """``open_folder`` for all ranks of a run: rank 0 opens the folder, holds it and logs into it.

    Yields:
        Whether the run in it is finished.

    Raises:
        RunError: as ``open_folder``; or another machine does not see the folder.
    """
    with ExitStack() as held:

        def hold() -> bool:
            held.enter_context(open_folder(folder, recipe, resume=resume))
            held.enter_context(logging_to(folder / "log.txt"))
            return (folder / "metrics.json").is_file()

        finished = ranks.on_first(hold) or False
        ranks.together(lambda: _wait_for(folder))
        yield bool(ranks.agree(int(finished)))


def _wait_for(folder: Path) -> None:
    """Return as soon as this process sees a run in ``folder`` that another one has opened.

    Raises:
        RunError: it does not, though a network file system has had time to show it.
    """
    deadline = time.monotonic() + PATIENCE
    while not (folder / "recipe.yaml").is_file():
        if time.monotonic() > deadline:
            raise RunError(
                f"{platform.node()} does not see the run that rank 0 has opened in {folder.absolute()}.",
                expected="Expected a folder that all machines of the run share.",
                advice="Give an --out on a file system that all of them mount.",
            )
        time.sleep(0.1)


def _same(old: Recipe, new: Recipe, folder: Path) -> None:
    if old == new:
        return
    before, after = old.model_dump(), new.model_dump()
    changed = []
    for key in before:
        if before[key] == after[key]:
            continue
        if isinstance(before[key], dict):
            fields = before[key].keys() | after[key].keys()
            changed += [
                f"{key}.{field} ({before[key].get(field)!r} there, {after[key].get(field)!r} now)"
                for field in sorted(fields)
                if before[key].get(field) != after[key].get(field)
            ]
        else:
            changed.append(f"{key} ({before[key]!r} there, {after[key]!r} now)")
    raise RecipeError(
        f"The run in {folder} has another recipe: {', '.join(changed)}.",
        expected="A run is resumed with the recipe it began with.",
        advice=f"Give the same options, or `likewise train {folder / 'recipe.yaml'} --out {folder} --resume`.",
    )


@contextmanager
def working_in(folder: Path, advice: str = ELSEWHERE) -> Iterator[None]:
    """Hold the folder for this process; the lock goes with the process, however it ends.

    Args:
        folder: made where it is not there.
        advice: what to do where it cannot be written.

    Raises:
        RunError: it cannot be written, another process works in it, or its file system knows no locks.
    """
    with ExitStack() as held:
        with writing_to(folder, advice):
            folder.mkdir(parents=True, exist_ok=True)
            lock = held.enter_context((folder / ".lock").open("a+b", buffering=0))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise RunError(
                f"Process {lock.read().decode().strip() or '?'} is working in {folder}.",
                expected="Expected a folder that no other process trains in.",
                advice="Wait for it, stop it, or choose another --out.",
            ) from error
        except OSError as error:
            raise RunError(
                f"{folder} cannot be locked against other processes ({error.strerror or error}).",
                expected="Expected a file system that knows locks (flock).",
                advice="Choose an --out on another file system, or have this one mounted with locks.",
            ) from error
        with writing_to(folder, advice):
            lock.truncate(0)
            lock.write(str(os.getpid()).encode())
        try:
            yield
        finally:
            lock.truncate(0)


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Copy what the package logs into a file as well, with the time of each line."""
    with writing_to(path.parent):
        handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()
