"""Makes sessions with what the settings give to all of them: connections, engines, stream targets, budgets."""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable

from lipstream.avatar_cache.avatar import PreparedAvatar
from lipstream.realtime.agent.agent_choice import choose_agent, choose_end_of_turn
from lipstream.realtime.audio.turn_detector import TurnDetector
from lipstream.realtime.encoding.picture_backend import PictureBackend
from lipstream.realtime.errors import ConflictError, SettingsError
from lipstream.realtime.lipsync.metadata import WeightsMetadata
from lipstream.realtime.meters import Meters
from lipstream.realtime.rtc.rtc_settings import RtcSettings
from lipstream.realtime.rtc.turn_credentials import TurnSecret, quota_user
from lipstream.realtime.server.warm_up import rehearsal_settings, rehearse_call
from lipstream.realtime.session.budget import Budget, Spending
from lipstream.realtime.session.grant import Grant
from lipstream.realtime.session.session import RENDER_BUDGET_SAMPLES, Session
from lipstream.realtime.session.session_names import SessionName
from lipstream.realtime.session.speech_pipeline import first_window_samples
from lipstream.realtime.session.tick_schedule import begin
from lipstream.realtime.settings import Settings
from lipstream.realtime.sinks.stream_targets import stream_targets
from lipstream.realtime.synthesis.engine_choice import choose_synthesizer
from lipstream.realtime.timeline import SAMPLE_RATE_HZ
from lipstream.realtime.wire.session_answers import ConnectivityAnswer
from lipstream.realtime.workers.render_client import RenderWorker

IN_TIME_S = RENDER_BUDGET_SAMPLES / SAMPLE_RATE_HZ / 2
"""Time in which the mouths of one tick should be drawn, s: half of what there is; the rest is reserve."""


class SessionFactory:
    """Makes sessions of one server; it keeps none.

    Args:
        open_backend: Opens the backend that paints and encodes a session's pictures.

    Raises:
        SettingsError: If the TURN secret cannot be read, a configured engine or code is missing, or an address of
            ``push`` cannot be streamed to; the message does not repeat the address, which may hold a key.
    """

    def __init__(self, settings: Settings, meters: Meters, open_backend: Callable[[], PictureBackend]) -> None:
        self.rtc = RtcSettings(
            host=settings.host,
            ice_servers=settings.ice_servers,
            turn=TurnSecret.read(settings.turn_urls, settings.turn_secret_file, settings.turn_ttl),
            relay_only=settings.relay_only,
            udp_ports=settings.udp_ports,
            peer_networks=settings.peer_networks,
        )
        self.synthesizer = choose_synthesizer(settings)
        self._settings, self._meters, self._open_backend = settings, meters, open_backend
        self.targets = stream_targets(settings)
        self._spending = Spending(settings.guest_turns_per_hour, settings.guest_characters_per_hour)
        self._new_agent = choose_agent(settings, self.synthesizer)
        self._new_judge = choose_end_of_turn(settings)
        self._metadata: WeightsMetadata | None = None

    def use_weights(self, metadata: WeightsMetadata) -> None:
        """Make the sessions from now on for these weights; called before any other method.

        Raises:
            SettingsError: If the weights have no articulation and the settings name one.
        """
        try:
            metadata.articulation(self._settings.articulation)
        except ConflictError as error:
            raise SettingsError(error.message) from error
        self._metadata = metadata

    def articulation(self, asked: float | None) -> float | None:
        """Return the articulation of a session that asks for one, or for that of the settings with ``None``.

        Raises:
            ConflictError: If the weights have no articulation, and one is asked for.
        """
        return self._weights.articulation(self._settings.articulation if asked is None else asked)

    def make(
        self,
        avatar: PreparedAvatar,
        worker: RenderWorker,
        others: Iterable[Session],
        *,
        mouths_in_time: int,
        grant: Grant,
        listens: bool,
        articulation: float | None,
        on_over: Callable[[Session, str], None],
        name: SessionName,
    ) -> Session:
        """Return a new session, whose frames fall between those of the others.

        Args:
            worker: Worker that has loaded the avatar.
            mouths_in_time: Number of mouths that a worker draws in :data:`IN_TIME_S`, 1 or more.
            articulation: What :meth:`articulation` returned.
            on_over: Called when the session should end, with the reason.
            name: Its id and tokens.
        """
        return Session(
            avatar,
            worker,
            self._weights,
            rtc=self.rtc,
            mark=self._settings.mark,
            epoch_s=self._epoch(others, mouths_in_time),
            most_viewers=self._settings.max_viewers,
            on_over=on_over,
            meters=self._meters,
            synthesizer=self.synthesizer,
            turns=self._turns() if listens else None,
            agent=self._new_agent() if listens and self._new_agent else None,
            judge=self._new_judge() if listens and self._new_judge else None,
            grant=grant,
            budget=self._budget(grant),
            open_backend=self._open_backend,
            articulation=articulation,
            targets=self.targets,
            motions=self._settings.motions,
            liveliness=self._settings.liveliness,
            name=name,
        )

    def _turns(self) -> TurnDetector:
        longest = round(self._settings.longest_turn_s * SAMPLE_RATE_HZ)
        return TurnDetector(longest_samples=longest, asks=self._new_judge is not None)

    async def rehearse(self, avatar: PreparedAvatar, worker: RenderWorker) -> None:
        """Run a call within this process, so that the first real call is as fast as the next ones."""
        session = Session(
            avatar,
            worker,
            self._weights,
            rtc=rehearsal_settings(),
            epoch_s=self._epoch((), 1),
            most_viewers=0,
            on_over=lambda *_: None,
        )
        await rehearse_call(session)

    def connectivity(self, session: Session) -> ConnectivityAnswer:
        """Return ``ice_servers`` and ``ice_transport_policy`` for a session's client, in the form that browsers take.

        The TURN credentials expire, so a client asks again before it reconnects.
        """
        return {
            "ice_servers": self.rtc.ice_servers_for(quota_user(session.id), time.time()),
            "ice_transport_policy": "relay" if self.rtc.relay_only else "all",
        }

    async def close(self) -> None:
        """Close the synthesizer. May be called again."""
        if self.synthesizer:
            await self.synthesizer.close()

    @property
    def _weights(self) -> WeightsMetadata:
        assert self._metadata is not None, "use_weights comes first"
        return self._metadata

    def _epoch(self, others: Iterable[Session], mouths_in_time: int) -> float:
        """Return the monotonic time at which a new session's timeline begins, s."""
        window = first_window_samples(self._weights.look_ahead_samples)
        return begin(_now_s(), window, (session.clock.epoch_s for session in others), mouths_in_time)

    def _budget(self, grant: Grant) -> Budget | None:
        """Return what a session may spend; ``None`` for a session that no join token began."""
        if not grant.token_id:
            return None
        sessions = grant.max_sessions or self._settings.max_sessions
        return self._spending.budget(secrets.token_hex(8), grant.token_id, sessions, asyncio.get_running_loop().time)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
