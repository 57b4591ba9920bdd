"""A running server's HTTP routes, asked from outside."""

import json
import os
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lipstream.realtime.errors import LipstreamError

TOKEN_VARIABLE = "LIPSTREAM_TOKEN"  # noqa: S105 (the name of one)


class UnreachableError(LipstreamError):
    """No answer, or none that could be understood."""


class RefusedError(LipstreamError):
    """The server answered, and the answer is no.

    Attributes:
        answer_status: HTTP status.
        reason: The server's, for 503; ``""`` otherwise.
    """

    def __init__(self, message: str, answer_status: int, reason: str) -> None:
        super().__init__(message)
        self.answer_status = answer_status
        self.reason = reason


class ServerClient:
    """One server.

    Args:
        url: Where it is, such as ``https://face.example``.
        token: API key or join token; ``""`` for a server that asks for none.
        certificate: Trust this one instead of the system's.
        timeout_s: Of one request.
    """

    def __init__(self, url: str, *, token: str = "", certificate: Path | None = None, timeout_s: float = 8.0) -> None:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UnreachableError(f"{url!r} is no http or https address")
        self.url = f"{parts.scheme}://{parts.netloc}"
        self.host, self.secure = parts.hostname, parts.scheme == "https"
        self._token, self._timeout_s = token, timeout_s
        self._trust = ssl.create_default_context(cafile=certificate) if self.secure else None

    def ask(self, path: str, *, method: str = "GET", body: Any = None, token: str | None = None) -> Any:
        """Return the JSON of an answer; ``None`` for an empty one.

        Raises:
            UnreachableError: If there is none.
            RefusedError: If it is a refusal.
        """
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if shown := self._token if token is None else token:
            headers["Authorization"] = f"Bearer {shown}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310 (http or https)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s, context=self._trust) as answer:  # noqa: S310
                text = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error) from None
        except (OSError, ValueError) as error:
            raise UnreachableError(str(getattr(error, "reason", error))) from error
        try:
            return json.loads(text) if text else None
        except ValueError:
            raise UnreachableError("the answer is not JSON: this is another server") from None


def token_from_environment() -> str:
    """Return the token of ``LIPSTREAM_TOKEN``: one in the command line would show in the list of processes."""
    return os.environ.get(TOKEN_VARIABLE, "").strip()


def _refusal(error: urllib.error.HTTPError) -> RefusedError:
    try:
        facts = json.loads(error.read())
    except ValueError:
        facts = {}
    inner = facts.get("error") if isinstance(facts, dict) else None
    inner = inner if isinstance(inner, dict) else {}
    message = str(inner.get("message") or f"status {error.code}")
    return RefusedError(message, error.code, str(inner.get("reason") or (facts.get("reason") if facts else "") or ""))
