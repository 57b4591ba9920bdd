"""One session: a speaking avatar with its speech, its broadcast, its peer, its viewers and its sinks.

One place shows who gets which event, what ends the session, and in which order its parts end.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Literal

import numpy as np

from lipstream.avatar_cache.avatar import PreparedAvatar
from lipstream.avatar_cache.motion_graph import USUAL_LIVELINESS, MotionsMode
from lipstream.realtime.agent.agent import Agent
from lipstream.realtime.agent.pause_judge import PauseJudge
from lipstream.realtime.audio.pcm_queue import PcmQueue
from lipstream.realtime.audio.turn_detector import TurnDetector
from lipstream.realtime.clock import PlayoutClock
from lipstream.realtime.encoding.broadcast import Broadcast
from lipstream.realtime.encoding.picture_backend import PictureBackend, ThreadBackend
from lipstream.realtime.errors import ForbiddenError, NotFoundError
from lipstream.realtime.lipsync.metadata import WeightsMetadata
from lipstream.realtime.log_format import in_session
from lipstream.realtime.meters import Meters
from lipstream.realtime.metrics import percentiles
from lipstream.realtime.picture.mark_style import MarkStyle
from lipstream.realtime.queue_depths import QueueDepths, fullest
from lipstream.realtime.rtc.offer_terms import PUBLISHING, SPEAKING
from lipstream.realtime.rtc.peer import Peer
from lipstream.realtime.rtc.rtc_settings import RtcSettings
from lipstream.realtime.session.bounded_closing import BoundedClosing
from lipstream.realtime.session.budget import Budget
from lipstream.realtime.session.grant import NO_LIMITS, WARNING_S, EndReason, Grant
from lipstream.realtime.session.message_rate import MessageRate
from lipstream.realtime.session.motions import SessionMotions
from lipstream.realtime.session.mouth_requests import MouthRequests
from lipstream.realtime.session.playout import PlayoutBuffer
from lipstream.realtime.session.session_names import SessionName, SessionNames
from lipstream.realtime.session.speaking_peer import SpeakingPeer
from lipstream.realtime.session.speech_pipeline import SpeechPipeline, first_window_samples
from lipstream.realtime.session.tick_schedule import tick_of
from lipstream.realtime.session.viewers import Viewers
from lipstream.realtime.sinks.session_sinks import SessionSinks
from lipstream.realtime.sinks.stream_targets import StreamTargets
from lipstream.realtime.synthesis.synthesizer import SpeechSynthesizer
from lipstream.realtime.timeline import ms_to_samples, samples_to_ms
from lipstream.realtime.wire.control_messages import ControlMessage, unknown_type
from lipstream.realtime.wire.events import DrainingEvent, EndingEvent, ServerEvent, error_event
from lipstream.realtime.wire.session_answers import PeerStats, SessionStats, StreamCounts
from lipstream.realtime.workers.render_client import RenderWorker

logger = logging.getLogger(__name__)

RENDER_BUDGET_SAMPLES = ms_to_samples(20)
"""Time from a window's last sample to the frame's leaving: the batch, and the way to the worker and back."""

_ACTIVE = frozenset({"speech_started", "speech_ended", "interrupted", "caption", "listening", "heard"})
"""Events of somebody who speaks."""

SessionState = Literal["live", "waiting", "draining"]


class Session:
    """Takes sound from a peer or a program, and sends pictures with the same sound.

    The worker must be started and have the avatar loaded, prepared for the worker's weights.

    Args:
        mark: Watermark on every picture; ``None`` for none.
        epoch_s: Monotonic time at which the timeline begins, s.
        on_over: Called when the session should end, with the reason: ``never_connected``, ``abandoned``, ``failed``, or
            the limit that ends it.
        meters: Totals over all sessions of the server; ``None`` for meters of its own.
        synthesizer: Turns text into sound; ``None`` if the server has no engine.
        turns: Finds a visitor's turns in a session that listens to its microphone; ``None`` to speak its sound.
        agent: Answers a visitor in a session that listens; ``None`` leaves answers to programs and text.
        judge: Tells whether a visitor who pauses has finished; ``None`` if silence alone tells.
        grant: Who began the session and what it may do; default: no limits.
        budget: Bounds what is said and answered at the operator's cost; ``None`` for no bound.
        open_backend: Opens the backend that paints and encodes the pictures; default :class:`ThreadBackend`.
        articulation: How far the mouth goes, 0.5 to 1.5 of what was heard; ``None`` for the default.
        targets: Where streams may go; default: public addresses.
        motions: Whether an avatar of several clips changes its clip by itself, when it is asked to, or never.
        liveliness: How much of the stress in speech the head of a photograph shows, 0 to 1.
        name: Its id and tokens; ``None`` for new ones.

    Attributes:
        former_id: Id of the lost session that it continues; empty for none.

    Raises:
        ConflictError: If the weights have no articulation, and one is given.
    """

    def __init__(
        self,
        avatar: PreparedAvatar,
        worker: RenderWorker,
        metadata: WeightsMetadata,
        *,
        rtc: RtcSettings,
        mark: MarkStyle | None = None,
        epoch_s: float,
        most_viewers: int,
        on_over: Callable[["Session", str], None],
        meters: Meters | None = None,
        synthesizer: SpeechSynthesizer | None = None,
        turns: TurnDetector | None = None,
        agent: Agent | None = None,
        judge: PauseJudge | None = None,
        grant: Grant = NO_LIMITS,
        budget: Budget | None = None,
        open_backend: Callable[[], PictureBackend] = ThreadBackend,
        articulation: float | None = None,
        targets: StreamTargets = StreamTargets(),  # noqa: B008 (immutable)
        motions: MotionsMode = "auto",
        liveliness: float = USUAL_LIVELINESS,
        name: SessionName | None = None,
    ) -> None:
        name = name or SessionNames().new()
        self.id, self.token, self.viewer_token, self.former_id = name.id, name.token, name.viewer_token, name.former_id
        self.avatar_id = avatar.manifest.id
        self.look_ahead_ms = samples_to_ms(metadata.look_ahead_samples)
        self.grant = grant
        self.began_s = self.active_s = epoch_s
        """Monotonic times at which the session began, and at which something was said or heard last, s."""
        self.draining = False
        self.lost_s: float | None = None  # time since when the session has no client; its owner may come back
        self.motions = SessionMotions(
            avatar.manifest, motions, are_allowed=grant.motions, liveliness=liveliness, tell=self.tell
        )
        self.clock = PlayoutClock(epoch_s, metadata.look_ahead_samples + RENDER_BUDGET_SAMPLES)
        self.decides_at = tick_of(epoch_s, first_window_samples(metadata.look_ahead_samples))
        """Tick of a frame, 0..3, at which the session decides its frames."""
        self.playout = PlayoutBuffer(self.clock, avatar.compositor(mark), self.motions.choice, meters)
        self.broadcast = Broadcast(self.playout, open_backend)
        self.mouths = MouthRequests(
            worker,
            self.avatar_id,
            metadata,
            on_mouth=self.playout.add_mouth,
            on_fault=self.fail,
            articulation=articulation,
        )
        self.speech = SpeechPipeline(
            self.playout,
            self.motions,
            metadata,
            synthesizer=synthesizer,
            turns=turns,
            agent=agent,
            judge=judge,
            budget=budget,
            submit=self.mouths.submit,
            tell=self.tell,
        )
        self.listeners: set[Callable[[ServerEvent], None]] = set()
        """Called with every event that the peer's control channel gets."""
        self._mark = mark
        self._on_over = on_over
        self._has_failed = self._is_warned = False
        self._says_why = False  # whether the clients are told why the session ends
        self._messages = MessageRate()
        self._speaker = SpeakingPeer(
            self.broadcast,
            rtc=rtc,
            microphone=self.speech.microphone,
            on_control=self.handle,
            on_fault=self.fail,
            on_left=self._speaker_left,
        )
        self.sinks = SessionSinks(self.broadcast, self.id, self.tell, rtc, targets)
        self.viewers = Viewers(self.broadcast, rtc=rtc, limit=most_viewers, on_fault=self.fail)
        self._was_connected = False
        self._closed = False
        self._parts = BoundedClosing()
        self._closing: asyncio.Task[None] | None = None

    @property
    def state(self) -> SessionState:
        """``waiting`` without a connected client or program, else ``live``; ``draining`` if the server is to stop."""
        if not self._anybody_connected:
            return "waiting"
        return "draining" if self.draining else "live"

    @property
    def speaking(self) -> bool:
        """Whether the avatar shows a spoken mouth."""
        return self.speech.speaking

    @property
    def _anybody_connected(self) -> bool:
        watched = self._speaker.connected or self.viewers.connected or self.sinks.running
        return watched or bool(self.listeners)

    @property
    def closed(self) -> bool:
        """Whether the session has ended; its parts may still be closing."""
        return self._closed

    @property
    def gone(self) -> bool:
        """Whether the session has ended and nothing of it is left."""
        return self._closing is not None and self._closing.done() and not self._parts.unfinished

    @property
    def unclaimed(self) -> bool:
        """Whether no offer has come yet."""
        return not self._in_use and not self._was_connected

    @property
    def _in_use(self) -> bool:
        """Whether the session has a peer, a viewer, a sink or a program, connected or connecting."""
        clients = self._speaker.peer is not None or self.viewers.count > 0
        return clients or self.sinks.running or bool(self.listeners)

    @property
    def speaker(self) -> Peer:
        """The peer that speaks.

        Raises:
            NotFoundError: If no peer speaks.
        """
        if self._speaker.peer is None:
            raise NotFoundError("no peer speaks in this session")
        return self._speaker.peer

    async def answer(self, offer_sdp: str) -> str:
        """Answer an offer; the new peer replaces the previous one, which stays if this fails.

        Raises:
            OfferError: If the offer cannot be answered.
            TooLargeError: If the offer is over the size limit.
            NotFoundError: If the session ended meanwhile.
        """
        with in_session(self.id):  # the tasks that the peer starts inherit it
            answer = await self._speaker.answer(offer_sdp, SPEAKING)
        self.lost_s = None
        return answer

    async def publish(self, offer_sdp: str) -> str:
        """Answer the offer of a peer that only sends sound; the session ends when that peer is gone.

        Raises:
            LipstreamError: For the reasons that :meth:`answer` gives.
        """
        with in_session(self.id):
            answer = await self._speaker.answer(offer_sdp, PUBLISHING)
        self.lost_s = None
        return answer

    def tick(self, now_s: float) -> None:
        """Read sound into the timeline up to monotonic time ``now_s``, and request the mouths for it."""
        self._note_use(now_s)
        if not (self._anybody_connected or self.speech.selector.is_leaving):
            return
        if self.speaking:
            self.active_s = now_s
        if self.speech.conversation and not self._was_connected:
            self.motions.greet()
        self._was_connected = True
        try:
            self.speech.advance(now_s)
        except Exception as error:  # noqa: BLE001 (a fault of one session must not stop the others)
            self.fail(error)

    def _note_use(self, now_s: float) -> None:
        if self._in_use:
            self.lost_s = None
        elif self._was_connected and self.lost_s is None:
            self.lost_s = now_s

    def limit_recording(self, now_s: float) -> None:
        """End a recording that has lasted too long, or in which nobody has taken part for some time."""
        attended = self._speaker.connected or self.viewers.connected or bool(self.listeners) or self.speaking
        self.sinks.limit_recording(now_s, attended=attended)

    def fail(self, error: Exception | str) -> None:
        """End the session because of a fault, and tell its clients; other sessions go on."""
        if self._has_failed or self._closed:
            return
        self._has_failed = self._says_why = True
        with in_session(self.id):
            trace = error if isinstance(error, Exception) else None
            logger.error(
                "the session ends by a fault: %s", error if trace is None else type(error).__name__, exc_info=trace
            )
        message = "This call ended by a fault of the server. A new one can begin."
        self.tell(error_event(message, code="session_failed"))
        self._on_over(self, "failed")

    def end_for(self, reason: EndReason) -> None:
        """End the session because of a limit, and tell its clients which one."""
        if not self._closed:
            self._says_why = True
            self.tell(EndingEvent(type="ending", reason=reason, seconds=0))
            self._on_over(self, reason)

    def keep_limits(self, now_s: float) -> None:
        """End the session if it lasts too long or nobody speaks; tell its clients a minute before it lasts too long."""
        if reason := self.grant.end_reason(self.began_s, self.active_s, now_s):
            self.end_for(reason)
            return
        left_s = self.grant.left_s(self.began_s, now_s)
        if left_s is not None and left_s <= WARNING_S and not self._is_warned:
            self._is_warned = True
            self.tell(EndingEvent(type="ending", reason="longest_call", seconds=round(left_s, 1)))

    def drain(self, seconds: float) -> None:
        """Tell the clients in how many seconds the server stops."""
        self.tell(DrainingEvent(type="draining", seconds=seconds))

    def switch(self, avatar: PreparedAvatar) -> None:
        """Show another avatar, without a break in speech or picture. The worker must have loaded it.

        Raises:
            NotFoundError: If the session ended meanwhile.
            ForbiddenError: If the session may not show the avatar.
        """
        if self._closed:
            raise NotFoundError("there is no such session")
        if not self.grant.allows_avatar(avatar.manifest.id):
            raise ForbiddenError("the invitation is for other avatars")
        self.mouths.close()
        self.motions.show(avatar.manifest)
        self.playout.show(avatar.compositor(self._mark), self.motions.choice)
        self.speech.show(self.motions.choice)
        self.mouths.show(avatar.manifest.id)
        self.avatar_id = avatar.manifest.id

    def stats(self) -> SessionStats:
        """Return the session's live statistics."""
        counts, now_s = self.playout.counts, asyncio.get_running_loop().time()
        offsets = self.playout.av_offset_ms.values(now_s)
        return {
            "id": self.id,
            "avatar": self.avatar_id,
            "motions": list(self.motions.names),
            "liveliness": self.motions.liveliness,
            "articulation": self.mouths.articulation,
            "state": self.state,
            "speaking": self.speaking,
            "fps": self.playout.frame_rate(now_s),
            "look_ahead_ms": self.look_ahead_ms,
            "mouth_latency_ms": percentiles(self.playout.mouth_latency_ms.values(now_s)),
            "av_offset_ms": round(float(np.median(offsets)), 1) if offsets else None,
            "interrupt_tail_ms": percentiles(self.playout.interrupt_tail_ms.values(now_s))["p95"],
            "frames_rendered": counts.rendered,
            "frames_idle": counts.idle,
            "frames_repeated": counts.repeated,
            "frames_dropped": counts.dropped,
            "audio_underruns": counts.underruns,
            "source": self.speech.stats(),
            "peer": self._speaker.stats(),
            "viewers": self.viewers.stats(),
            "recorded": self.sinks.is_recorded,
            "streams": StreamCounts(count=len(self.sinks.streams.all()), live=self.sinks.streams.live),
            "devices": self.sinks.devices(),
        }

    def queue_depths(self, now_s: float) -> QueueDepths:
        """Return fill and limit of each queue of the session."""
        own = self.speech.queue_depths() | self.playout.queue_depths(now_s) | self.sinks.queue_depths()
        return fullest((own, self._speaker.queue_depths(), self.viewers.queue_depths()))

    def connections(self) -> dict[str, PeerStats]:
        """Return the statistics of each connection: the speaking peer as ``peer``, viewers by their ids."""
        speaker = self._speaker.stats()
        return ({"peer": speaker} if speaker else {}) | self.viewers.connections()

    def leave_worker(self) -> None:
        """Begin to end: request no more mouths. May be called again."""
        self._closed = True
        self._speaker.end()
        self.mouths.close()

    async def close(self) -> None:
        """End the session with all its parts. May be called again, also while it closes.

        The parts close side by side, so that none of them keeps media flowing. One that does not end within its time
        is logged; :attr:`gone` then stays false until it has ended.
        """
        self.leave_worker()
        if self._closing is None:
            with in_session(self.id):
                self._closing = asyncio.create_task(self._close(), name="close-session")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        parts = {
            "viewers": self.viewers.close(),
            "sinks": self.sinks.close(),
            "speech": self.speech.close(),
        }
        parts |= self._speaker.closing(flush=self._says_why)
        await self._parts.close(parts)
        await self._parts.close({"broadcast": self.broadcast.close()})

    def handle(self, message: ControlMessage, *, program: PcmQueue | None = None) -> None:
        """Carry out a control message of the data channel or of the WebSocket.

        Args:
            program: Queue of the program that sent the message; ``None`` if the peer sent it.

        Raises:
            BadRequestError: If the message does not apply: the end of a turn in a session that does not listen, or the
                end of speech from a client that is not a program.
            RateLimitError: If messages come too fast; raised once a second, while all those above the rate are dropped.
            LipstreamError: If a text is refused.
        """
        now_s = asyncio.get_running_loop().time()
        if not self._messages.admits(now_s):
            return
        self.active_s = now_s
        match message["type"]:
            case "interrupt":
                self.speech.interrupt()
            case "say":
                self.speech.text_queue.accept(message["text"])
            case "motion":
                self.motions.ask(message["name"])
            case "end_of_speech" if program is not None:
                program.end()
            case "end_of_turn" if self.speech.conversation:
                self.speech.conversation.end_turn()
            case kind:
                raise unknown_type(kind)

    def tell(self, event: ServerEvent) -> None:
        """Send an event to the peer, the sinks and the listeners."""
        if event["type"] in _ACTIVE:
            self.active_s = asyncio.get_running_loop().time()
        self.motions.follow(event)
        self._speaker.tell(event)
        self.sinks.hear(event)
        for listener in list(self.listeners):
            listener(event)

    def _speaker_left(self, peer: Peer) -> None:
        self._was_connected |= peer.was_connected  # perhaps since the last tick alone
        if not (self._was_connected or self._in_use):
            self._on_over(self, "never_connected")
        elif self._speaker.publishes:
            self._on_over(self, "abandoned")
        else:
            self._note_use(asyncio.get_running_loop().time())
