"""SRT through a child process: a fault in libsrt cannot harm the server, and no command line shows the address."""

import asyncio
import json
import logging
import sys
from collections.abc import Sequence

from lipstream.realtime.sinks.flv import FILE_HEADER, Tag
from lipstream.realtime.sinks.srt_process import FAILED, LIVE
from lipstream.realtime.sinks.stream_address import StreamAddress, StreamConnectionError, netloc_of
from lipstream.realtime.workers.programs import kill_program

logger = logging.getLogger(__name__)

_FAREWELL_S = 1.0
MOST_UNSENT_BYTES = 64 * 1024


class SrtLink:
    """A connection of the child process, which receives FLV and sends MPEG-TS."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        self._input, self._output = process.stdin, process.stdout

    @classmethod
    async def open(cls, address: StreamAddress, hosts: Sequence[str]) -> "SrtLink":
        """Start the child process and wait until it is connected.

        Args:
            hosts: IP addresses of the other end; the child connects to the first one.

        Raises:
            StreamConnectionError: If the connection fails.
        """
        if ignored := address.ignored_options:
            logger.warning("options of the SRT address %s that have no effect: %s", address, ignored)
        link = cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "lipstream.realtime.sinks.srt_process"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C must reach the server alone, which then ends the stream
            )
        )
        try:
            link._input.transport.set_write_buffer_limits(high=MOST_UNSENT_BYTES)
            url = address.parts._replace(netloc=netloc_of(hosts[0], address.parts.port)).geturl()
            link._input.write(json.dumps(url).encode() + b"\n" + FILE_HEADER)
            await link._hear(LIVE)
        except BaseException:
            await link.close()
            raise
        return link

    async def send(self, tag: Tag) -> None:
        """Send a tag; wait while the child's buffer is full.

        Raises:
            StreamConnectionError: If the connection broke.
        """
        try:
            self._input.write(tag.to_bytes())
            await self._input.drain()
        except OSError:
            await self._hear("")

    async def close(self) -> None:
        """End the input, give the child a second to send the rest, and end it."""
        self._input.close()
        try:
            async with asyncio.timeout(_FAREWELL_S):
                await self._process.wait()
        except TimeoutError:
            kill_program(self._process)
            await self._process.wait()

    async def _hear(self, wanted: str) -> None:
        """Wait for a line from the child.

        Raises:
            StreamConnectionError: If the line is not ``wanted``.
        """
        line = (await self._output.readline()).decode().strip()
        if line != wanted or not line:
            raise StreamConnectionError(line.removeprefix(FAILED) or "the SRT process ended")
