"""SRT by way of a child process: what is not ours runs outside the server, and no command line holds the address."""

import asyncio
import contextlib
import json
import sys

from lipstream.realtime.sinks.flv import FILE_HEADER, Tag
from lipstream.realtime.sinks.srt_process import FAILED, LIVE
from lipstream.realtime.sinks.stream_address import StreamAddress, StreamConnectionError

_FAREWELL_S = 1.0
MOST_UNSENT_BYTES = 64 * 1024


class SrtLink:
    """A connection that the child has opened. It gets FLV, and sends MPEG-TS."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        self._input, self._output = process.stdin, process.stdout

    @classmethod
    async def open(cls, address: StreamAddress) -> "SrtLink":
        """Start the child, and wait until it is connected.

        Raises:
            StreamConnectionError: If it does not come about.
        """
        link = cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "lipstream.realtime.sinks.srt_process"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,  # a Ctrl-C is for the server, which says farewell
            )
        )
        try:
            link._input.transport.set_write_buffer_limits(high=MOST_UNSENT_BYTES)
            link._input.write(json.dumps(address.parts.geturl()).encode() + b"\n" + FILE_HEADER)
            await link._hear(LIVE)
        except BaseException:
            await link.close()
            raise
        return link

    async def send(self, tag: Tag) -> None:
        """Send a tag; wait while the child takes no more.

        Raises:
            StreamConnectionError: If the connection broke.
        """
        try:
            self._input.write(tag.to_bytes())
            await self._input.drain()
        except OSError:
            await self._hear("")

    async def close(self) -> None:
        """Let the child send what it has, and end it."""
        self._input.close()
        try:
            async with asyncio.timeout(_FAREWELL_S):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def _hear(self, wanted: str) -> None:
        """Wait for a line of the child's.

        Raises:
            StreamConnectionError: If it is another one.
        """
        line = (await self._output.readline()).decode().strip()
        if line != wanted or not line:
            raise StreamConnectionError(line.removeprefix(FAILED) or "the SRT process ended")
