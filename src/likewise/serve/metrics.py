"""Numbers for Prometheus: requests by route and status, their seconds, sizes of batches, what waits, the process."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Counted", "Metrics"]


class Metrics:
    """The numbers of one app, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "likewise_requests", "Requests answered.", ("route", "method", "status"), registry=self._registry
        )
        self.seconds = Histogram(
            "likewise_request_seconds",
            "Seconds from a request's head to the end of its answer.",
            ("route",),
            buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
            registry=self._registry,
        )
        self.under_way = Gauge("likewise_requests_under_way", "Requests not answered yet.", registry=self._registry)
        self.batch = Histogram(
            "likewise_batch_size",
            "Images, texts or searches done together.",
            ("kind",),
            buckets=(1, 2, 4, 8, 16, 32, 64, 128),
            registry=self._registry,
        )
        ProcessCollector(registry=self._registry)

    def exposed(self) -> Response:
        """All of them, as text."""
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)


class Counted:
    """ASGI middleware that counts what passes.

    Args:
        app: what is behind it.
        metrics: where it is counted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or answer it here."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        status, began = 500, time.perf_counter()

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._metrics.under_way.track_inprogress():
            try:
                await self._app(scope, receive, noted)
            finally:
                # The pattern of the route, not the address: ids would make a number of each image.
                route = getattr(scope.get("route"), "path", "none")
                method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
                self._metrics.requests.labels(route, method, status).inc()
                self._metrics.seconds.labels(route).observe(time.perf_counter() - began)
        return None
