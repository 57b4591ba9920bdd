"""The HTTP side of publishing by WHIP: one offer, one answer, one resource that is deleted in the end.

The other end may be anybody. The client connects to the addresses that were checked and to no other one, follows no
redirect to another origin, and reads a bounded answer.
"""

import contextlib
import ssl
from collections.abc import Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import httpx

from lipstream.realtime.sinks.destination import CONNECT_S
from lipstream.realtime.sinks.stream_address import StreamAddress, StreamConnectionError, netloc_of
from lipstream.realtime.wire.answer_body import UNCOMPRESSED, AnswerBodyError, read_body

MOST_BYTES = 64 * 1024
"""Largest answer."""
MOST_REDIRECTS = 3
_FAREWELL_S = 1.0
_REDIRECTS = (HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT)
"""Redirects that keep the method."""


class WhipClient:
    """One publication. A user name in the address is sent as the bearer token.

    Args:
        hosts: IP addresses of the server; they are tried in order, and no name is looked up.
        trust: Authorities that may certify the server.
    """

    def __init__(self, address: StreamAddress, hosts: Sequence[str], trust: ssl.SSLContext) -> None:
        parts = address.parts
        self._host = netloc_of(parts.hostname or "", parts.port)
        self._url = parts._replace(netloc=self._host, fragment="").geturl()
        self._hosts = list(hosts)
        self._resource = ""
        headers = {"Host": self._host, **UNCOMPRESSED}
        if parts.username:
            headers["Authorization"] = f"Bearer {parts.username}"
        self._client = httpx.AsyncClient(
            timeout=CONNECT_S, headers=headers, verify=trust, trust_env=False, follow_redirects=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def publish(self, offer: str) -> str:
        """Return the server's answer to an offer.

        Raises:
            StreamConnectionError: If the server refuses, cannot be reached, or answers in another way than WHIP allows.
        """
        try:
            while True:
                try:
                    return await self._post(offer)
                except httpx.ConnectError:
                    if len(self._hosts) == 1:
                        raise
                    del self._hosts[0]
        except httpx.TimeoutException as error:
            raise StreamConnectionError("no answer in time") from error
        except AnswerBodyError as error:
            raise StreamConnectionError(f"the server {error}") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise StreamConnectionError("the server cannot be reached") from error

    async def leave(self) -> None:
        """Delete the resource, if there is one."""
        resource, self._resource = self._resource, ""
        if resource:
            with contextlib.suppress(httpx.HTTPError, httpx.InvalidURL):
                async with self._request("DELETE", resource, timeout=_FAREWELL_S):
                    return

    async def _post(self, offer: str) -> str:
        url = self._url
        for _ in range(MOST_REDIRECTS + 1):
            post = self._request("POST", url, content=offer, headers={"Content-Type": "application/sdp"})
            async with post as reply:
                location = _own_location(url, reply.headers.get("location", ""))
                if reply.status_code == HTTPStatus.CREATED:
                    self._resource = location
                    return (await read_body(reply, MOST_BYTES)).decode(errors="replace")
                if reply.status_code not in _REDIRECTS:
                    raise StreamConnectionError(f"the server refuses with status {reply.status_code}")
                if not location:
                    raise StreamConnectionError("the server redirects to another address")
                url = location
        raise StreamConnectionError("the server redirects too often")

    def _request(self, method: str, url: str, **more: Any) -> contextlib.AbstractAsyncContextManager[httpx.Response]:
        """Return a request to the first of the addresses; the certificate must be for the name in the URL."""
        parts = urlsplit(url)
        there = parts._replace(netloc=netloc_of(self._hosts[0], parts.port)).geturl()
        return self._client.stream(method, there, extensions={"sni_hostname": parts.hostname or ""}, **more)


def _own_location(url: str, location: str) -> str:
    """Return the URL that a server at ``url`` names; empty if it names none, itself or one of another origin."""
    try:
        named = urlsplit(urljoin(url, location))
        own = named[:2] == urlsplit(url)[:2]
    except ValueError:
        return ""
    named = named._replace(fragment="")
    return named.geturl() if own and named.geturl() != url else ""
