"""What the server is, how it is, and how to ask it: ``/health``, ``/metrics``, ``/docs``."""

from __future__ import annotations

from importlib.metadata import version
from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from likewise.models import InputSpec
from likewise.serve.docs_page import docs_page
from likewise.serve.engine import Engine
from likewise.serve.metrics import Metrics

__all__ = ["Health", "status_router"]


class Health(BaseModel):
    """What is served.

    Attributes:
        status: ``ok``; a server that is not does not answer.
        version: of Likewise.
        rows: images in the index.
        model: its name: digest of weights and preprocessing.
        input: what images the model takes; others are brought to it.
        embedding_dim: D.
        distance: cosine or euclidean.
        has_text: whether the model embeds words.
        class_names: classes that the model was trained with.
        columns: further columns by name.
        approximate_recall: recall@10 of the approximate index, measured when it was built; null where search is exact.
        limits: of requests.
    """

    status: Literal["ok"] = "ok"
    version: str
    rows: int
    model: str
    input: InputSpec
    embedding_dim: int
    distance: str
    has_text: bool
    class_names: list[str]
    columns: dict[str, str]
    approximate_recall: float | None
    limits: dict[str, float]


def status_router(engine: Engine, metrics: Metrics) -> APIRouter:
    """The addresses of an engine that ask nothing of its model."""
    router = APIRouter()
    installed = version("likewise")

    @router.get("/health", summary="What is served, and that it is well")
    async def health() -> Health:
        """Reads the table, so an index that has gone is noticed."""
        manifest = await engine.newest_manifest()
        return Health(
            version=installed,
            rows=await engine.count(),
            model=manifest.model,
            input=manifest.input,
            embedding_dim=manifest.embedding_dim,
            distance=manifest.distance,
            has_text=engine.model.text is not None,
            class_names=list(engine.model.class_names),
            columns=manifest.columns,
            approximate_recall=None if manifest.approximate is None else manifest.approximate.recall,
            limits=vars(engine.limits),
        )

    @router.get("/metrics", summary="Numbers for Prometheus", response_class=Response)
    async def numbers() -> Response:
        """Requests, seconds, batches and memory, as text."""
        return metrics.exposed()

    @router.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        return HTMLResponse(
            docs_page(request.app.openapi(), str(request.base_url).rstrip("/")),
            headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"},
        )

    return router
