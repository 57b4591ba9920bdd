"""All sessions of a server: creation, the workers, the wait for lost clients, limits, and the end."""

import asyncio
import gc
import logging
import secrets
from collections.abc import Awaitable

from lipstream.realtime.errors import (
    ConflictError,
    ForbiddenError,
    UnavailableError,
    UnreadyReason,
    found,
)
from lipstream.realtime.local_audio.local_audio import LocalAudio
from lipstream.realtime.log_format import in_session
from lipstream.realtime.picture.provenance import provenance
from lipstream.realtime.server.audit import audit
from lipstream.realtime.server.ended_sessions import EndedSessions
from lipstream.realtime.server.load import ServerLoad
from lipstream.realtime.server.rendering import Rendering
from lipstream.realtime.server.session_factory import IN_TIME_S, SessionFactory
from lipstream.realtime.server.ticker import Ticker
from lipstream.realtime.session.cluster_secret import ClusterSecret
from lipstream.realtime.session.grant import NO_LIMITS, Grant
from lipstream.realtime.session.session import Session
from lipstream.realtime.session.session_names import SessionNames
from lipstream.realtime.settings import Settings
from lipstream.realtime.workers.picture_client import PictureWorkers
from lipstream.realtime.workers.render_worker import WorkerSettings

logger = logging.getLogger(__name__)

WAITING_S = 60.0
"""A session that lost its last client waits this long for its owner to come back."""
UNCLAIMED_S = 10.0
"""A new session waits this long for its first client."""
_REAP_S = 1.0
_REHEARSE_AFTER_S = 1.0
"""A call is rehearsed so long after the start, unless a session has begun by then: a first call interrupts no other."""


class Sessions:
    """The sessions of one server, and the workers that draw for all of them.

    Args:
        worker_settings: Settings of the render workers; ``None`` derives them from ``settings``.
        rendering: What draws for the sessions, which end it; ``None`` for one of their own.

    Raises:
        SettingsError: If the TURN or cluster secret cannot be read, a configured engine or PortAudio is missing, or an
            address of ``push`` cannot be streamed to; the message does not repeat the address, which may hold a key.
    """

    def __init__(
        self,
        settings: Settings,
        worker_settings: WorkerSettings | None = None,
        *,
        rendering: Rendering | None = None,
    ) -> None:
        self.settings = settings
        self.rendering = rendering or Rendering(settings, worker_settings)
        self.store, self.worker_settings = self.rendering.store, self.rendering.worker_settings
        self.meters, self.admission = self.rendering.meters, self.rendering.admission
        self.workers, self.avatars = self.rendering.workers, self.rendering.avatars
        self.pictures = PictureWorkers(self.store.root.absolute(), settings.picture_workers)
        self._cost = ServerLoad()
        self.draining = False
        self.created = 0
        self.factory = SessionFactory(settings, self.meters, self.pictures.open)
        secret = ClusterSecret.read(settings.cluster_secret_file) if settings.cluster_secret_file else None
        self.names = SessionNames(secret)
        self.local_audio = LocalAudio(settings.local_microphone, settings.local_speaker)
        self._sessions: dict[str, Session] = {}
        self._ended = EndedSessions(is_idle=lambda: not self._sessions)
        self.ticker = Ticker(self._sessions.values, self.workers.flush, self.meters)
        self._reaper: asyncio.Task[None] | None = None
        self._rehearsal: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the workers, prepare the avatar to begin with, and begin to tick.

        Raises:
            SettingsError: If there is no such avatar as the settings name, no worker starts because of its settings, or
                the weights have no articulation and the settings name one.
            UnavailableError: If no worker starts for another reason, or no avatar is usable.
        """
        metadata = await self.rendering.start()
        self.factory.use_weights(metadata)
        self.pictures.start(metadata.decoded_region, self.workers.pixel_bytes)  # in the background
        if self._keeps_session:
            await self._rehearse()  # later it would interrupt that session
        self.local_audio.start()
        self._reaper = asyncio.create_task(self._reap(), name="reap")
        self._rehearsal = asyncio.create_task(self._rehearse_later(), name="rehearse")
        self.ticker.start()
        self.avatars.renew(self.shows)
        used_mb = await asyncio.to_thread(self.store.used_bytes) / 1e6
        logger.info("the store %s holds %.0f MB", self.store.root, used_mb)
        gc.collect()
        gc.freeze()  # otherwise a full collection visits all imported objects: 80 ms without media

    @property
    def _keeps_session(self) -> bool:
        """Whether the server begins a session of its own (`standing_session.py`)."""
        settings = self.settings
        return bool(settings.push or settings.script or settings.virtual_camera or settings.virtual_microphone)

    async def _rehearse(self) -> None:
        await self.factory.rehearse(await self.avatars.get(self.avatars.first), self.workers.members[0])

    async def _rehearse_later(self) -> None:
        await asyncio.sleep(_REHEARSE_AFTER_S)
        if not (self._keeps_session or self.created):
            await self._rehearse()

    async def close(self) -> None:
        """End all sessions, then the workers. May be called again."""
        self.ticker.stop()
        if running := [task for task in (self._reaper, self._rehearsal) if task]:
            for task in running:
                task.cancel()
            await asyncio.wait(running)
        self._reaper = self._rehearsal = None
        await self.avatars.close()
        for session in self.all():
            self._end(session, "shutdown")
        await self._ended.wait()
        await self.local_audio.close()
        await self.factory.close()
        await self.pictures.close()
        await self.rendering.close()
        gc.unfreeze()

    def all(self) -> list[Session]:
        """Return all sessions, including waiting ones, oldest first."""
        return list(self._sessions.values())

    def being_recorded(self) -> set[str]:
        """Return the names of recordings that are being written, without suffix; also those of ending sessions."""
        sinks = [session.sinks for session in (*self._sessions.values(), *self._ended)]
        return {one.recording.path.stem for one in sinks if one.is_recorded}

    @property
    def count(self) -> int:
        """Number of sessions, including waiting ones and those that have ended and are not gone yet."""
        return len(self._sessions) + sum(1 for _ in self._ended)

    @property
    def live(self) -> int:
        """Number of sessions with a connected client or program."""
        return sum(session.state != "waiting" for session in self._sessions.values())

    def _is_full(self, mouth_px: float | None = None) -> bool:
        """Return whether there is no room for a session with a mouth of this size; ``None`` for the usual one."""
        return self.count >= self.settings.max_sessions or not self.admission.admits(self.count, mouth_px)

    @property
    def capacity(self) -> int:
        """Number of sessions that there is room for in all, as far as the costs are known."""
        return min(self.settings.max_sessions, self.admission.possible)

    def unready_reason(self) -> UnreadyReason | None:
        """Return why no session can begin now: ``draining``, ``warming``, ``renderer`` or ``full``; else ``None``."""
        if self.draining:
            return "draining"
        if self._reaper is None:
            return "warming"
        if not self.workers.usable:
            return "renderer"
        return "full" if self._is_full() and self._oldest_waiting() is None else None

    async def create(
        self,
        avatar_id: str | None,
        offer_sdp: str | None,
        *,
        listens: bool = False,
        local_audio: bool = False,
        articulation: float | None = None,
        grant: Grant = NO_LIMITS,
        continues: tuple[str, str] | None = None,
    ) -> tuple[Session, str | None]:
        """Begin a session, and answer its offer if there is one. No session remains if either fails.

        Args:
            avatar_id: Avatar to show; ``None`` for the one in the settings, or else the first.
            offer_sdp: Offer of the session's peer; ``None`` if it comes later.
            listens: Whether the session listens to the microphone instead of speaking its sound; default false.
            local_audio: Whether the session gets this machine's microphone and loudspeaker; default false.
            articulation: How far the mouth goes, 0.5 to 1.5 of what was heard; ``None`` for that of the settings.
            grant: Who begins the session and what it may do; default: no limits.
            continues: Id and token of a lost session of the cluster, whose name and tokens it keeps; ``None`` for none.

        Returns:
            The session, and the answer to the offer; ``None`` without an offer.

        Raises:
            ConflictError: If ``local_audio`` is set and this server has no local microphone or loudspeaker, or the
                weights have no articulation and one is given.
            LipstreamError: For the reasons that :meth:`publish` gives.
        """
        session = await self._begin(avatar_id, grant, listens=listens, articulation=articulation, continues=continues)
        if local_audio:
            try:
                self.local_audio.lend(session)
            except ConflictError:
                await self._end_now(session, "never_connected")
                raise
        return session, await self._answered(session, session.answer(offer_sdp)) if offer_sdp is not None else None

    async def publish(self, avatar_id: str | None, offer_sdp: str, *, grant: Grant = NO_LIMITS) -> tuple[Session, str]:
        """Begin a session whose peer only sends sound, and answer its offer. No session remains if either fails.

        Args:
            grant: Who begins the session and what it may do; default: no limits.

        Raises:
            NotFoundError: If there is no such avatar.
            ForbiddenError: If the grant does not allow the avatar.
            UnavailableError: If no session can begin now, or the join token has as many as it may.
            AvatarError: If the avatar could not be prepared.
            OfferError: If the offer cannot be answered.
        """
        session = await self._begin(avatar_id, grant)
        return session, await self._answered(session, session.publish(offer_sdp))

    async def _begin(
        self,
        avatar_id: str | None,
        grant: Grant,
        *,
        listens: bool = False,
        articulation: float | None = None,
        continues: tuple[str, str] | None = None,
    ) -> Session:
        self._check_ready()
        articulation = self.factory.articulation(articulation)
        avatar = await self.avatars.get(avatar_id or self._default_avatar(grant))
        if not grant.allows_avatar(avatar.manifest.id):
            raise ForbiddenError("the invitation is for other avatars")
        await self.factory.rtc.offer_pacing.wait_turn()
        avatar = await self.avatars.get(avatar.manifest.id)  # it may have been prepared again meanwhile
        await self._make_room_for(grant)
        self._check_ready()
        mouth_px = avatar.compositor(self.settings.mark).mouth_px
        while self._is_full(mouth_px):
            if not (yielding := self._oldest_waiting()):
                self.meters.sessions_refused.labels("full").inc()
                raise UnavailableError("there is no room for a face of this size now", reason="full")
            await self._end_now(yielding, "yielded")
            self._check_ready()
        self._check_share(grant)
        session = self.factory.make(
            avatar,
            self.workers.place(),
            self.all(),
            mouths_in_time=self.admission.mouths_in(IN_TIME_S),
            grant=grant,
            listens=listens,
            articulation=articulation,
            on_over=self._end,
            name=self.names.continued(*continues, self._sessions) if continues else self.names.new(),
        )
        self._sessions[session.id] = session
        self.created += 1
        with in_session(session.id):
            logger.info("session begins with avatar %s", session.avatar_id)
        return session

    def _default_avatar(self, grant: Grant) -> str:
        """Return the avatar of a session that names none: the server's, or the first that the grant allows."""
        default = self.settings.avatar or self.avatars.first
        return default if grant.avatars is None or default in grant.avatars else min(grant.avatars, default=default)

    def _of_token(self, token_id: str) -> list[Session]:
        """Return the sessions of a join token, those too that have ended and are not gone yet."""
        return [session for session in (*self._sessions.values(), *self._ended) if session.grant.token_id == token_id]

    async def _make_room_for(self, grant: Grant) -> None:
        """Let a new session of a join token replace one whose client is gone, if the token has as many as it may."""
        own = self._of_token(grant.token_id) if grant.max_sessions else []
        if len(own) >= grant.max_sessions and (
            yielding := next((one for one in own if not one.closed and (one.lost_s is not None or one.unclaimed)), None)
        ):
            await self._end_now(yielding, "yielded")

    def _check_share(self, grant: Grant) -> None:
        if grant.max_sessions and len(self._of_token(grant.token_id)) >= grant.max_sessions:
            message = "the invitation is in use for as many calls as it allows"
            raise UnavailableError(message, reason="invitation_in_use")

    def end_of_token(self, token_id: str) -> int:
        """End the sessions that a revoked join token began; return their number."""
        ending = [session for session in self._sessions.values() if session.grant.token_id == token_id]
        for session in ending:
            session.end_for("revoked")
        return len(ending)

    async def _answered(self, session: Session, answering: Awaitable[str]) -> str:
        try:
            return await answering
        except BaseException:
            self._end(session, "never_connected")
            await session.close()  # its place is free when the caller is told
            raise

    async def remove_avatar(self, avatar_id: str) -> None:
        """Remove an avatar from the store.

        Raises:
            NotFoundError: If there is no such avatar.
            ConflictError: If it is built in, or a session shows it.
        """
        await self.avatars.remove(avatar_id, is_shown=lambda: self.shows(avatar_id))

    def shows(self, avatar_id: str) -> bool:
        """Return whether a session shows an avatar."""
        return any(session.avatar_id == avatar_id for session in self.all())

    def _check_ready(self) -> None:
        messages = {
            "draining": "the server is about to stop",
            "warming": "the server is still starting",
            "renderer": "the renderer is being started again",
            "full": "the server is full",
        }
        if reason := self.unready_reason():
            self.meters.sessions_refused.labels(reason).inc()
            raise UnavailableError(messages[reason], reason=reason)

    def get(self, session_id: str) -> Session:
        """Return a session.

        Raises:
            NotFoundError: If there is no session with this id.
        """
        return found(self._sessions, session_id, "session")

    async def facts(self, session_id: str) -> dict[str, str]:
        """Return the provenance facts for the files and streams of a session.

        Raises:
            NotFoundError: If there is no such session.
        """
        face = (await asyncio.to_thread(self.store.load, self.get(session_id).avatar_id)).manifest
        return provenance(secrets.token_hex(16), avatar=face.name, consent=face.consent)

    async def switch(self, session_id: str, avatar_id: str) -> None:
        """Show another avatar in a session.

        Raises:
            NotFoundError: If there is no such session or avatar.
            UnavailableError: If the avatar is still being prepared.
        """
        session = self.get(session_id)
        session.switch(await self.avatars.get(avatar_id))

    async def delete(self, session_id: str) -> None:
        """End a session.

        Raises:
            NotFoundError: If there is no session with this id.
        """
        await self._end_now(self.get(session_id), "asked")

    def drain(self) -> None:
        """Begin no more sessions; the live ones go on."""
        self.draining = True
        for session in self._sessions.values():
            session.draining = True

    def announce_drain(self, seconds: float) -> None:
        """Tell every client in how many seconds the server stops."""
        for session in self._sessions.values():
            session.drain(seconds)

    def _oldest_waiting(self) -> Session | None:
        """Return the session that has waited longest for its owner; ``None`` if none waits."""
        waiting = [session for session in self._sessions.values() if session.lost_s is not None]
        return min(waiting, key=lambda session: session.lost_s or 0.0, default=None)

    def _note_end(self, session: Session, why: str) -> None:
        self.meters.sessions_ended.labels(why).inc()
        seconds = round(asyncio.get_running_loop().time() - session.began_s, 1)
        grant = session.grant
        audit.note(
            "session_ended", session=session.id, reason=why, key=grant.key, token=grant.token_id, seconds=seconds
        )
        with in_session(session.id):
            logger.info("session ends: %s", why)

    def _end(self, session: Session, why: str) -> None:
        """Remove a session from the list now, and close it in the background."""
        if self._sessions.pop(session.id, None):
            session.leave_worker()  # now, since a new session may be placed in this round of the event loop
            self._note_end(session, why)
            self._ended.add(session)

    async def _end_now(self, session: Session, why: str) -> None:
        """End a session, and wait until it is closed."""
        self._end(session, why)
        await session.close()

    async def _reap(self) -> None:
        """End sessions that have waited too long for a client or exceed a limit, and measure the load."""
        while True:
            await asyncio.sleep(_REAP_S)
            now_s = asyncio.get_running_loop().time()
            self._ended.forget_gone()
            self._cost.note(self.all(), self.admission, self.pictures.seconds)
            self.admission.render_workers = max(1, self.workers.up)
            for session in list(self._sessions.values()):
                session.limit_recording(now_s)
                if (session.lost_s is not None and now_s - session.lost_s > WAITING_S) or (
                    session.unclaimed and now_s - session.clock.epoch_s > UNCLAIMED_S
                ):
                    self._end(session, "abandoned")
                else:
                    session.keep_limits(now_s)
