"""RTMP and RTMPS connections on the event loop."""

import asyncio
import contextlib
import ssl
from collections.abc import Sequence

from lipstream.realtime.sinks.flv import Tag
from lipstream.realtime.sinks.rtmp import RtmpError, RtmpPublisher
from lipstream.realtime.sinks.stream_address import StreamAddress, StreamConnectionError
from lipstream.realtime.sinks.stream_targets import port_of

MOST_UNSENT_BYTES = 64 * 1024
_READ_BYTES = 4096
_READ_BYTES_PER_S = 64 * 1024
"""A server has little to say to a publisher; what it sends faster waits in its own buffers."""
_MOST_BEGINNING_BYTES = 64 * 1024
"""Limit of what a server may say until it accepts the stream."""
_FAREWELL_S = 1.0
_NEXT_HOST_S = 3.0
"""Time for an address to answer before the next one is tried."""


class RtmpLink:
    """A connection to a server that has accepted the stream."""

    def __init__(self, publisher: RtmpPublisher, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._publisher, self._reader, self._writer = publisher, reader, writer
        self._listening: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, address: StreamAddress, hosts: Sequence[str]) -> "RtmpLink":
        """Connect and wait until the server accepts the stream.

        Args:
            hosts: IP addresses of the server; they are tried in order, and no name is looked up.

        Raises:
            StreamConnectionError: If the server refuses.
            OSError: If the server cannot be reached or its certificate is not trusted.
        """
        parts = address.parts
        app, _, key = parts.path.strip("/").rpartition("/")
        publisher = RtmpPublisher(app=app, key=f"{key}?{parts.query}" if parts.query else key, url=f"{address}/{app}")
        trust = await asyncio.to_thread(ssl.create_default_context) if parts.scheme == "rtmps" else None
        reader, writer = await _connect(hosts, port_of(address), trust, parts.hostname)
        writer.transport.set_write_buffer_limits(high=MOST_UNSENT_BYTES)
        link = cls(publisher, reader, writer)
        try:
            await link._begin()
        except BaseException:
            writer.transport.abort()
            raise
        link._listening = asyncio.create_task(link._listen(), name="rtmp")
        return link

    async def send(self, tag: Tag) -> None:
        """Send a tag; wait while the server's window is full.

        Raises:
            StreamConnectionError: If the server ended the stream.
            OSError: If the connection broke.
        """
        if self._listening and self._listening.done():
            self._listening.result()
        self._writer.write(self._publisher.message(tag))
        await self._writer.drain()

    async def close(self) -> None:
        """End the stream and close the connection."""
        if self._listening:
            self._listening.cancel()
            await asyncio.wait([self._listening])
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                self._writer.write(self._publisher.farewell())
                await self._writer.drain()
                self._writer.close()
                await self._writer.wait_closed()
        self._writer.transport.abort()

    async def _begin(self) -> None:
        """Wait until the server has accepted the stream."""
        self._writer.write(self._publisher.begin())
        received = 0
        while self._publisher.state != "published":
            received += await self._take_in()
            if received > _MOST_BEGINNING_BYTES:
                raise StreamConnectionError("the server does not accept the stream")

    async def _listen(self) -> None:
        while True:
            received = await self._take_in()
            await asyncio.sleep(received / _READ_BYTES_PER_S)

    async def _take_in(self) -> int:
        """Take in bytes of the server; return their number."""
        data = await self._reader.read(_READ_BYTES)
        if not data:
            raise StreamConnectionError("the server closed the connection")
        try:
            answer = self._publisher.receive(data)
        except RtmpError as error:
            raise StreamConnectionError(error.message) from error
        if answer:
            self._writer.write(answer)
            await self._writer.drain()  # a server that does not read its answers is not read either
        return len(data)


async def _connect(
    hosts: Sequence[str], port: int, trust: ssl.SSLContext | None, name: str | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the first address that answers; the certificate must be for ``name``."""
    for host in hosts[:-1]:
        with contextlib.suppress(OSError):  # a TimeoutError too
            async with asyncio.timeout(_NEXT_HOST_S):
                return await asyncio.open_connection(host, port, ssl=trust, server_hostname=name if trust else None)
    return await asyncio.open_connection(hosts[-1], port, ssl=trust, server_hostname=name if trust else None)
