"""Who may ask: whoever has the token, or, without one, a person on this machine and no page of another site.

A page that a browser shows sends no ``Authorization``. So ``/?token=…``, opened once, leaves a cookie that only this server
gets back. Without a token the name under which the server is called must be one of this machine: else any site could point
its own name at 127.0.0.1 and read along (DNS rebinding). No other origin is ever allowed to ask.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from likewise.errors import ServeError
from likewise.serve.problems import as_response

__all__ = ["Access", "is_loopback"]

COOKIE = "likewise_token"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine, as nobody else sees it.

    Example:
        >>> [is_loopback(host) for host in ("localhost", "127.0.0.1", "::1", "0.0.0.0", "example.org")]
        [True, True, True, False, False]
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost"


def _name_in(host: str) -> str:
    """The name or address in a ``Host`` header, without the port; nothing where it has none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _host_of(origin: str) -> str | None:
    """What the ``Host`` header of a page's own server says; None where the ``Origin`` cannot be read."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


class Access:
    """ASGI middleware that lets nobody else in, and puts the headers on that keep an answer where it belongs.

    Args:
        app: what is behind it.
        token: that a request must have, or None.
        hosts: names that the server may be called by without a token, beside those of this machine.
    """

    def __init__(self, app: ASGIApp, token: str | None, hosts: Sequence[str] = ()) -> None:
        self._app = app
        self._token = token
        self._cookie = hashlib.sha256(f"likewise cookie {token}".encode()).hexdigest()
        self._hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or answer it here."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        error = self._foreign(headers)
        if error is None and self._token is not None:
            offered = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
            if scope["path"] == "/" and self._same(offered, self._token):
                return await self._welcome(scope)(scope, receive, with_headers)
        if error is None and self._token is not None and not self._known(headers):
            error = ServeError(
                "The request has no token, or a wrong one.",
                expected="Expected the header Authorization: Bearer TOKEN.",
                advice="In a browser open /?token=TOKEN once. Whoever started the server knows the token.",
                status=401,
            )
        answer = self._app if error is None else as_response(error)
        return await answer(scope, receive, with_headers)

    def _known(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._same(token.strip(), self._token or ""):
            return True
        return self._same(cookie_parser(headers.get("cookie", "")).get(COOKIE, ""), self._cookie)

    @staticmethod
    def _same(offered: str, expected: str) -> bool:
        return hmac.compare_digest(offered.encode(), expected.encode())

    def _welcome(self, scope: Scope) -> RedirectResponse:
        response = RedirectResponse("/", 303)
        secure = scope["scheme"] == "https"
        response.set_cookie(COOKIE, self._cookie, httponly=True, samesite="strict", secure=secure)
        return response

    def _foreign(self, headers: Headers) -> ServeError | None:
        host = headers.get("host", "")
        name = _name_in(host)
        if self._token is None and not is_loopback(name) and name not in self._hosts:
            return ServeError(
                f"The server was called by the name {host!r}.",
                expected="Without a token it answers to the names of this machine only, such as localhost.",
                advice="Use http://localhost, or start it with a token.",
                status=421,
            )
        origin = headers.get("origin")
        if origin is not None and _host_of(origin) != host.lower():
            return ServeError(
                f"A page of {origin} asks.",
                expected="Expected a page of this server, or a program.",
                advice="Ask from a program of your own and pass on what it needs.",
                status=403,
            )
        return None
