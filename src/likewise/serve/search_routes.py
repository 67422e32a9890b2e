"""Searching: by an image, by words, by an image of the index; and the small pictures of what was found."""

from __future__ import annotations

import hashlib
import time
from typing import Annotated

import numpy as np
from fastapi import APIRouter, File, Form, Header, Query, Response, UploadFile
from fastapi.responses import JSONResponse

from likewise.errors import ServeError
from likewise.index import Query as Asked
from likewise.serve.answers import Found, as_found
from likewise.serve.engine import Engine
from likewise.serve.filters import checked_filter

__all__ = ["search_router"]

_K = "Hits, at least 1."
_FILTER = "A condition that hits must meet, such as: class_name = 'boot' AND split = 'test'"


def search_router(engine: Engine) -> APIRouter:
    """``/search``, ``/neighbors`` and ``/thumbnail`` of an engine."""
    router = APIRouter()
    limits, further = engine.limits, engine.manifest.columns

    def checked(k: int, filter: str | None) -> str | None:
        if not 1 <= k <= limits.k:
            raise ServeError(
                f"k is {k}.", expected=f"Expected 1 to {limits.k:,}.", advice="Ask for fewer; a filter finds others."
            )
        if filter is None or not filter.strip():
            return None
        if len(filter) > limits.characters:
            raise ServeError(
                f"The filter has {len(filter):,} characters.",
                expected=f"Expected at most {limits.characters:,}.",
                advice="Filter by fewer values, or by a column of their own.",
                status=413,
            )
        return checked_filter(filter, further)

    async def found(query: Asked, began: float, without: str | None = None) -> JSONResponse:
        hits = await engine.search(query)
        shown = [as_found(hit) for hit in hits if hit.id != without]
        shown = shown[: query.k - (without is not None)]
        return JSONResponse({"hits": shown, "seconds": time.perf_counter() - began})

    async def embedding_of(identity: str) -> np.ndarray:
        return np.asarray((await engine.row(identity, ["embedding"]))["embedding"], np.float32)

    @router.post("/search", response_model=Found, summary="The images that are most alike to one query")
    async def search(
        image: Annotated[UploadFile | None, File(description="An image file.")] = None,
        text: Annotated[str | None, Form(description="Words.")] = None,
        id: Annotated[
            str | None, Form(description="Of an image in the index, which is then its own first hit.")
        ] = None,
        k: Annotated[int, Form(description=_K)] = 10,
        filter: Annotated[str | None, Form(description=_FILTER)] = None,
    ) -> Response:
        """Send one of `image`, `text` and `id`.

        Words are embedded by a model that was trained with texts, and looked for in captions where the images have any;
        where both can be done, the two rankings are fused.
        """
        began = time.perf_counter()
        where = checked(k, filter)
        given = [name for name, value in (("image", image), ("text", text), ("id", id)) if value is not None]
        if len(given) != 1:
            raise ServeError(
                f"The search has {' and '.join(given) or 'no query'}.",
                expected="Expected one of image, text and id.",
                advice="Send it as multipart/form-data.",
            )
        if image is not None:
            query = Asked((await engine.embed_images([image]))[0], k=k, filter=where)
        elif text is not None and engine.model.text is None:
            query = Asked(None, engine.checked_text(text), k, where)
        elif text is not None:
            query = Asked((await engine.embed_texts([text]))[0], text, k, where)
        else:
            query = Asked(await embedding_of(id or ""), k=k, filter=where)
        return await found(query, began)

    @router.get("/neighbors/{id:path}", response_model=Found, summary="The images most alike to one of the index")
    async def neighbors(
        id: str,
        k: Annotated[int, Query(description=_K)] = 10,
        filter: Annotated[str | None, Query(description=_FILTER)] = None,
    ) -> Response:
        """The image itself is left out."""
        began = time.perf_counter()
        where = checked(k, filter)
        return await found(Asked(await embedding_of(id), k=k + 1, filter=where), began, without=id)

    @router.get(
        "/thumbnail/{id:path}",
        summary="A small picture of an image of the index",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}, "description": "JPEG."}},
    )
    async def thumbnail(
        id: str,
        stamp: Annotated[str | None, Query(description="Of the index as it is, from /points.")] = None,
        if_none_match: Annotated[str | None, Header(include_in_schema=False)] = None,
    ) -> Response:
        """It comes out of the index, never from the source. With the stamp a browser may keep it, else it asks each time."""
        # The stamp is looked at first: a row of an earlier commit must not be kept under the name of a later one.
        kept = stamp is not None and stamp == await engine.stamp()
        data = (await engine.row(id, ["thumbnail"]))["thumbnail"]
        if data is None:
            raise ServeError(
                f"The index keeps no picture of {id!r}.",
                expected="Expected an index made with thumbnails.",
                advice="Make it again without --no-thumbnails.",
                status=404,
            )
        tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        headers = {"Cache-Control": "private, max-age=86400, immutable" if kept else "private, no-cache", "ETag": tag}
        if if_none_match == tag:
            return Response(status_code=304, headers=headers)
        return Response(data, media_type="image/jpeg", headers=headers)

    return router
