"""Addresses of live streams, and the protocol of a connection to one."""

import re
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import SplitResult, parse_qsl, urlsplit

from lipstream.realtime.errors import BadRequestError, LipstreamError
from lipstream.realtime.sinks.flv import Tag

PORTS = {"rtmp": 1935, "rtmps": 443, "srt": 0, "http": 80, "https": 443}
"""Schemes with their ports; ``http`` and ``https`` are WHIP endpoints, and an SRT address names its port."""
LONGEST_ADDRESS = 2000
SRT_OPTIONS = {"latency": int, "passphrase": str, "pbkeylen": int, "streamid": str, "mode": str}
"""Options in an SRT address's query with their types; ``latency`` in milliseconds."""


class StreamConnectionError(LipstreamError):
    """A stream cannot be sent; the message contains neither the key nor the token."""

    code = "stream"


@dataclass(frozen=True, slots=True)
class StreamAddress:
    """Address of a live stream. Path and query hold the key of a channel: they are never shown or logged."""

    parts: SplitResult

    @classmethod
    def parse(cls, url: str) -> "StreamAddress":
        """Return the address of a URL.

        Raises:
            BadRequestError: If the URL cannot be streamed to; the message does not repeat the URL.
        """
        try:
            parts = urlsplit(url.strip())
            reachable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            reachable = False
        if not reachable or parts.scheme not in PORTS or len(url) > LONGEST_ADDRESS or not url.isprintable():
            raise BadRequestError(
                "a stream needs an address that begins with rtmp://, rtmps://, srt:// or https:// (WHIP)"
            )
        if parts.scheme.startswith("rtmp") and not re.fullmatch(r"/[^/].*/[^/]+", parts.path):
            raise BadRequestError("an RTMP address must end with an application and a stream key: rtmp://host/app/key")
        if parts.scheme == "srt":
            _check_srt(parts)
        return cls(parts)

    def __repr__(self) -> str:
        return f"StreamAddress({self})"

    def __str__(self) -> str:
        """Return protocol and host, the parts that may be shown."""
        return f"{self.parts.scheme}://{netloc_of(self.parts.hostname or '', self.parts.port)}"


def netloc_of(host: str, port: int | None) -> str:
    """Return a host and a port as a URL writes them, without the port if it is ``None``."""
    return (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")


def _check_srt(parts: SplitResult) -> None:
    if parts.port is None:
        raise BadRequestError("an SRT address needs a port: srt://host:9000")
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name == "mode" and value != "caller":
            raise BadRequestError("an SRT address must have mode=caller: the other end listens")
        if name not in SRT_OPTIONS:
            raise BadRequestError(f"an SRT address may have only the options {', '.join(SRT_OPTIONS)}")
        if SRT_OPTIONS[name] is int and not re.fullmatch("[0-9]{1,6}", value):
            raise BadRequestError(f"{name} of an SRT address must be a whole number")


class StreamConnection(Protocol):
    """An open connection to a destination."""

    async def send(self, tag: Tag) -> None:
        """Send a tag; wait while the other end is busy.

        Raises:
            StreamConnectionError: If the tag cannot be sent.
            OSError: If the connection broke.
        """

    async def close(self) -> None:
        """End the stream and close the connection."""
