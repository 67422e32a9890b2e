"""What an export writes appears when it is whole: made beside its place, then renamed; and what is told of it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from likewise.errors import RunError

__all__ = ["Exported", "new_folder", "refuse_existing"]


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        path: a folder or a file.
        lines: what a person should read of it, a sentence each.
        details: the same and more as plain values.
    """

    path: Path
    lines: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, int]:
        """Every file, relative to a folder, with its size in bytes."""
        if self.path.is_file():
            return {self.path.name: self.path.stat().st_size}
        found = sorted(file for file in self.path.rglob("*") if file.is_file())
        return {file.relative_to(self.path).as_posix(): file.stat().st_size for file in found}


def refuse_existing(path: Path) -> None:
    """Raise a RunError where ``path`` is there already: an export replaces nothing."""
    if path.exists():
        raise RunError(
            f"{path} is there already.", expected="Expected a new name.", advice="Choose another -o, or remove it."
        )


@contextmanager
def new_folder(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """A folder to write into, which takes the name ``folder`` when the block ends well and vanishes when it does not.

    Raises:
        RunError: there is such a folder already, or it cannot be written.
    """
    folder = Path(folder)
    refuse_existing(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            yield beside
            beside.chmod(0o755)
            beside.rename(folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise RunError(
            f"{folder} cannot be written ({error.strerror or error}).",
            expected="Expected a folder that can be written, with room for the weights.",
            advice="Free some space or choose another -o.",
        ) from error
