"""Endpoints of the settings that answer without an end: each answer is left early and becomes one sentence."""

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable

import numpy as np
import pytest

from lipstream.realtime.agent.agent import AgentError
from lipstream.realtime.agent.endpoints import Chat, Transcriber
from lipstream.realtime.synthesis.endpoint import SpeechEndpoint
from lipstream.realtime.synthesis.synthesizer import SynthesisError

PACKED = gzip.compress(bytes(4 << 20))
MOST_SENT = 64 << 20
"""What a socket's buffers may hold of an answer that nobody reads, and more."""


class EndlessServer:
    """Answers each request with a head and the same piece again and again."""

    def __init__(self, head: str, piece: bytes) -> None:
        self._head = f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode()
        self._piece, self.sent, self.url = piece, 0, ""
        self.heads: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            self.heads.append((await reader.readuntil(b"\r\n\r\n")).lower())
            writer.write(self._head)
            while True:
                writer.write(self._piece)
                await writer.drain()
                self.sent += len(self._piece)
        writer.transport.abort()


@contextlib.asynccontextmanager
async def endless(head: str, piece: bytes) -> AsyncIterator[EndlessServer]:
    server = EndlessServer(head, piece)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    try:
        yield server
    finally:
        listening.close()


async def transcribe(url: str) -> None:
    transcriber = Transcriber(url, model="m")
    try:
        await transcriber.transcribe(np.zeros(1600, np.float32))
    finally:
        await transcriber.close()


async def chat(url: str) -> None:
    answers = Chat(url, model="m")
    try:
        async for _ in answers.stream([{"role": "user", "content": "Hello?"}]):
            pass
    finally:
        await answers.close()


async def speak(url: str) -> None:
    speech = SpeechEndpoint(url, voice="v", model="m", response_format="pcm")
    try:
        async for _ in speech.speak("Hello."):
            pass
    finally:
        await speech.close()


@pytest.mark.parametrize(
    ("ask", "piece"),
    [
        (transcribe, b"x" * 65536),
        (chat, b"x" * 65536),
        (chat, b": a comment\n" * 5000),
        (chat, b"data: {}\n\n" * 5000),
        (speak, b"x" * 65536),
    ],
    ids=["transcript", "line of a chat", "comments", "empty answers", "sound"],
)
async def test_an_answer_without_an_end_is_left(ask: Callable[[str], Awaitable[None]], piece: bytes) -> None:
    async with endless("Content-Type: audio/pcm", piece) as server:
        with pytest.raises((AgentError, SynthesisError), match=r"an answer that its API|an answer that is too long"):
            await ask(server.url)
        assert server.sent < MOST_SENT
        assert b"accept-encoding: identity\r\n" in server.heads[0]


@pytest.mark.parametrize("ask", [transcribe, chat, speak])
async def test_a_compressed_answer_is_not_unpacked(ask: Callable[[str], Awaitable[None]]) -> None:
    async with endless("Content-Type: audio/pcm\r\nContent-Encoding: gzip", PACKED) as server:
        with pytest.raises((AgentError, SynthesisError), match=r"an answer that its API|compresses its answer"):
            await ask(server.url)


async def test_deeply_nested_json_is_one_sentence_too() -> None:
    async with endless("", b"data: " + b"[" * 100_000 + b"\n") as server:
        with pytest.raises(AgentError, match="an answer that its API does not allow"):
            await chat(server.url)


@pytest.mark.parametrize("ask", [transcribe, chat, speak])
async def test_a_redirect_to_another_origin_is_not_followed(ask: Callable[[str], Awaitable[None]]) -> None:
    async with endless("", bytes(65536)) as elsewhere, endless("", bytes(65536)) as server:
        server._head = f"HTTP/1.1 307 Go\r\nLocation: {elsewhere.url}\r\nContent-Length: 0\r\n\r\n".encode()
        with pytest.raises((AgentError, SynthesisError), match="broke off"):
            await ask(server.url)
        assert server.heads
        assert not elsewhere.heads
