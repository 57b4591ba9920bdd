"""``WS /api/sessions/{id}/audio``: a program speaks through a session.

Binary frames are s16le mono at the rate that ``?rate=`` names, cut anywhere. Text frames are JSON.
In: the messages of `realtime.wire.control_messages`. Out: the events of `realtime.wire.events`, with those that only a
program is told.
"""

import asyncio
import contextlib
import json
import logging
import weakref

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from lipstream.realtime.api.authorization import socket_owner
from lipstream.realtime.api.program_sound import BASE64_REFUSED, ProgramSound, holds_base64, parse_rate
from lipstream.realtime.audio.pcm_queue import PcmQueue
from lipstream.realtime.errors import BadRequestError, LipstreamError
from lipstream.realtime.session.read_waits import ReadWaits
from lipstream.realtime.session.session import Session
from lipstream.realtime.timeline import SOUND_RATE_HZ
from lipstream.realtime.wire.control_messages import parse_control
from lipstream.realtime.wire.events import (
    CreditEvent,
    PlayoutEvent,
    ProgramEvent,
    ServerEvent,
    WarningEvent,
    error_event,
)

PROTOCOL = "lipstream.v1"
REPORT_S = 0.1
MOST_EVENTS = 256
"""Events that may wait for a program that does not read; more end its connection."""
DEFAULT_RATE_HZ = 16_000
_GOING_AWAY, _POLICY, _FAILED, _BAD_REQUEST, _TAKEN_OVER = 1001, 1008, 1011, 4400, 4409

logger = logging.getLogger(__name__)

sockets = APIRouter()
_speakers: "weakref.WeakSet[_ProgramSocket]" = weakref.WeakSet()


@sockets.websocket("/api/sessions/{session_id}/audio")
async def audio(socket: WebSocket, session_id: str, rate: str = str(DEFAULT_RATE_HZ)) -> None:
    """Take a program's sound until it hangs up, the session ends, or another program takes over."""
    offered = socket.scope.get("subprotocols", [])
    chosen = PROTOCOL if PROTOCOL in offered else None
    try:
        session = await socket_owner(session_id, socket)
    except LipstreamError as error:
        await socket.close(_POLICY, error.message)
        return
    await socket.accept(chosen)
    try:
        source = session.speech.take_program(parse_rate(rate))
    except BadRequestError as error:
        await socket.close(_BAD_REQUEST, error.message)  # a refusal before the handshake would look like a wrong token
        return
    await _ProgramSocket(socket, session, source).serve()


def deepest_queue() -> int:
    """Return how many events wait for the program that is furthest behind."""
    return max((speaker.events_waiting for speaker in _speakers), default=0)


class _ProgramSocket:
    """One program at one session."""

    def __init__(self, socket: WebSocket, session: Session, source: PcmQueue) -> None:
        self._socket, self._session, self._source = socket, session, source
        self._events: asyncio.Queue[ServerEvent | ProgramEvent] = asyncio.Queue(MOST_EVENTS)
        self._over = asyncio.Event()
        self._reads = ReadWaits()
        source.on_read = self._reads.check
        self._sound = ProgramSound(source)
        self._received = 0  # bytes of sound
        self._code = _GOING_AWAY
        _speakers.add(self)

    @property
    def events_waiting(self) -> int:
        """Events that the program has not read."""
        return self._events.qsize()

    async def serve(self) -> None:
        """Serve until it is over, however that comes."""
        session = self._session
        session.listeners.add(self._tell)
        tasks = [
            asyncio.create_task(work(), name=f"audio-socket-{name}")
            for name, work in (("listen", self._listen), ("send", self._send), ("report", self._report))
        ]
        try:
            over = asyncio.create_task(self._over.wait(), name="audio-socket-over")
            await asyncio.wait([*tasks, over], return_when=asyncio.FIRST_COMPLETED)
            over.cancel()
            self._explain(tasks)
        finally:
            session.listeners.discard(self._tell)
            session.speech.drop_program(self._source)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it has hung up already
                await self._socket.close(self._code)

    def _explain(self, tasks: list[asyncio.Task[None]]) -> None:
        """Say in the log, and by the code of the end, that a task failed rather than ended."""
        for task in tasks:
            if task.done() and not task.cancelled() and (error := task.exception()):
                logger.error("%s failed", task.get_name(), exc_info=error)
                self._code = _FAILED

    def _tell(self, event: ServerEvent | ProgramEvent) -> None:
        try:
            self._events.put_nowait(event)
        except asyncio.QueueFull:
            self._over.set()

    async def _listen(self) -> None:
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                if (pcm := message.get("bytes")) is not None:
                    self._hear(pcm)
                    self._received += len(pcm)
                    await self._room()
                else:
                    self._control(message.get("text") or "")

    def _hear(self, pcm: bytes) -> None:
        try:
            if warning := self._sound.push(pcm):
                self._tell(WarningEvent(type="warning", message=warning))
        except BadRequestError as error:
            self._tell(error_event(error.message))

    async def _room(self) -> None:
        """Wait until more may come: what is not read waits with the program."""
        await self._reads.until(lambda: self._source.room_bytes > 0)

    def _control(self, text: str) -> None:
        try:
            message = parse_control(text)
            if message["type"] == "end_of_speech":
                self._sound.end()
            self._session.handle(message, program=self._source)
        except LipstreamError as error:
            self._tell(error_event(BASE64_REFUSED if holds_base64(text) else error.message))

    async def _send(self) -> None:
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await self._socket.send_text(json.dumps(await self._events.get()))

    async def _report(self) -> None:
        """Say how far it is; notice that the session ended, or that another program took over."""
        loop = asyncio.get_running_loop()
        told: tuple[int, float] | None = None  # credit, ms heard
        while not self._session.closed:
            if self._session.speech.source is not self._source:
                self._code = _TAKEN_OVER
                return
            now_s = loop.time()
            state = (self._received + self._source.room_bytes, self._session.speech.heard_ms(now_s))
            if told is None or state[0] != told[0]:
                self._tell(CreditEvent(type="credit", until=state[0]))
            if told is not None and state[1] != told[1]:
                queued_ms = round(self._source.level * 1000 / SOUND_RATE_HZ, 1)
                left, heard_ms = self._session.clock.left(now_s), round(state[1], 1)
                self._tell(PlayoutEvent(type="playout", sample=left, heard_ms=heard_ms, queued_ms=queued_ms))
            told = state
            await asyncio.sleep(REPORT_S)
