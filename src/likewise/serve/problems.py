"""What a client gets instead of an answer: the three parts of an error as JSON, under the status that fits. No traceback."""

from __future__ import annotations

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from likewise.errors import DamagedIndexError, LikewiseError, ServeError

__all__ = ["Problem", "answer_problems", "as_response"]

logger = logging.getLogger("likewise")


class Problem(BaseModel):
    """Why a request was refused.

    Attributes:
        got: what was found in it.
        expected: what should have been there.
        advice: what to do.
    """

    got: str
    expected: str = ""
    advice: str = ""


def as_response(error: LikewiseError) -> JSONResponse:
    """An error as a response; what is not the server's own error is the caller's mistake."""
    if isinstance(error, DamagedIndexError):
        # What is wrong, and where, is for whoever runs the server: it goes to the log.
        logger.error("%s", error)
        error = ServeError(
            "The index of the server cannot be read.",
            expected="This is not the request's fault.",
            advice="What happened stands in the log of the server.",
            status=500,
        )
    status = error.status if isinstance(error, ServeError) else 400
    body = Problem(got=error.got, expected=error.expected, advice=error.advice)
    headers = {"Retry-After": "1"} if status == 503 else {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return JSONResponse(body.model_dump(), status, headers)


def answer_problems(app: FastAPI) -> None:
    """Let an app answer every error so."""

    @app.exception_handler(LikewiseError)
    async def ours(request: Request, error: LikewiseError) -> JSONResponse:
        return as_response(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"][1:]) or "The body"
        return as_response(
            ServeError(
                f"{name} cannot be used ({first['msg']}).",
                expected="Expected the fields that /docs lists.",
                advice="Compare the request with the example there.",
            )
        )

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        phrase = HTTPStatus(error.status_code).phrase
        return as_response(
            ServeError(
                f"{request.method} {request.url.path}: {error.detail or phrase}.",
                expected="Expected one of the addresses and methods listed at /docs.",
                advice="Compare the request with the example there.",
                status=error.status_code,
            )
        )

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> JSONResponse:
        # The traceback goes to the server's own log: the framework raises the error again behind this answer.
        return as_response(
            ServeError(
                "The server made a mistake.",
                expected="This is not the request's fault.",
                advice="What happened stands in the log of the server.",
                status=500,
            )
        )
