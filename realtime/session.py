"""One speaking avatar: its source, its animator, its playout and the peer it talks to.

A little longer than most files: the order in which these four are told of anything is its whole content.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from avatar_cache.avatar import PreparedAvatar
from realtime.agent.agent import Agent
from realtime.animator import JUMP_SAMPLES, Animator, ClipLoop
from realtime.audio import queued_source, source_buffer
from realtime.audio.queued_source import QueuedSource
from realtime.audio.resample import Resampler
from realtime.audio.source_buffer import SourceBuffer
from realtime.audio.voice_activity import SpeechStarted
from realtime.clock import PlayoutClock
from realtime.conversation import Conversation
from realtime.errors import BadRequestError, NotFoundError
from realtime.lipsync.metadata import WeightsMetadata
from realtime.log_lines import in_session
from realtime.mark import MarkStyle
from realtime.meters import Meters
from realtime.metrics import percentiles
from realtime.narrator import MOST_WAITING, Narrator
from realtime.packets import PcmChunk
from realtime.playout import PlayoutBuffer
from realtime.render_worker import RenderWorker
from realtime.rtc.broadcast import Broadcast
from realtime.rtc.control import control_error, said_text
from realtime.rtc.peer import Peer, RtcSettings
from realtime.rtc.picture_place import OwnThreads, PicturePlace
from realtime.rtc.sdp import PUBLISHING, SPEAKING, Terms
from realtime.sinks.sinks import Sinks
from realtime.synthesis.synthesizer import SpeechSynthesizer
from realtime.timeline import (
    BLOCK_SAMPLES,
    SAMPLE_RATE_HZ,
    SAMPLES_PER_FRAME,
    SOUND_PER_SAMPLE,
    SOUND_RATE_HZ,
    frame_to_sample,
    ms_to_samples,
    samples_to_ms,
)
from realtime.viewers import Viewers

log = logging.getLogger(__name__)

RENDER_BUDGET_SAMPLES = ms_to_samples(20)
"""From a window's last sample to the frame's leaving: the batch, and the way to the worker and back."""

_RESAMPLER_LAG_SAMPLES = ms_to_samples(1)
"""A window's last sample comes out of the resampler 0.75 ms after its sound went in."""

State = Literal["live", "waiting", "draining"]


def first_block_samples(look_ahead_samples: int) -> int:
    """Return how long the silence is that a timeline begins with.

    Whole blocks follow it, and one in four then ends just when the next frame's window is there. A block that ended
    just before would leave the frame waiting for another 10 ms.
    """
    return (look_ahead_samples + _RESAMPLER_LAG_SAMPLES) % BLOCK_SAMPLES


class Session:
    """Sound in by a peer or a program, pictures and the same sound out to the peer.

    Args:
        avatar: Prepared for the worker's weights.
        worker: Started, and with the avatar loaded.
        metadata: Of the weights.
        rtc: How peers connect.
        mark: On every picture; ``None`` for none.
        epoch_s: Monotonic time at which its timeline begins.
        most_viewers: That may watch it at once.
        on_over: Told that it should end, and why: ``never_connected``, ``abandoned`` or ``failed``.
        meters: The server's.
        synthesizer: Speaks text; ``None`` where the server has none.
        listens: Whether its microphone is listened to instead of being spoken.
        agent: Answers what is heard, if it listens.
        open_place: Returns where its pictures are painted and encoded.
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
        listens: bool = False,
        agent: Agent | None = None,
        open_place: Callable[[], PicturePlace] = OwnThreads,
    ) -> None:
        self.id = secrets.token_urlsafe(16)
        self.token, self.viewer_token = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        self.avatar_id = avatar.manifest.id
        self.look_ahead_ms = samples_to_ms(metadata.look_ahead_samples)
        self.draining = False
        self.lost_s: float | None = None  # since when its owner may come back
        loop = ClipLoop(avatar.manifest.frames, avatar.manifest.loop)
        self.clock = PlayoutClock(epoch_s, metadata.look_ahead_samples + RENDER_BUDGET_SAMPLES)
        self.playout = PlayoutBuffer(self.clock, avatar.compositor(mark), loop, meters)
        self.broadcast = Broadcast(self.playout, open_place)
        self.microphone = SourceBuffer()
        self._at_rest: SourceBuffer | QueuedSource = QueuedSource(SOUND_RATE_HZ) if listens else self.microphone
        self.source = self._at_rest
        self._read_last: SourceBuffer | QueuedSource = self.source
        self.listeners: set[Callable[[dict[str, Any]], None]] = set()
        """Told every event that the peer's control channel is."""
        self.narrator = Narrator(synthesizer, lambda message: self.tell(control_error(message, code="not_said")))
        self.conversation = Conversation(self, self.narrator, agent) if listens else None
        self._animator = Animator(loop, window_offset_samples=metadata.window_offset_samples)
        self._resampler = Resampler(SOUND_RATE_HZ, SAMPLE_RATE_HZ)
        self._worker, self._mark = worker, mark
        self._stream = worker.open_stream(self.avatar_id, self._take_mouth)
        self._rtc = rtc
        self._on_over = on_over
        self._has_failed = False
        self._peer: Peer | None = None
        self._publishing = False  # whether the peer does nothing else
        self.sinks = Sinks(self.broadcast, self.id, self.tell, rtc)
        self.viewers = Viewers(self.broadcast, rtc=rtc, limit=most_viewers, on_fault=self.fail)
        self._was_connected = False
        self._closing: set[asyncio.Task[None]] = set()
        self._leaving: QueuedSource | None = None  # a program that is gone, as long as its sound is not
        self._closed = False
        self._look_ahead = metadata.look_ahead_samples
        self._now_s = epoch_s  # of the tick
        self._gathered: list[npt.NDArray[np.float32]] = []
        self._begin_blocks(0)

    @property
    def state(self) -> State:
        """``live`` while anybody is connected, ``draining`` if the server is about to stop too, else ``waiting``."""
        if not self._anybody_connected:
            return "waiting"
        return "draining" if self.draining else "live"

    @property
    def speaking(self) -> bool:
        """Whether its avatar speaks."""
        return self._animator.speaking

    @property
    def _anybody_connected(self) -> bool:
        peer = self._peer is not None and self._peer.connected
        return peer or self.viewers.connected or self.sinks.running

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._closed

    @property
    def unclaimed(self) -> bool:
        """Whether no offer has come yet."""
        return not self._in_use and not self._was_connected

    @property
    def _in_use(self) -> bool:
        """Whether a peer, a viewer, a sink or a program is there, or on its way."""
        others = self.viewers.count > 0 or self.sinks.running or bool(self.listeners)
        return self._peer is not None or others

    @property
    def speaker(self) -> Peer:
        """The peer that speaks.

        Raises:
            NotFoundError: If there is none.
        """
        if self._peer is None:
            raise NotFoundError("nobody speaks in this session")
        return self._peer

    async def answer(self, offer_sdp: str) -> str:
        """Answer an offer; the new peer takes the place of the one before.

        Raises:
            OfferError: If it cannot be answered; the peer before stays.
            TooLargeError: Likewise.
            NotFoundError: If the session ended meanwhile.
        """
        with in_session(self.id):  # all that the peer starts inherits it
            return await self._answer(offer_sdp, SPEAKING)

    async def publish(self, offer_sdp: str) -> str:
        """Answer the offer of a peer that only sends its sound; the session ends with it.

        Raises:
            LipstreamError: As :meth:`answer` does.
        """
        with in_session(self.id):
            return await self._answer(offer_sdp, PUBLISHING)

    async def _answer(self, offer_sdp: str, terms: Terms) -> str:
        peer = Peer(
            self.broadcast,
            terms=terms,
            settings=self._rtc,
            on_sound=self.push_sound,
            on_control=self._control,
            on_gone=lambda reason: self._gone(peer, reason),
        )
        answer = await peer.answer(offer_sdp)
        if self._closed:  # ended meanwhile
            await peer.close()
            raise NotFoundError("there is no such session")
        before, self._peer, self.lost_s = self._peer, peer, None
        self._publishing = terms is PUBLISHING
        self.microphone.clear()
        if before:
            self._close_later(before)
        return answer

    def push_sound(self, position: int, samples: npt.NDArray[np.float32], arrived_s: float) -> None:
        """Take in live sound.

        Args:
            position: Of its first sample on the source's own clock, 48 kHz.
            samples: ``float32[n]``; what is not a number is silence, what is too loud is clipped.
            arrived_s: Monotonic time of arrival.
        """
        clean = np.clip(np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0), -1.0, 1.0)
        self.microphone.push(position, clean.astype(np.float32, copy=False), arrived_s)

    def take_program(self, rate_hz: int) -> QueuedSource:
        """Let a program speak instead of the microphone, or of the program before.

        Args:
            rate_hz: Of its sound.

        Returns:
            Where its sound goes.

        Raises:
            ValueError: If the rate is not one that is taken.
        """
        source = QueuedSource(rate_hz)
        self.source = source
        return source

    def drop_program(self, source: QueuedSource) -> None:
        """Let the microphone speak again, unless another program does; what a program has sent is still spoken."""
        if self.source is source:
            self._leaving = source

    def heard_ms(self, now_s: float) -> float:
        """Return how much of the program's sound has left."""
        heard = self.source.heard(self.clock.left(now_s)) if isinstance(self.source, QueuedSource) else 0
        return heard * 1000 / SOUND_RATE_HZ

    async def say(self, text: str) -> int:
        """Speak a text, behind what is being spoken of others.

        Returns:
            A sample before which nothing of it is heard.

        Raises:
            LipstreamError: If it is not taken, or its first sentence cannot be spoken.
        """
        before = self._entered
        await self.narrator.say(text)
        source = self.narrator.source
        return max(before, self._entered - (source.read // SOUND_PER_SAMPLE if source else 0))

    def tick(self, now_s: float) -> None:
        """Let sound into the timeline up to now, and ask for the mouths it decides."""
        self._note_use(now_s)
        if not self._anybody_connected:
            return
        self._was_connected = True
        try:
            self._advance(now_s)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is this session's alone)
            self.fail(error)

    def _advance(self, now_s: float) -> None:
        entered = self.clock.entered(now_s)
        if entered - self._entered > JUMP_SAMPLES + BLOCK_SAMPLES:
            self._jump(entered // JUMP_SAMPLES * JUMP_SAMPLES)
        while self._entered + BLOCK_SAMPLES <= entered:
            self._take_block(now_s)

    def _note_use(self, now_s: float) -> None:
        if self._in_use:
            self.lost_s = None
        elif self._was_connected and self.lost_s is None:
            self.lost_s = now_s

    def fail(self, error: Exception | str) -> None:
        """End the session over a fault, and tell its clients; no other session notices."""
        if self._has_failed or self._closed:
            return
        self._has_failed = True
        with in_session(self.id):
            trace = error if isinstance(error, Exception) else None
            log.error(
                "the session ends by a fault: %s", error if trace is None else type(error).__name__, exc_info=trace
            )
        self.tell(
            control_error("This call ended by a fault of the server. A new one can begin.", code="session_failed")
        )
        self._on_over(self, "failed")

    def drain(self, seconds: float) -> None:
        """Tell the clients how long the server goes on."""
        self.tell({"type": "draining", "seconds": seconds})

    def _take_mouth(self, frame: int, mouth: npt.NDArray[np.uint8]) -> None:
        try:
            self.playout.add_mouth(frame, mouth)
        except Exception as error:  # noqa: BLE001 (the mouths of others come after it)
            self.fail(error)

    def _take_block(self, now_s: float) -> None:
        sample = self._entered
        entered_s = self.clock.epoch_s + (sample + BLOCK_SAMPLES) / SAMPLE_RATE_HZ
        begins = -sample % SAMPLES_PER_FRAME  # where in the block a frame does, if in this one
        source = self._source_now()
        block, arrived_s = source.pull(entered_s, mark=begins * SOUND_PER_SAMPLE)
        if begins < BLOCK_SAMPLES and arrived_s is not None:
            self.playout.note_arrival((sample + begins) // SAMPLES_PER_FRAME, arrived_s)
        self._entered += BLOCK_SAMPLES
        self._gather(block)
        if isinstance(source, QueuedSource):
            source.note_block(self._entered)
            self._caption(sample)
            if source is self._leaving and not source.level:
                self.source, self._leaving = self._at_rest, None
        if (self._entered - self._look_ahead - _RESAMPLER_LAG_SAMPLES) % SAMPLES_PER_FRAME == 0:
            self._analyse(now_s)
        if self.conversation:
            self._now_s = now_s
            self.conversation.hear(self.microphone.pull(entered_s)[0], self._entered)

    def _caption(self, sample: int) -> None:
        """Tell which sentences begin to be read: they are heard a moment later."""
        for text in self.narrator.begun():
            self.tell({"type": "caption", "sample": sample, "text": text})
            if self.conversation:
                self.conversation.note_caption(text)

    def interrupt_for(self, voice_sample: int) -> None:
        """Stop speaking, if it does, since a person began to speak; an answer in the making is dropped."""
        program = self.source.level if isinstance(self.source, QueuedSource) else 0
        if self.narrator.source or program:
            self.interrupt(self._now_s, voice_sample=voice_sample)
        else:
            self.narrator.interrupt(0)

    def _source_now(self) -> SourceBuffer | QueuedSource:
        """Return what speaks: text goes before a program, a program before the microphone, which begins anew."""
        source = self.narrator.source or self.source
        if source is not self._read_last and source is self.microphone:
            self.microphone.clear()
        self._read_last = source
        return source

    def _gather(self, block: npt.NDArray[np.float32]) -> None:
        """Let a block be heard, and keep it for the animator."""
        self.playout.add_speech(block)
        self._gathered.append(block)

    def _analyse(self, now_s: float) -> None:
        """Show the animator the gathered blocks, once a frame: each call costs more than what it hears."""
        sound = np.concatenate(self._gathered)
        self._gathered.clear()
        jobs = self._animator.push(PcmChunk(self._animator.position, self._resampler.push(sound)))
        self.playout.add_jobs(jobs)
        for job in jobs:
            if job.mel is not None and self.clock.leaves_at(frame_to_sample(job.frame)) > now_s:
                self._stream.submit(job)
        for event in self._animator.take_events():
            kind = "speech_started" if isinstance(event, SpeechStarted) else "speech_ended"
            self.tell({"type": kind, "sample": event.sample})

    def _jump(self, sample: int) -> None:
        """Go on after a stall, or after nobody was there."""
        self._animator.jump(sample)
        self.playout.skip_speech(sample * SOUND_PER_SAMPLE)
        self._resampler = Resampler(SOUND_RATE_HZ, SAMPLE_RATE_HZ)
        self._begin_blocks(sample)

    def _begin_blocks(self, sample: int) -> None:
        silence = first_block_samples(self._look_ahead)
        self._entered = sample + silence
        self._gathered.clear()
        self._gather(np.zeros(silence * SOUND_PER_SAMPLE, np.float32))

    def switch(self, avatar: PreparedAvatar) -> None:
        """Show another avatar, loaded by the worker, without a break in speech or picture."""
        loop = ClipLoop(avatar.manifest.frames, avatar.manifest.loop)
        self._stream.close()
        self.playout.show(avatar.compositor(self._mark), loop)
        self._animator.loop = loop
        self._stream = self._worker.open_stream(avatar.manifest.id, self._take_mouth)
        self.avatar_id = avatar.manifest.id

    def interrupt(self, now_s: float | None = None, *, voice_sample: int | None = None) -> int:
        """Stop speaking now.

        Args:
            now_s: Monotonic time; ``None`` asks the event loop.
            voice_sample: Where somebody's voice begins that interrupts; ``None`` for a request.

        Returns:
            The sample from which on there is silence; what comes from the source later is spoken.
        """
        now_s = asyncio.get_running_loop().time() if now_s is None else now_s
        sample, frame = self.playout.interrupt(now_s)
        self.playout.add_jobs(self._animator.interrupt(frame))
        heard: dict[str, Any] = {}
        if isinstance(self.source, QueuedSource):
            heard["heard_ms"] = round(self.heard_ms(now_s), 1)
            self.source.cut(self.clock.left(now_s))
        self.source.clear()
        heard |= self._cut_text(self.clock.left(now_s))
        self._gathered = [np.zeros_like(block) for block in self._gathered]
        if voice_sample is not None:
            heard["by"] = "voice"
            heard["after_ms"] = round(samples_to_ms(sample + self.clock.delay_samples - voice_sample), 1)
        if self.conversation:
            self.conversation.note_interrupted()
        self.tell({"type": "interrupted", "sample": sample, **heard})
        return sample

    def _cut_text(self, left: int) -> dict[str, Any]:
        """Drop the text that is being said; return what was heard of it."""
        source = self.narrator.source
        heard = source.heard(left) if source else 0
        cut = self.narrator.interrupt(heard)
        if source is None:
            return {}
        return {
            "heard_ms": round(heard * 1000 / SOUND_RATE_HZ, 1),
            "heard_text": cut.sentences,
            "cut_text": cut.cut,
        }

    def figures(self) -> dict[str, Any]:
        """Return the session's live figures."""
        counts, now_s = self.playout.counts, asyncio.get_running_loop().time()
        offsets = self.playout.av_offset_ms.values(now_s)
        return {
            "id": self.id,
            "avatar": self.avatar_id,
            "state": self.state,
            "speaking": self._animator.speaking,
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
            "source": {
                "filled": self.source.counts.filled,
                "dropped": self.source.counts.dropped,
                "underruns": self.source.counts.underruns,
                "corrections": self.source.counts.corrections,
            },
            "peer": self._peer.figures() if self._peer else None,
            "viewers": self.viewers.figures(),
            "recorded": self.sinks.is_recorded,
            "streams": {"count": len(self.sinks.streams.all()), "live": self.sinks.streams.live},
        }

    def waiting(self, now_s: float) -> dict[str, tuple[int, int]]:
        """Return how much waits in each queue of the session, and how much may."""
        program = self.source if isinstance(self.source, QueuedSource) else None
        return {
            "microphone_ms": _in_ms(self.microphone.level, source_buffer.LIMIT_SOUND),
            "program_ms": _in_ms(program.level if program else 0, queued_source.LIMIT_SOUND),
            "text_characters": (self.narrator.waiting, MOST_WAITING),
            **self.playout.waiting(now_s),
            **(self._peer.waiting() if self._peer else {}),
        }

    async def close(self) -> None:
        """Let go of the peer and the worker's stream. May be called again."""
        self._closed = True
        self._stream.close()
        await self.narrator.close()
        if self.conversation:
            await self.conversation.close()
        peer, self._peer = self._peer, None
        if peer:
            if self._has_failed:
                await peer.flush_control()
            await peer.close()
        await self.viewers.close()
        await self.sinks.close()
        if self._closing:
            await asyncio.wait(self._closing)
        await self.broadcast.close()

    def _control(self, message: dict[str, Any]) -> dict[str, Any] | None:
        if message.get("type") == "interrupt":
            self.interrupt()
            return None
        if message.get("type") == "end_of_turn" and self.conversation:
            self.conversation.end_turn()
            return None
        if message.get("type") == "say":
            self.narrator.accept(said_text(message))
            return None
        raise BadRequestError(f"control message of type {message.get('type')!r} is not known here")

    def tell(self, message: dict[str, Any]) -> None:
        """Tell its clients."""
        if self._peer:
            self._peer.send_control(message)
        self.sinks.hear(message)
        for listener in list(self.listeners):
            listener(message)

    def _gone(self, peer: Peer, reason: str) -> None:
        log.info("peer lost: %s", reason)
        if peer is self._peer and peer.failed:
            self.fail(reason)
            return
        self._close_later(peer)
        if peer is self._peer:
            self._peer = None
            self.microphone.clear()
            if not (self._was_connected or self._in_use):
                self._on_over(self, "never_connected")
            elif self._publishing:
                self._on_over(self, "abandoned")
            else:
                self._note_use(asyncio.get_running_loop().time())

    def _close_later(self, peer: Peer) -> None:
        task = asyncio.create_task(peer.close(), name="close-peer")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _in_ms(level: int, limit: int) -> tuple[int, int]:
    return level * 1000 // SOUND_RATE_HZ, limit * 1000 // SOUND_RATE_HZ
