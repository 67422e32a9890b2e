"""The explorer page at ``/`` and the data behind it.

The page is plain files of this package, without a build step. Plotly comes from its Python package and is compressed once.
Nothing is asked of another server, and the content security policy makes the browser hold the page to that.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from importlib import resources
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.responses import StreamingResponse

from likewise.errors import ServeError
from likewise.index import Index
from likewise.serve.explored import Explored
from likewise.serve.lists import MOST_ROWS, counts, rows_of
from likewise.serve.points import encode

__all__ = ["explorer_router"]

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
# Plotly's WebGL layer compiles its draw calls (unsafe-eval) and both it and the page set styles of elements.
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

Which = Annotated[int, Query(ge=0, description="Number of the index among those that are served.")]


def explorer_router(index: Index, others: Sequence[Index] = ()) -> APIRouter:
    """The page, its files, and what it draws.

    Args:
        index: to look at.
        others: of other models over the same images, to compare with.
    """
    explored = [Explored(each) for each in (index, *others)]

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        for each in explored:
            each.state()  # begins to read
        yield
        for each in explored:
            each.close()

    router = APIRouter(lifespan=lifespan)

    def chosen(which: int) -> Explored:
        if which >= len(explored):
            raise ServeError(
                f"There is no index number {which}.",
                expected=f"Expected 0 … {len(explored) - 1}.",
                advice="Start with several indexes to compare them: likewise serve A B.",
                status=404,
            )
        return explored[which]

    @router.get("/", include_in_schema=False)
    def page(request: Request) -> Response:
        """The explorer page."""
        return _file("index.html", request)

    @router.get("/page/{file}", include_in_schema=False)
    def page_file(file: str, request: Request) -> Response:
        """A script or style of the page."""
        return _file(file, request)

    @router.get("/explorer")
    def explorer() -> list[dict[str, Any]]:
        """Which indexes there are, how far each has been looked through, and the lists that were found."""
        return [
            state | {"lists": counts(each.picture()) if state["found"] else []}
            for each in explored
            if (state := each.state())
        ]

    @router.get("/points", response_class=StreamingResponse)
    def points(index: Which = 0) -> StreamingResponse:
        """Map, columns and ids of every image, as typed arrays behind a JSON header."""
        one = chosen(index)
        length, blocks = encode(one.picture(), one.name)
        headers = {"Content-Length": str(length), "Cache-Control": "no-store"}
        return StreamingResponse(blocks, media_type="application/octet-stream", headers=headers)

    @router.get("/lists/{name}")
    def lists(name: str, index: Which = 0, limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 500) -> dict[str, Any]:
        """Suspected label errors, duplicates, leaks, outliers, nearest images of another class."""
        return rows_of(chosen(index).picture(), name, limit)

    return router


@lru_cache
def _plotly() -> tuple[bytes, str]:
    from plotly.offline import get_plotlyjs, get_plotlyjs_version

    return gzip.compress(get_plotlyjs().encode(), 6, mtime=0), f'"plotly-{get_plotlyjs_version()}"'


@lru_cache
def _own(file: str) -> tuple[bytes, str] | None:
    """A file of the page with its tag; None for anything that is not one, wherever the name points."""
    folder = resources.files("likewise.serve") / "page"
    if file not in {entry.name for entry in folder.iterdir()}:
        return None
    content = (folder / file).read_bytes()
    return content, f'"{hashlib.sha256(content).hexdigest()[:16]}"'


def _file(file: str, request: Request) -> Response:
    compressed = file == "plotly.min.js"
    found = _plotly() if compressed else _own(file)
    if found is None:
        raise ServeError(f"The page has no file {file!r}.", expected="Expected one of its own.", status=404)
    content, tag = found
    headers = {
        "ETag": tag,
        "Cache-Control": "no-cache",  # asked again each time, answered with 304
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    if compressed:
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
        else:
            content = gzip.decompress(content)
        headers["Vary"] = "Accept-Encoding"
    return Response(content, media_type=_TYPES[file.rsplit(".", 1)[-1]], headers=headers)
