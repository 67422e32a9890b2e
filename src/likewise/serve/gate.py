"""So many requests at a time, each for so many seconds: what is beyond is told so at once, or given up."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from likewise.errors import ServeError
from likewise.serve.batching import busy
from likewise.serve.problems import as_response

__all__ = ["Gate"]

OPEN = ("/health", "/metrics")  # a server that is busy must still be able to say so


class Gate:
    """ASGI middleware: 503 to one request too many, 504 to one that takes too long to be answered.

    Args:
        app: what is behind it.
        waiting: requests at a time.
        seconds: until an answer begins; the upload counts.
    """

    def __init__(self, app: ASGIApp, waiting: int, seconds: float) -> None:
        self._app = app
        self._most = waiting
        self._seconds = seconds
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or answer it here."""
        if scope["type"] != "http" or scope["path"] in OPEN:
            return await self._app(scope, receive, send)
        if self._under_way >= self._most:
            return await as_response(busy(self._under_way, "requests"))(scope, receive, send)
        started = False
        self._under_way += 1
        try:
            async with asyncio.timeout(self._seconds) as allowed:

                async def noted(message: Message) -> None:
                    nonlocal started
                    if not started:
                        started = True
                        allowed.reschedule(None)  # an answer that has begun is sent to its end
                    await send(message)

                await self._app(scope, receive, noted)
        except TimeoutError:
            if started or not allowed.expired():
                raise
            error = ServeError(
                f"The request was not answered in {self._seconds:g} seconds.",
                expected="Expected an upload and an answer within that time.",
                advice="Ask for less, or again when the server is less busy.",
                status=504,
            )
            await as_response(error)(scope, receive, send)
        finally:
            self._under_way -= 1
        return None
