"""No upload beyond the limit: its bytes are counted as they arrive, before anything reads or stores them."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from likewise.errors import ServeError
from likewise.serve.problems import as_response

__all__ = ["BodyLimit"]

LINGER = 0.5  # seconds for which what a refused client still sends is thrown away, so that it comes to read the answer


class _TooLargeError(Exception):
    """Ends the reading of a body, through whatever reads it."""


class BodyLimit:
    """ASGI middleware that answers 413 to a body of more than so many bytes.

    Args:
        app: what is behind it.
        most: bytes.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or answer it here."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        announced = dict(scope["headers"]).get(b"content-length", b"")
        if announced.isdigit() and int(announced) > self._most:
            return await self._refuse(f"The request announces {int(announced):,} bytes.", scope, receive, send)
        read = 0
        too_large = started = False

        async def counted() -> Message:
            nonlocal read, too_large
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._most:
                too_large = True
                raise _TooLargeError
            return message

        async def guarded(message: Message) -> None:
            nonlocal started
            if not too_large:  # what the parser of the body makes of its end is not what happened
                started = True
                await send(message)

        with contextlib.suppress(_TooLargeError):
            await self._app(scope, counted, guarded)
        if too_large and not started:
            await self._refuse(f"The request has more than {self._most:,} bytes.", scope, receive, send)
        return None

    async def _refuse(self, got: str, scope: Scope, receive: Receive, send: Send) -> None:
        error = ServeError(
            got,
            expected=f"Expected at most {self._most:,} bytes.",
            advice="Make the image smaller, or send fewer at a time.",
            status=413,
        )
        response = as_response(error)
        headers = [*response.raw_headers, (b"connection", b"close")]
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": response.body, "more_body": True})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                while (await receive()).get("more_body"):
                    await asyncio.sleep(0)  # the clock runs between two turns of the loop only
        await send({"type": "http.response.body", "body": b""})
