"""A connection that does not come to the point is closed: the head of a request has so many seconds.

uvicorn bounds the bytes of a head and how long a connection may be idle behind an answer, but not how long a client may take
over a head, or say nothing at all. Connections are counted, so a few hundred that send a letter a minute would keep everybody
else out. What comes behind the head is timed by ``Gate``.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["SECONDS", "TimedHeads"]

SECONDS = 10.0


class TimedHeads(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, with a deadline for heads."""

    seconds = SECONDS
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """The first head is waited for."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Some bytes: the deadline stands until they make a whole head, however many there are."""
        super().data_received(data)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is waited for any more."""
        self._forget()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.seconds, self.transport.close)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
