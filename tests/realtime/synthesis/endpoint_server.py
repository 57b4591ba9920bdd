"""A stand-in for an OpenAI-compatible speech endpoint, on a real socket."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

RATE_HZ = 24_000


def voice(seconds: float, rate_hz: int = RATE_HZ) -> bytes:
    """Return a buzz that the voice detector takes for speech."""
    at = np.arange(round(rate_hz * seconds)) / rate_hz
    buzz = sum(np.sin(2 * np.pi * 140 * k * at) / k for k in range(1, 20))
    return (5_000 * buzz * (0.5 + 0.5 * np.sin(2 * np.pi * 4 * at))).astype("<i2").tobytes()


@dataclass
class SpeechServer:
    """The stand-in's settings and the requests that it got. A word in the text chooses its behaviour.

    ``refuse``: status 401, the key in its body. ``break``: half a sound, then the connection ends. ``json``: the
    content type of JSON. ``empty``: no sound. ``hang``: nothing after the head. ``drip``: a chunk every 50 ms. Any
    other text: ``body``, or ``seconds`` of a voice, at once. ``moved``: a redirect to the same path with a slash.
    """

    url: str = ""
    seconds: float = 0.5
    body: bytes = b""
    kind: str = "audio/pcm"
    asked: list[dict[str, Any]] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    left_early: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
                body = json.loads(await reader.readexactly(length))
                self.heads.append(head)
                self.asked.append(body)
                if not await self._answer(body["input"], head, writer):
                    break
        writer.close()

    async def _answer(self, text: str, head: str, writer: asyncio.StreamWriter) -> bool:
        if "refuse" in text:
            sent = head.encode()
            writer.write(b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n%b" % (len(sent), sent))
            return True
        if "moved" in text and not head.startswith("post /v1/audio/speech/ "):
            writer.write(b"HTTP/1.1 307 Moved\r\nLocation: /v1/audio/speech/\r\nContent-Length: 0\r\n\r\n")
            return True
        kind = "application/json" if "json" in text else self.kind
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        if "hang" in text:
            await asyncio.sleep(60)
        sound = b"" if "empty" in text else self.body or voice(self.seconds)
        step = 2401 if "drip" in text else 32_001  # not whole samples
        for start in range(0, len(sound), step):
            piece = sound[start : start + step]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            try:
                await writer.drain()
            except ConnectionError:
                self.left_early += 1
                raise
            if "break" in text and start:
                return False
            await asyncio.sleep(0.05 if "drip" in text else 0)
        writer.write(b"0\r\n\r\n")
        return True


@contextlib.asynccontextmanager
async def endpoint(**options: Any) -> AsyncIterator[SpeechServer]:
    """Serve one."""
    stand_in = SpeechServer(**options)
    tasks: set[asyncio.Task[None]] = set()

    def came(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(stand_in.serve(reader, writer)))

    server = await asyncio.start_server(came, "127.0.0.1", 0)
    stand_in.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield stand_in
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
