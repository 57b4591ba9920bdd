"""A session of the server's own, streamed to the addresses that its settings name for as long as it serves."""

import asyncio
import logging

from realtime.errors import LipstreamError, SettingsError
from realtime.log_lines import in_session
from realtime.session import Session
from realtime.sessions import Sessions
from realtime.sinks.link import Address

log = logging.getLogger(__name__)

_LOOK_S = 1.0


class Channel:
    """Begins the session, and another when it ends by a fault.

    Args:
        sessions: The server's; their settings name the addresses.

    Raises:
        SettingsError: If nothing can be streamed to one of them; the message does not repeat it.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._urls = sessions.settings.push
        for place, url in enumerate(self._urls, 1):
            try:
                Address.parse(url)
            except LipstreamError as error:
                raise SettingsError(f"push, address {place}: {error.message}") from error

    async def run(self) -> None:
        """Stream until cancelled; the session makes way when the server is about to stop."""
        session: Session | None = None
        while self._urls:
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
            session, _ = await self._sessions.create(None, None)
            facts = await self._sessions.facts(session.id)
            with in_session(session.id):
                for url in self._urls:
                    session.sinks.streams.add(url, facts)
                log.info("the channel is this session")
        except LipstreamError as error:
            log.warning("the channel does not begin: %s", error.message)
            return None
        return session
