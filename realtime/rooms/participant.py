"""One session as a participant of a room of LiveKit, beside the agent that it speaks for.

The agent sends its sound as byte streams and interrupts by a remote call; it is told by remote calls what was heard.
These are the names and payloads of ``DataStreamAudioOutput`` in livekit-agents.
"""

import asyncio
import json
import logging
from dataclasses import dataclass
from typing import Any

from lipstream.realtime.errors import BadRequestError
from lipstream.realtime.rate_limit import RateLimit
from lipstream.realtime.rooms.agent_voice import AgentVoice
from lipstream.realtime.rooms.incoming_stream import ByteStream
from lipstream.realtime.rooms.livekit_rtc import livekit_rtc
from lipstream.realtime.rooms.publication import Publication
from lipstream.realtime.rooms.utterances import Finished, Started
from lipstream.realtime.session.session import Session
from lipstream.realtime.timeline import SOUND_RATE_HZ
from lipstream.realtime.wire.events import ServerEvent

logger = logging.getLogger(__name__)

STREAM_TOPIC = "lk.audio_stream"
CLEAR, STARTED, FINISHED = "lk.clear_buffer", "lk.playback_started", "lk.playback_finished"
JOIN_S = 10.0
ABSENT_S = 10.0
"""A face without its agent leaves after so long."""
LEAVE_S = 5.0
MESSAGES_BURST, MESSAGES_PER_S = 2000, 200.0
"""What all participants of a room may send the face: each message costs the event loop, which also sends media, and
the room's server does not bound them."""
_MESSAGES = (
    *("data_received", "transcription_received", "sip_dtmf_received"),
    *("participant_name_changed", "participant_metadata_changed", "participant_attributes_changed"),
)
_LOOK_S = 0.1
_TRIES, _AGAIN_S = 3, 0.1
_MOST_REPORTS = 256
"""Reports that may wait for the agent to take them."""


@dataclass(frozen=True, slots=True)
class RoomPlace:
    """Where a face takes part.

    Attributes:
        url: Address of LiveKit's server, ``wss://`` or ``ws://``.
        token: Access token of the face's own participant.
        agent: Identity of the participant that it speaks for.
    """

    url: str
    token: str
    agent: str

    def __repr__(self) -> str:
        return f"RoomPlace(agent={self.agent!r})"


class RoomParticipant:
    """Joins a room, speaks there for an agent, and leaves when the agent or the session is gone."""

    def __init__(self, session: Session, place: RoomPlace) -> None:
        self._session, self._place = session, place
        self._rtc = livekit_rtc()
        self._room = self._rtc.Room()
        self._reports: asyncio.Queue[Started | Finished] = asyncio.Queue(maxsize=_MOST_REPORTS)
        self._voice = AgentVoice(session, self._note)
        self._publication: Publication | None = None
        self._messages, self._is_flooded = RateLimit(MESSAGES_BURST, MESSAGES_PER_S), False
        for event in _MESSAGES:
            self._room.on(event, self._count)
        session.listeners.add(self._ignore)  # the session lives as long as the face takes part

    async def join(self) -> None:
        """Connect to the room.

        Raises:
            BadRequestError: If the server refuses or cannot be reached.
        """
        options = self._rtc.RoomOptions(auto_subscribe=False, connect_timeout=JOIN_S)
        try:
            async with asyncio.timeout(JOIN_S):
                await self._room.connect(self._place.url, self._place.token, options)
        except (self._rtc.ConnectError, TimeoutError) as error:
            raise BadRequestError("the room cannot be joined: its server refuses or is not reached") from error
        self._room.register_byte_stream_handler(STREAM_TOPIC, self._take)
        self._room.local_participant.register_rpc_method(CLEAR, self._clear)

    async def stay(self) -> None:
        """Take part until the agent or the session is gone, another program speaks in the session, or a flood comes."""
        publication = Publication(self._session, self._room)
        async with asyncio.TaskGroup() as group:
            running = [
                group.create_task(work, name=f"room-{name}")
                for name, work in (
                    ("publish", publication.run()),
                    ("voice", self._voice.run()),
                    ("report", self._report()),
                )
            ]
            await self._until_over()
            for task in running:
                task.cancel()

    async def leave(self) -> None:
        """Leave the room. May be called again."""
        self._session.listeners.discard(self._ignore)
        self._voice.close()
        if self._room.isconnected():
            try:
                async with asyncio.timeout(LEAVE_S):
                    await self._room.disconnect()
            except TimeoutError:
                logger.error("the face could not leave its room within %.0f s", LEAVE_S)  # noqa: TRY400 (no trace)

    async def _until_over(self) -> None:
        loop = asyncio.get_running_loop()
        seen_s = loop.time()
        while not self._is_over and loop.time() - seen_s < ABSENT_S:
            if self._room.isconnected() and self._place.agent in self._room.remote_participants:
                seen_s = loop.time()
            await asyncio.sleep(_LOOK_S)

    @property
    def _is_over(self) -> bool:
        return self._session.closed or not self._voice.is_heard or self._is_flooded

    def _count(self, *_: object) -> None:
        """Count a message of any participant."""
        if not self._is_flooded and self._messages.take("", asyncio.get_running_loop().time()):
            logger.warning("the face leaves its room: more than %.0f messages a second come", MESSAGES_PER_S)
            self._is_flooded = True

    def _take(self, stream: ByteStream, identity: str) -> None:
        self._count()
        if identity == self._place.agent:
            self._voice.take(stream)
        else:
            stream.close()

    def _clear(self, call: Any) -> str:
        self._count()
        if call.caller_identity != self._place.agent:
            return "reject"
        self._voice.clear()
        return "ok"

    def _note(self, report: Started | Finished) -> None:
        """Keep a report for the agent; one that takes none loses some."""
        if self._reports.full():
            logger.warning("the agent takes no reports: one is dropped")
        else:
            self._reports.put_nowait(report)

    async def _report(self) -> None:
        """Tell the agent what was heard, one report after the other."""
        while True:
            match await self._reports.get():
                case Started():
                    await self._call(STARTED, "")
                case Finished(samples, interrupted):
                    heard = {"playback_position": samples / SOUND_RATE_HZ, "interrupted": interrupted}
                    await self._call(FINISHED, json.dumps(heard))

    async def _call(self, method: str, payload: str) -> None:
        here = self._room.local_participant
        for _ in range(_TRIES):
            try:
                await here.perform_rpc(destination_identity=self._place.agent, method=method, payload=payload)
            except self._rtc.RpcError as error:
                if error.code == self._rtc.RpcError.ErrorCode.UNSUPPORTED_METHOD:  # it does not want to know
                    return
                logger.warning("the agent did not take %s: %s", method, error.message)
                await asyncio.sleep(_AGAIN_S)
            else:
                return

    def _ignore(self, event: ServerEvent) -> None:
        """Listen to nothing: the agent hears of what it sent by remote calls."""
