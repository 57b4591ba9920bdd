"""Addresses of live streams, and the protocol of a connection to one."""

import re
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from lipstream.realtime.errors import BadRequestError, LipstreamError
from lipstream.realtime.sinks.flv import Tag

PORTS = {"rtmp": 1935, "rtmps": 443, "srt": 0, "http": 80, "https": 443}
"""Schemes with their ports; ``http`` and ``https`` are WHIP endpoints, and an SRT address names its port."""
LONGEST_ADDRESS = 2000
SRT_OPTIONS = {
    "latency": int,
    "rcvlatency": int,
    "peerlatency": int,
    "conntimeo": int,
    "passphrase": str,
    "pbkeylen": int,
    "streamid": str,
    "mode": str,
    "transtype": str,
}
"""Options in an SRT address's query with their types; times in milliseconds."""
_SRT_OPTIONS_OF_OTHERS = frozenset(
    "adapter congestion connect_timeout enforced_encryption ffs groupconnect inputbw iptos ipttl kmpreannounce "
    "kmrefreshrate linger listen_timeout lossmaxttl maxbw messageapi minversion mss nakreport oheadbw packetfilter "
    "payload_size payloadsize pkt_size port recv_buffer_size retransmitalgo sndbuf rcvbuf send_buffer_size sndsyn "
    "rcvsyn smoother snddropdelay timeout tlpktdrop tsbpd tsbpdmode".split()
)
"""Options that other programs write into addresses, which are not needed here: the names may be shown."""


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
            parts = urlsplit(url.strip(), allow_fragments=False)  # "#" may stand in a key, and begins SRT's stream ids
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

    @property
    def ignored_options(self) -> str:
        """Options of an SRT address that have no effect, in words that may be shown; empty if there are none."""
        names = [name for name, _ in srt_options(self.parts.query) if name not in SRT_OPTIONS]
        if self.parts.scheme != "srt" or not names:
            return ""
        known = sorted(set(names) & _SRT_OPTIONS_OF_OTHERS)
        unknown = sum(name not in _SRT_OPTIONS_OF_OTHERS for name in names)
        return ", ".join(known + ([f"{unknown} unknown"] if unknown else []))

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
    for name, value in srt_options(parts.query):
        if name == "mode" and value != "caller":
            raise BadRequestError("an SRT address must have mode=caller: the other end listens")
        if name == "transtype" and value != "live":
            raise BadRequestError("an SRT address must have transtype=live: no file is sent")
        if SRT_OPTIONS.get(name) is int and not re.fullmatch("[0-9]{1,6}", value):
            raise BadRequestError(f"{name} of an SRT address must be a whole number")


def srt_options(query: str) -> list[tuple[str, str]]:
    """Return the options of an SRT address in order, percent-decoded. A plus sign is no blank: it stands in keys."""
    pairs = (part.partition("=") for part in query.split("&") if part)
    return [(unquote(name).lower(), unquote(value)) for name, _, value in pairs]


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
