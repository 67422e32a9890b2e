"""The explorer page at ``/`` and the data behind it.

The page is plain files of this package, without a build step; ``index.html`` names them all, so that a browser asks for them
and for the points at once. Plotly comes from its Python package and is compressed once, when the server starts. Nothing is
asked of another server, and the content security policy makes the browser hold the page to that.
"""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from importlib import resources
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.responses import StreamingResponse

from likewise.errors import ServeError
from likewise.index import Index
from likewise.serve.explored import Explored, Picture
from likewise.serve.lists import MOST_ROWS, counts, rows_of
from likewise.serve.points import Encoded, encode

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

    encoded: dict[int, tuple[Picture, Encoded]] = {}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        for each in explored:
            each.state()  # begins to read
        threading.Thread(target=_plotly, name="compress plotly", daemon=True).start()
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
    async def page(request: Request) -> Response:
        """The explorer page."""
        return _file(_own("index.html"), "index.html", request)

    @router.get("/page/plotly.min.js", include_in_schema=False)
    def plotly(request: Request) -> Response:
        """The drawing library, from its Python package."""
        return _file(_plotly(), "plotly.min.js", request, compressed=True)

    @router.get("/page/{file}", include_in_schema=False)
    async def page_file(file: str, request: Request) -> Response:
        """A script or style of the page."""
        return _file(_own(file), file, request)

    @router.get("/explorer")
    def explorer() -> list[dict[str, Any]]:
        """Which indexes there are, how far each has been looked through, and the lists that were found."""
        return [
            state | {"lists": counts(each.picture()) if state["found"] else []}
            for each in explored
            if (state := each.state())
        ]

    @router.get("/points", response_class=StreamingResponse)
    def points(request: Request, index: Which = 0) -> Response:
        """Map, columns and ids of every image, as typed arrays behind a JSON header."""
        one = chosen(index)
        picture = one.picture()
        kept = encoded.get(index)
        if kept is None or kept[0] is not picture:
            kept = encoded[index] = picture, encode(picture, one.name)
        found = kept[1]
        headers = {"ETag": found.tag, "Cache-Control": "private, no-cache"}
        if request.headers.get("if-none-match") == found.tag:
            return Response(status_code=304, headers=headers)
        headers["Content-Length"] = str(found.length)
        return StreamingResponse(found.blocks(), media_type="application/octet-stream", headers=headers)

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


def _file(found: tuple[bytes, str] | None, file: str, request: Request, *, compressed: bool = False) -> Response:
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
