"""What clients are told of an error: the one place where one becomes an answer."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from lipstream.realtime.errors import (
    LipstreamError,
    RateLimitError,
    StorageFullError,
    UnauthorizedError,
    UnavailableError,
    is_no_room,
)


def answer_errors(app: FastAPI) -> None:
    """Let an application answer every error by ``{"error": {"code", "message", ...}}``."""
    app.add_exception_handler(LipstreamError, _expected_error)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(OSError, _no_room)
    app.add_exception_handler(Exception, _unexpected_error)


def _error(status: int, code: str, message: str, **more: Any) -> JSONResponse:
    return JSONResponse({"error": {"code": code, "message": message, **more}}, status)


async def _expected_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, LipstreamError)
    more = {"reason": error.reason} if isinstance(error, UnavailableError) else {}
    answer = _error(error.status, error.code, error.message, **more)
    if isinstance(error, UnavailableError | RateLimitError):
        answer.headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, UnauthorizedError):
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


async def _unreadable(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    return _error(400, "bad_request", f"{where}: {first['msg']}" if where else str(first["msg"]))


async def _no_room(request: Request, error: Exception) -> JSONResponse:
    if not is_no_room(error):
        raise error
    return await _expected_error(request, StorageFullError("the server's disk is full"))


async def _unexpected_error(_: Request, __: Exception) -> JSONResponse:
    return _error(500, "internal", "the server failed; its log says why")


async def _http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed"}
    return _error(error.status_code, codes.get(error.status_code, "bad_request"), str(error.detail))
