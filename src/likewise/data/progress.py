"""How far a long download or decoding is, on standard error.

On a terminal one line that is rewritten; elsewhere a line at each tenth. Nothing at all is shown for work that ends
within two seconds, so that a loaded set of digits stays silent.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType

__all__ = ["Progress"]

_SILENT_SECONDS = 2.0
_REDRAW_SECONDS = 0.2


class Progress:
    """A counter that prints itself.

    Args:
        label: what is being done, "Decoding 50,000 images".
        total: of the units counted; 0 where it is not known.
        start: units already there, as when a download is resumed.
    """

    def __init__(self, label: str, total: int, start: int = 0) -> None:
        self._label = label
        self._total = total
        self._done = start
        self._began = self._drawn = time.monotonic()
        self._tenth = 0
        self._shown = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown and sys.stderr.isatty():
            print(file=sys.stderr)

    def advance(self, units: int) -> None:
        """Count ``units`` more."""
        self.reach(self._done + units)

    def reach(self, done: int) -> None:
        """Count to ``done``."""
        self._done = done
        now = time.monotonic()
        if now - self._began < _SILENT_SECONDS:
            return
        share = self._done / self._total if self._total else 0.0
        text = f"{self._label}: {share:.0%}" if self._total else f"{self._label}: {self._done:,}"
        if sys.stderr.isatty():
            if now - self._drawn >= _REDRAW_SECONDS or self._done >= self._total > 0:
                print(f"\r{text}", end="", file=sys.stderr, flush=True)
                self._drawn, self._shown = now, True
        elif self._total and int(share * 10) > self._tenth:
            self._tenth = int(share * 10)
            print(text, file=sys.stderr, flush=True)
