"""A client for the HTTP routes of a running server."""

import os
import socket
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from lipstream.realtime.errors import LipstreamError

TOKEN_VARIABLE = "LIPSTREAM_TOKEN"  # noqa: S105 (the name of one)


class UnreachableError(LipstreamError):
    """The server sent no answer, or one that cannot be parsed."""


class RefusedError(LipstreamError):
    """The server refused the request.

    Attributes:
        reason: Reason that the server gives with status 503; otherwise ``""``.
    """

    def __init__(self, message: str, answer_status: int, reason: str) -> None:
        super().__init__(message)
        self.answer_status = answer_status
        self.reason = reason


class ServerClient:
    """One server.

    Args:
        url: Address of the server, such as ``https://face.example``; ``http`` without a scheme.
        token: API key or join token; ``""`` for a server without tokens.
        certificate: File of a certificate to trust instead of the system's ones; ``None`` for those.
        timeout_s: Longest time of one request, s.

    Raises:
        UnreachableError: If ``url`` is no http or https address.
    """

    def __init__(self, url: str, *, token: str = "", certificate: Path | None = None, timeout_s: float = 8.0) -> None:
        try:
            parts = urlsplit(url if "//" in url else f"http://{url}")
            known = parts.scheme in ("http", "https") and parts.port != 0
        except ValueError:
            known = False
        if not known or not parts.hostname:
            raise UnreachableError(f"{url!r} is no http or https address")
        self.url = f"{parts.scheme}://{parts.netloc}"
        self.host, self.secure = parts.hostname, parts.scheme == "https"
        self._token, self._timeout_s = token, timeout_s
        self._trust = ssl.create_default_context(cafile=certificate)

    async def ask(self, path: str, *, method: str = "GET", body: Any = None, token: str | None = None) -> Any:
        """Send a request; return the JSON of the answer, or ``None`` for an empty answer.

        Raises:
            UnreachableError: If there is no answer, or it is not JSON.
            RefusedError: If the status of the answer is not 2xx.
        """
        shown = self._token if token is None else token
        headers = {"Authorization": f"Bearer {shown}"} if shown else {}
        try:
            async with httpx.AsyncClient(verify=self._trust, timeout=self._timeout_s, follow_redirects=True) as client:
                answer = await client.request(method, self.url + path, json=body, headers=headers)
        except httpx.TimeoutException as error:
            raise UnreachableError(f"no answer within {self._timeout_s:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, ImportError) as error:  # ImportError: no package for a SOCKS proxy
            raise UnreachableError(_reason(error)) from error
        if not answer.is_success:
            raise _refusal(answer)
        try:
            return answer.json() if answer.content else None
        except ValueError:
            raise UnreachableError("the answer is not JSON: this is another server") from None


def token_from_environment() -> str:
    """Return the token in ``LIPSTREAM_TOKEN``. A token in the command line would show in the list of processes."""
    return os.environ.get(TOKEN_VARIABLE, "").strip()


def _reason(error: Exception) -> str:
    """Return the system's reason for a failed request; httpx only says that all attempts failed."""
    cause: BaseException = error
    while further := cause.__cause__ or cause.__context__:
        cause = further
    if isinstance(cause, ExceptionGroup):  # one exception for each address of the name
        cause = cause.exceptions[0]
    if isinstance(cause, OSError) and cause.errno and not isinstance(cause, (ssl.SSLError, socket.gaierror)):
        return os.strerror(cause.errno)
    return str(error).rstrip(".")


def _refusal(answer: httpx.Response) -> RefusedError:
    try:
        facts = answer.json()
    except ValueError:
        facts = {}
    inner = facts.get("error") if isinstance(facts, dict) else None
    inner = inner if isinstance(inner, dict) else {}
    message = str(inner.get("message") or f"status {answer.status_code}")
    reason = inner.get("reason") or (facts.get("reason") if isinstance(facts, dict) else None)
    return RefusedError(message, answer.status_code, str(reason or ""))
