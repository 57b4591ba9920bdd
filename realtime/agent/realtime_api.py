"""An agent behind OpenAI's Realtime API: it hears the visitor's voice itself, and answers in its own.

The server finds the turns, as for any agent, and sends each as a whole. What a visitor interrupted is truncated in the
API's conversation to what was heard, and a turn that was never answered is deleted there.
"""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import numpy.typing as npt
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import WebSocketException

from lipstream.realtime.agent.agent import AgentError, MotionWish, Transcript
from lipstream.realtime.agent.realtime_answer import RATE_HZ, Event, Exchange, SpokenAnswer
from lipstream.realtime.audio.resample import Resampler
from lipstream.realtime.synthesis.synthesizer import SpokenSentence
from lipstream.realtime.timeline import SAMPLE_RATE_HZ
from lipstream.realtime.wire.authorities import authorities
from lipstream.realtime.wire.bounded_connection import BoundedConnect, parse_message

logger = logging.getLogger(__name__)

SILENT_S = 30.0
"""An API that sends nothing for this long, while an answer is awaited, has failed."""
_MOST_BYTES = 16 << 20
"""Limit of an answer with all that the API sends around it."""
_PIECE_BYTES = 2 * RATE_HZ
MOTION_TOOL = "motion"
"""Name of the tool that shows a motion of the avatar."""
Part = Transcript | SpokenSentence | MotionWish
_PCM = {"type": "audio/pcm", "rate": RATE_HZ}


class RealtimeAgent:
    """One conversation, over one connection that is opened for the first turn and again if it is lost.

    Args:
        url: Base URL with the version, ``https://api.openai.com/v1``; ``http`` for a server that needs no encryption.
        voice: Name of a voice; empty for the API's choice.
        key: Bearer token; empty for none.
        prompt: What the model is told of its part.
        transcriber: Model that writes down the visitor's words for captions; empty for no captions of them.
    """

    def __init__(self, url: str, *, model: str, voice: str, key: str, prompt: str, transcriber: str) -> None:
        parts = urlsplit(url)
        scheme = "wss" if parts.scheme == "https" else "ws"
        self._url = f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}/realtime?model={quote(model)}"
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        sound_in: Event = {"format": _PCM, "turn_detection": None}
        if transcriber:
            sound_in["transcription"] = {"model": transcriber}
        sound_out = {"format": _PCM} | ({"voice": voice} if voice else {})
        self._session = {
            "type": "realtime",
            "output_modalities": ["audio"],
            "instructions": prompt,
            "audio": {"input": sound_in, "output": sound_out},
        }
        self._socket: ClientConnection | None = None
        self._last = Exchange()

    async def answer(self, speech: npt.NDArray[np.float32], motions: Sequence[str] = ()) -> AsyncGenerator[Part]:
        """Answer ``float32[n]`` at 16 kHz: yield the transcript, if it comes in time, and the answer by sentences.

        The API's model gets the avatar's motions as a tool.

        Raises:
            AgentError: If the API cannot be reached or fails.
        """
        with _explained():
            socket = await self._ready()
            await self._correct(socket)
            self._last = exchange = Exchange()
            resampler = Resampler(SAMPLE_RATE_HZ, RATE_HZ)
            sound = np.concatenate((resampler.push(speech), resampler.flush()))
            pcm = np.rint(np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes()
            for start in range(0, len(pcm), _PIECE_BYTES):
                piece = base64.b64encode(pcm[start : start + _PIECE_BYTES]).decode()
                await _send(socket, exchange, "input_audio_buffer.append", audio=piece)
            await _send(socket, exchange, "input_audio_buffer.commit")
            await _send(socket, exchange, "response.create", response=_response(exchange, motions))
        parts: asyncio.Queue[Part | None] = asyncio.Queue()
        reading = asyncio.create_task(_read(socket, exchange, parts, motions), name="realtime-api")
        try:
            while (part := await parts.get()) is not None:
                yield part
            await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            if exchange.is_open:
                with suppress(WebSocketException, OSError):
                    await _send(socket, exchange, "response.cancel")

    def note_said(self, text: str) -> None:  # noqa: ARG002 (the API has the words)
        """Take note that some of the last answer was heard."""
        self._last.was_heard = True

    def note_interrupted(self, heard_ms: float) -> None:
        """Take note of how much of the last answer's sound was heard before it was interrupted, ms."""
        self._last.heard_ms = heard_ms

    async def close(self) -> None:
        """Close the connection. May be called again."""
        socket, self._socket = self._socket, None
        if socket:
            await socket.close()

    async def _ready(self) -> ClientConnection:
        if self._socket is None or self._socket.close_code is not None:
            self._last = Exchange()  # a new connection is a new conversation
            tls = authorities() if self._url.startswith("wss") else None
            self._socket = await BoundedConnect(
                self._url, additional_headers=self._headers, ssl=tls, open_timeout=SILENT_S
            )
            await _send(self._socket, self._last, "session.update", session=self._session)
        return self._socket

    async def _correct(self, socket: ClientConnection) -> None:
        """Let the API's conversation hold what the visitor has heard of the last exchange."""
        last = self._last
        if not last.was_heard:
            for item in filter(None, (last.answer, last.question)):
                await _send(socket, last, "conversation.item.delete", item_id=item)
        elif last.answer and last.heard_ms is not None and last.heard_ms < last.sound_ms:
            cut = {"item_id": last.answer, "content_index": 0, "audio_end_ms": int(last.heard_ms)}
            await _send(socket, last, "conversation.item.truncate", **cut)


def _response(exchange: Exchange, motions: Sequence[str]) -> Event:
    """Return what is asked for: an answer to the turn, with a tool that shows motions where there are some."""
    response: Event = {"metadata": {"turn": exchange.name}}
    if motions:
        names = {"type": "string", "enum": list(motions)}
        parameters = {"type": "object", "properties": {"name": names}, "required": ["name"]}
        about = "Moves your head once while you speak. Answer in words as well."
        response["tools"] = [{"type": "function", "name": MOTION_TOOL, "description": about, "parameters": parameters}]
    return response


async def _read(
    socket: ClientConnection,
    exchange: Exchange,
    parts: "asyncio.Queue[Part | None]",
    motions: Sequence[str],
) -> None:
    """Read the API's events until the answer is over.

    Raises:
        AgentError: If the API fails, or says that it does.
    """
    spoken = SpokenAnswer(parts.put_nowait)
    exchange.is_open = True
    try:
        with _explained():
            async with aclosing(_events(socket)) as events:
                async for event in events:
                    exchange.note(event)
                    _say(event, exchange, spoken)
                    for call, wanted in exchange.take_calls():
                        if wanted in motions:
                            parts.put_nowait(MotionWish(wanted))
                        item = {"type": "function_call_output", "call_id": call, "output": "shown"}
                        await _send(socket, exchange, "conversation.item.create", item=item)
                    if exchange.lacks_words():  # the tool alone was called
                        await _send(socket, exchange, "response.create", response=_response(exchange, ()))
                    if transcript := exchange.transcript_in(event):
                        parts.put_nowait(Transcript(exchange.note_words(transcript)))
                    if not exchange.is_open:
                        return
    finally:
        spoken.end()
        parts.put_nowait(None)


def _say(event: Event, exchange: Exchange, spoken: SpokenAnswer) -> None:
    if not exchange.response or event.get("response_id") != exchange.response:
        return
    match event["type"]:
        case "response.output_audio_transcript.delta":
            spoken.write(exchange.note_words(event["delta"]))
        case "response.output_audio_transcript.done":
            spoken.end_words()
        case "response.output_audio.delta":
            pcm = base64.b64decode(event["delta"], validate=True)
            exchange.note_sound(event["item_id"], len(pcm))
            spoken.sound(pcm)


async def _events(socket: ClientConnection) -> AsyncGenerator[Event]:
    """Yield the events of one answer.

    Raises:
        AgentError: If they have no end.
        ValueError: If one is no JSON.
    """
    received = 0
    while True:
        async with asyncio.timeout(SILENT_S):
            message = await socket.recv()
        received += len(message)
        if received > _MOST_BYTES:
            raise AgentError("the realtime API's answer has no end")
        yield parse_message(message)
        await asyncio.sleep(0)  # many may have come at once, and the event loop also sends media


async def _send(socket: ClientConnection, about: Exchange, kind: str, **fields: Any) -> None:
    """Send an event with an id by which an error names the turn that it is about."""
    await socket.send(json.dumps({"type": kind, "event_id": f"{about.name}-{kind}", **fields}))


@contextmanager
def _explained() -> Iterator[None]:
    """Turn any failure of the API into an AgentError with one sentence.

    Raises:
        AgentError: If the block fails.
    """
    try:
        yield
    except TimeoutError as error:
        raise AgentError(f"the realtime API was silent for {SILENT_S:.0f} s") from error
    except WebSocketException as error:
        logger.warning("the realtime API refused or broke off: %s", type(error).__name__)
        raise AgentError("the realtime API refused or broke off") from error
    except OSError as error:
        raise AgentError("the realtime API cannot be reached") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AgentError("the realtime API sent an event that its reference does not allow") from error
