"""The rooms of LiveKit in which this server's sessions take part."""

import asyncio
import logging

from lipstream.realtime.encoding.encoder_choice import picture_codecs
from lipstream.realtime.errors import BadRequestError, ConflictError, NotFoundError
from lipstream.realtime.log_format import in_session
from lipstream.realtime.rooms.livekit_rtc import livekit_rtc
from lipstream.realtime.rooms.participant import RoomParticipant, RoomPlace
from lipstream.realtime.rooms.publication import PICTURES
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.session.grant import NO_LIMITS, Grant
from lipstream.realtime.session.session import Session
from lipstream.realtime.sinks.stream_address import StreamAddress, StreamConnectionError
from lipstream.realtime.sinks.stream_targets import StreamTargets

logger = logging.getLogger(__name__)

_HTTP = {"ws": "http", "wss": "https"}
_NO_ADDRESS = "a room's server has an address that begins with wss://, or with ws:// on a host of the option push_to"


class Rooms:
    """Begins sessions that take part in rooms, and ends each when its agent is gone."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._staying: set[asyncio.Task[None]] = set()

    async def join(
        self,
        avatar_id: str | None,
        place: RoomPlace,
        *,
        articulation: float | None = None,
        grant: Grant = NO_LIMITS,
    ) -> Session:
        """Begin a session in a room. No session remains if it cannot be joined.

        Raises:
            ConflictError: If LiveKit's client is not installed, or nothing here encodes H.264.
            BadRequestError: If the server may not connect to the address, or the room cannot be joined.
            LipstreamError: For the reasons that :meth:`Sessions.create` gives.
        """
        livekit_rtc()
        if PICTURES not in picture_codecs():
            raise ConflictError("a room needs H.264, which the installed package av does not encode")
        await check_address(place.url, self._sessions.factory.targets)
        session, _ = await self._sessions.create(avatar_id, None, articulation=articulation, grant=grant)
        with in_session(session.id):
            participant = RoomParticipant(session, place)
            try:
                await participant.join()
            except BaseException:
                await self._leave(participant, session)
                raise
            task = asyncio.create_task(self._stay(participant, session), name="room")
        self._staying.add(task)
        task.add_done_callback(self._staying.discard)
        return session

    async def close(self) -> None:
        """Leave all rooms. May be called again."""
        for task in self._staying:
            task.cancel()
        if self._staying:
            await asyncio.wait(self._staying)

    async def _stay(self, participant: RoomParticipant, session: Session) -> None:
        try:
            await participant.stay()
        except Exception:
            logger.exception("the face left its room")
        finally:
            await self._leave(participant, session)

    async def _leave(self, participant: RoomParticipant, session: Session) -> None:
        try:
            await participant.leave()
        finally:
            try:
                await self._sessions.delete(session.id)
            except NotFoundError:  # it has ended already
                await session.close()


async def check_address(url: str, targets: StreamTargets) -> None:
    """Check that the server may connect to an address, by the rules for streams over HTTP.

    LiveKit's client looks the name up once more and may then be led elsewhere, so this keeps mistakes out, not the
    holder of an API key.

    Raises:
        BadRequestError: If it may not.
    """
    scheme, rest = url.partition(":")[::2]
    if scheme not in _HTTP:
        raise BadRequestError(_NO_ADDRESS)
    try:
        address = StreamAddress.parse(f"{_HTTP[scheme]}:{rest}")
        targets.check(address)
        await targets.resolve(address)
    except (StreamConnectionError, BadRequestError) as error:
        raise BadRequestError(_NO_ADDRESS) from error
    except OSError as error:
        raise BadRequestError("the room's server is not found") from error
