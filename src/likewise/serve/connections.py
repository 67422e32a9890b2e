"""A connection that does not come to the point is closed: a head has so many seconds, and an answer must be read.

uvicorn bounds the bytes of a head and how long a connection may be idle behind an answer, but not how long a client may take
over a head, or say nothing at all, or leave an answer unread. Connections are counted, and so are the requests that are being
answered, so a few hundred clients that send a letter a minute, or read nothing, would keep everybody else out. What lies
between head and answer is timed by ``Gate``.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["SECONDS", "TimedConnection"]

SECONDS = 10.0
UNREAD_SECONDS = 30.0
# bytes that the system holds for a client: it asks for more whenever a slow one has read about half of them
UNSENT = 2**17


class TimedConnection(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, with a deadline for heads, and one for each further bit of an answer to be read."""

    seconds = SECONDS
    unread_seconds = UNREAD_SECONDS
    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """The first head is waited for."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(0)  # we are told of every byte that waits for the client
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Some bytes: the deadline stands until they make a whole head, however many there are."""
        super().data_received(data)
        self._wait_for_head()

    def pause_writing(self) -> None:
        """Some of an answer waits for the client to read."""
        super().pause_writing()
        self._wait_for_reader(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """The client has read on."""
        self._forget_reader()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is waited for any more."""
        self._forget()
        self._forget_reader()
        super().connection_lost(exc)

    def _wait_for_reader(self, bytes_left: int) -> None:
        self._unread = self.loop.call_later(self.unread_seconds, self._read_on, bytes_left)

    def _read_on(self, bytes_before: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left < bytes_before:
            self._wait_for_reader(left)
        else:
            self.transport.abort()  # close() would wait for what is unread

    def _forget_reader(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _wait_for_head(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.seconds, self.transport.close)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
