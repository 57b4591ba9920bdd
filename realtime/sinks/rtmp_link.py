"""RTMP and RTMPS connections on the event loop."""

import asyncio
import contextlib
import ssl

from lipstream.realtime.sinks.flv import Tag
from lipstream.realtime.sinks.rtmp import RtmpError, RtmpPublisher
from lipstream.realtime.sinks.stream_address import StreamAddress, StreamConnectionError

PORT, TLS_PORT = 1935, 443
MOST_UNSENT_BYTES = 64 * 1024
_READ_BYTES = 65536
_FAREWELL_S = 1.0


class RtmpLink:
    """A connection to a server that has accepted the stream."""

    def __init__(self, publisher: RtmpPublisher, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._publisher, self._reader, self._writer = publisher, reader, writer
        self._listening: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, address: StreamAddress) -> "RtmpLink":
        """Connect and wait until the server accepts the stream.

        Raises:
            StreamConnectionError: If the server refuses.
            OSError: If the server cannot be reached or its certificate is not trusted.
        """
        parts = address.parts
        app, _, key = parts.path.strip("/").rpartition("/")
        publisher = RtmpPublisher(app=app, key=f"{key}?{parts.query}" if parts.query else key, url=f"{address}/{app}")
        trust = ssl.create_default_context() if parts.scheme == "rtmps" else None
        port = parts.port or (TLS_PORT if trust else PORT)
        reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=trust)
        writer.transport.set_write_buffer_limits(high=MOST_UNSENT_BYTES)
        link = cls(publisher, reader, writer)
        try:
            writer.write(publisher.begin())
            while publisher.state != "published":
                await link._take_in()
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

    async def _listen(self) -> None:
        while True:
            await self._take_in()

    async def _take_in(self) -> None:
        data = await self._reader.read(_READ_BYTES)
        if not data:
            raise StreamConnectionError("the server closed the connection")
        try:
            answer = self._publisher.receive(data)
        except RtmpError as error:
            raise StreamConnectionError(error.message) from error
        if answer:
            self._writer.write(answer)
