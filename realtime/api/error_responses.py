"""Errors over HTTP: what a route may answer, and the one place where an error becomes an answer."""

import inspect
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from lipstream.realtime.errors import (
    LipstreamError,
    RateLimitError,
    StorageFullError,
    UnauthorizedError,
    UnavailableError,
    is_no_room,
)
from lipstream.realtime.wire.answers import ErrorAnswer, ErrorBody

ERROR_SCHEMA = ErrorAnswer.__name__
"""Name of the schema of errors in the API's description, which `openapi.py` adds."""
_BODY = {"application/json": {"schema": {"$ref": f"#/components/schemas/{ERROR_SCHEMA}"}}}
_RETRY = {"Retry-After": {"description": "Seconds after which a retry makes sense.", "schema": {"type": "integer"}}}


def error_answers(*errors: type[LipstreamError]) -> dict[int | str, dict[str, Any]]:
    """Return what a route's ``responses=`` says of its errors, which all have one shape.

    It names the schema in place of the type: FastAPI would build a validator of its own for each error of each route,
    which takes a sixth of a second of every start and checks nothing.

    Args:
        errors: Error classes that the route raises itself; ``default`` stands for all others.
    """
    answers: dict[int | str, dict[str, Any]] = {}
    for error in sorted(errors, key=lambda error: error.status):
        meaning = inspect.cleandoc(error.__doc__ or error.code).partition("\n")[0]
        headers = {"headers": _RETRY} if error in (RateLimitError, UnavailableError) else {}
        answers[error.status] = {"content": _BODY, "description": meaning, **headers}
    return answers | {"default": {"content": _BODY, "description": "Any other error."}}


def answer_errors(app: FastAPI) -> None:
    """Let an application answer every error by ``{"error": {"code", "message", ...}}``."""
    app.add_exception_handler(LipstreamError, _expected_error)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(OSError, _no_room)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unexpected_error)


def _error(status: int, body: ErrorBody) -> JSONResponse:
    return JSONResponse(ErrorAnswer(error=body), status)


async def _expected_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, LipstreamError)
    body = ErrorBody(code=error.code, message=error.message)
    if isinstance(error, UnavailableError):
        body["reason"] = error.reason
    answer = _error(error.status, body)
    if isinstance(error, UnavailableError | RateLimitError):
        answer.headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, UnauthorizedError):
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


async def _unreadable(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    message = f"{where}: {first['msg']}" if where else str(first["msg"])
    return _error(400, ErrorBody(code="bad_request", message=message))


async def _no_room(request: Request, error: Exception) -> JSONResponse:
    if not is_no_room(error):
        raise error
    return await _expected_error(request, StorageFullError("the server's disk is full"))


async def _gone(_: Request, __: Exception) -> JSONResponse:
    """Return what nobody reads: the client has hung up before the end of its body, which is no fault of the server."""
    return _error(400, ErrorBody(code="bad_request", message="the body has no end"))


async def _unexpected_error(_: Request, __: Exception) -> JSONResponse:
    return _error(500, ErrorBody(code="internal", message="the server failed; its log says why"))


async def _http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed"}
    code = codes.get(error.status_code, "bad_request")
    return _error(error.status_code, ErrorBody(code=code, message=str(error.detail)))
