"""The HTTP API as an ASGI app: routes in the middle, and around them what keeps a server well."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from likewise.index import Index
from likewise.serve.access import Access
from likewise.serve.body import BodyLimit
from likewise.serve.engine import Engine
from likewise.serve.explore import explorer_router
from likewise.serve.gate import Gate
from likewise.serve.limits import Limits
from likewise.serve.metrics import Counted, Metrics
from likewise.serve.model_routes import model_router
from likewise.serve.problems import Problem, answer_problems
from likewise.serve.search_routes import search_router
from likewise.serve.status_routes import status_router

__all__ = ["create_app"]


def create_app(
    index: Index,
    *,
    others: Sequence[Index] = (),
    token: str | None = None,
    limits: Limits | None = None,
    hosts: Sequence[str] = (),
) -> FastAPI:
    """The API over an index.

    Args:
        index: what is searched; its model embeds what clients send.
        others: indexes of other models over the same images, for the explorer page to compare with.
        token: that every request must carry (``Authorization: Bearer …``); None lets everybody ask who calls the server by a
            name of this machine.
        limits: of requests; see ``Limits``.
        hosts: further names by which the server may be called without a token.

    Returns:
        An app for any ASGI server. Its threads end with the app's lifespan.

    Raises:
        SearchIndexError, ModelError: the model of the index cannot be read.
    """
    limits = limits or Limits()
    metrics = Metrics()
    engine = Engine(index, limits, metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        engine.close()

    app = FastAPI(
        title="Likewise",
        version=version("likewise"),
        summary="Search for images that are alike.",
        lifespan=lifespan,
        # The framework's own pages load scripts from another site.
        docs_url=None,
        redoc_url=None,
        responses={"4XX": {"model": Problem}, "5XX": {"model": Problem}},
    )
    answer_problems(app)
    app.include_router(search_router(engine))
    app.include_router(model_router(engine))
    app.include_router(status_router(engine, metrics))
    app.include_router(explorer_router(index, others))
    # From the inside out: what is added last sees a request first.
    app.add_middleware(BodyLimit, most=limits.upload_bytes)
    app.add_middleware(Gate, waiting=limits.waiting, seconds=limits.seconds)
    app.add_middleware(Access, token=token, hosts=hosts)
    app.add_middleware(Counted, metrics=metrics)
    return app
