"""Stand-ins for speech-to-speech APIs, which speak their published protocols to one client each.

Each answers every turn of a visitor with some seconds of sound, is interrupted when the visitor speaks on, and hangs up
a moment after its last answer. A turn is sound above a threshold.
"""

import asyncio
import base64
import itertools
import json
from abc import abstractmethod
from typing import Any, Self

import numpy as np
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.realtime.speech import voice

RATE = 24_000
ANSWER = np.rint(voice(3.0, RATE) * 32767).astype("<i2").tobytes()
DELTA_BYTES = RATE // 5 * 2
WORDS = ("This", " is", " a", " face.", " It", " speaks.")
LOUD, PAUSE_MS, TURNS = 2_000, 400, 2


class StandInVoice:
    """What the two have in common: turns, and who may connect.

    Attributes:
        sent: Messages of the server, in order.
        got: Messages of the client that hold no sound, in order.
        headers, path: What the client asked with.
        answer: Sound of each answer, s16le, mono, 24 kHz.
    """

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.got: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.path = ""
        self.answer = ANSWER
        self._server: Server | None = None
        self._socket: ServerConnection | None = None
        self._quiet_ms: float | None = None  # since when the visitor is quiet; None before and between turns
        self._turns = 0

    @property
    def address(self) -> str:
        assert self._server
        return f"127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await serve(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()
        await self._server.wait_closed()

    async def send(self, **message: Any) -> None:
        assert self._socket
        self.sent.append(message)
        await self._socket.send(json.dumps(message))

    async def hear(self, pcm: bytes) -> None:
        samples = np.frombuffer(pcm, "<i2").astype(int)
        if np.abs(samples).max(initial=0) > LOUD:
            if self._quiet_ms is None:
                await self.turn_began()
            self._quiet_ms = 0
        elif self._quiet_ms is not None:
            self._quiet_ms += samples.size * 1000 / RATE
            if self._quiet_ms >= PAUSE_MS:
                self._quiet_ms = None
                self._turns += 1
                await self.turn_ended()
                if self._turns == TURNS:
                    asyncio.get_running_loop().call_later(1.0, lambda: asyncio.ensure_future(self._hang_up()))

    async def _hang_up(self) -> None:
        assert self._socket
        await self._socket.close()

    async def _serve(self, socket: ServerConnection) -> None:
        assert socket.request
        self._socket, self.path = socket, socket.request.path
        self.headers = {name.lower(): value for name, value in socket.request.headers.raw_items()}
        try:
            await self.begin()
            async for text in socket:
                await self.take(json.loads(text))
        except ConnectionClosed:
            return

    @abstractmethod
    async def begin(self) -> None:
        """Greet the client."""

    @abstractmethod
    async def take(self, message: dict[str, Any]) -> None:
        """Take a message of the client."""

    @abstractmethod
    async def turn_began(self) -> None:
        """The visitor speaks."""

    @abstractmethod
    async def turn_ended(self) -> None:
        """Answer the visitor."""


class StandInOpenAI(StandInVoice):
    """OpenAI's Realtime API, which finds the turns by itself or is told them.

    Attributes:
        heard: Length of the sound that has come, s.
        calls: Arguments with which its model calls a tool before it answers, where it is offered one; JSON.
    """

    def __init__(self) -> None:
        super().__init__()
        self.heard = 0.0
        self.calls: list[str] = []
        self._numbers = itertools.count(1)
        self._visitor = ""
        self._finds_turns = True

    async def event(self, kind: str, **fields: Any) -> None:
        await self.send(type=kind, event_id=f"event_{next(self._numbers)}", **fields)

    async def begin(self) -> None:
        await self.event("session.created", session={"type": "realtime"})

    async def take(self, message: dict[str, Any]) -> None:
        if message["type"] == "input_audio_buffer.append":
            pcm = base64.b64decode(message["audio"])
            self.heard += len(pcm) / 2 / RATE
            if self._finds_turns:
                await self.hear(pcm)
            return
        self.got.append(message)
        match message["type"]:
            case "session.update":
                self._finds_turns = message["session"]["audio"]["input"]["turn_detection"] is not None
                await self.event("session.updated", session=message["session"])
            case "input_audio_buffer.commit":
                self._visitor = f"item_{next(self._numbers)}"
                await self.event("input_audio_buffer.committed", item_id=self._visitor, previous_item_id=None)
            case "response.create":
                if self.calls and message["response"].get("tools"):
                    await self.call(message["response"]["metadata"], self.calls.pop(0))
                else:
                    await self.respond(message["response"]["metadata"])
            case "conversation.item.delete":
                await self.event("conversation.item.deleted", item_id=message["item_id"])
            case "conversation.item.truncate":
                assert message["audio_end_ms"] <= len(self.answer) * 1000 // (2 * RATE)
                fields = {name: message[name] for name in ("item_id", "content_index", "audio_end_ms")}
                await self.event("conversation.item.truncated", **fields)

    async def turn_began(self) -> None:
        self._visitor = f"item_{next(self._numbers)}"
        await self.event("input_audio_buffer.speech_started", audio_start_ms=0, item_id=self._visitor)

    async def turn_ended(self) -> None:
        await self.event("input_audio_buffer.speech_stopped", audio_end_ms=0, item_id=self._visitor)
        await self.event("input_audio_buffer.committed", item_id=self._visitor, previous_item_id=None)
        await self.respond(None)

    async def call(self, metadata: dict[str, str], arguments: str) -> None:
        """Call the tool that was offered, and say nothing."""
        item, response = f"item_{next(self._numbers)}", f"resp_{next(self._numbers)}"
        about = {"id": response, "object": "realtime.response", "metadata": metadata}
        await self.event("response.created", response={**about, "status": "in_progress"})
        place = {"response_id": response, "item_id": item, "output_index": 0, "call_id": f"call_{response}"}
        await self.event("response.function_call_arguments.done", arguments=arguments, **place)
        await self.event("response.done", response={**about, "status": "completed"})

    async def respond(self, metadata: dict[str, str] | None) -> None:
        """Answer with :data:`WORDS`, each shortly before a part of the sound."""
        item, response = f"item_{next(self._numbers)}", f"resp_{next(self._numbers)}"
        about = {"id": response, "object": "realtime.response", "metadata": metadata}
        await self.event("response.created", response={**about, "status": "in_progress"})
        place = {"response_id": response, "item_id": item, "output_index": 0, "content_index": 0}
        words = [*WORDS]
        for start in range(0, len(self.answer), DELTA_BYTES):
            if words:
                await self.event("response.output_audio_transcript.delta", delta=words.pop(0), **place)
                if not words:
                    await self.event("response.output_audio_transcript.done", transcript="".join(WORDS), **place)
            delta = base64.b64encode(self.answer[start : start + DELTA_BYTES]).decode()
            await self.event("response.output_audio.delta", delta=delta, **place)
        await self.event("response.output_audio.done", **place)
        usage = {"type": "tokens", "input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        await self.event(
            "conversation.item.input_audio_transcription.completed",
            item_id=self._visitor, content_index=0, transcript=" What is this? ", usage=usage,
        )  # fmt: skip
        await self.event("response.done", response={**about, "status": "completed"})


class StandInGemini(StandInVoice):
    """Gemini's Live API."""

    async def begin(self) -> None:
        """Wait for the client's setup."""

    async def take(self, message: dict[str, Any]) -> None:
        if "realtimeInput" in message:
            blob = message["realtimeInput"]["audio"]
            assert blob["mimeType"] == "audio/pcm;rate=24000"
            await self.hear(base64.b64decode(blob["data"]))
            return
        self.got.append(message)
        if "setup" in message:
            await self.send(setupComplete={})

    async def turn_began(self) -> None:
        if self._turns:
            await self.send(serverContent={"interrupted": True})
            await self.send(serverContent={"turnComplete": True})

    async def turn_ended(self) -> None:
        for start in range(0, len(self.answer), DELTA_BYTES):
            data = base64.b64encode(self.answer[start : start + DELTA_BYTES]).decode()
            blob = {"mimeType": "audio/pcm;rate=24000", "data": data}
            await self.send(serverContent={"modelTurn": {"parts": [{"inlineData": blob}]}})
        await self.send(serverContent={"generationComplete": True})
        if self._turns == TURNS:
            await self.send(serverContent={"turnComplete": True})
