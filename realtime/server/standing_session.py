"""A session that the server keeps for itself: for streams to other servers, virtual devices, and scripts."""

import asyncio
import logging

from lipstream.realtime.errors import LipstreamError
from lipstream.realtime.log_format import in_session
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.session.script import read_script
from lipstream.realtime.session.session import Session
from lipstream.realtime.sinks.virtual_camera import pyvirtualcam
from lipstream.realtime.sinks.virtual_microphone import check_programs

logger = logging.getLogger(__name__)

_LOOK_S = 1.0


class StandingSession:
    """Begins the session, and begins another one when it ends.

    A session with a virtual camera or microphone also gets this machine's microphone and loudspeaker, if the settings
    name them.

    Raises:
        SettingsError: If a program or library for a virtual device is missing, or the script cannot be read.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._settings = settings = sessions.settings
        self._urls = settings.push
        if settings.virtual_camera:
            pyvirtualcam()
        if settings.virtual_microphone:
            check_programs()
        self._script = read_script(settings.script) if settings.script else []
        self._is_local = bool(settings.virtual_camera) or settings.virtual_microphone

    async def run(self) -> None:
        """Keep the session until cancelled; end it when the server is about to stop."""
        session: Session | None = None
        while self._urls or self._is_local or self._script:
            if self._sessions.draining:
                if session and not session.closed:
                    await self._sessions.delete(session.id)
                return
            if session is None or session.closed:
                session = await self._begin()
            await asyncio.sleep(_LOOK_S)

    async def _begin(self) -> Session | None:
        if self._sessions.unready_reason():
            return None
        try:
            local_audio = self._is_local and bool(self._sessions.local_audio.wanted)
            session, _ = await self._sessions.create(None, None, local_audio=local_audio)
            facts = await self._sessions.facts(session.id)
            with in_session(session.id):
                for url in self._urls:
                    session.sinks.streams.add(url, facts)
                if self._settings.virtual_camera:
                    session.sinks.open_camera(self._settings.virtual_camera)
                if self._settings.virtual_microphone:
                    session.sinks.open_microphone()
                if self._script:
                    session.speech.text_queue.read(self._script, repeats=True)
                logger.info("this is the server's standing session")
        except LipstreamError as error:
            logger.warning("the standing session cannot begin: %s", error.message)
            return None
        return session
