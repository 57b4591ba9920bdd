"""Plays a face into a sound and a picture source, at the face's own pace, and reports what is heard.

Pictures and sound go straight into the sources. A synchroniser between them would keep a queue after a stall, and lips
would stay late for the rest of the call.
"""

import asyncio
from collections.abc import Callable

import numpy as np
from livekit import rtc
from livekit.plugins.lipstream.log import logger
from livekit.plugins.lipstream.playing import PlayingQueue

from lipstream import Face, Frame, LiveFrames

CUSHION_S = 0.02
"""Sound that waits in the audio source, so that a frame that comes late leaves no gap. Pictures wait as long."""
_CATCH_UP_S = 0.04
"""After a longer stall the face goes on where it was, instead of hurrying: what was not said is said then."""


class Player:
    """Speaks pushed sound through two sources.

    Args:
        face: Speaks; closed by whoever opened it.
        on_started: Called when the first sound of an utterance is heard.
        on_finished: Called once for each utterance, with the seconds of it that were heard and whether it was cut off.
    """

    def __init__(
        self,
        face: Face,
        *,
        audio: rtc.AudioSource,
        video: rtc.VideoSource,
        on_started: Callable[[], None],
        on_finished: Callable[[float, bool], None],
    ) -> None:
        self._face, self._audio, self._video = face, audio, video
        self._on_started, self._on_finished = on_started, on_finished
        self._playing = PlayingQueue()
        self._valid_from = 0  # utterances of the face before this one were cut off
        self._filled_s = 0.0  # silence at the end of what the audio source has
        self._reports: set[asyncio.TimerHandle] = set()
        self._over = False

    def push(self, frame: rtc.AudioFrame) -> None:
        """Add sound of any rate and number of channels to the open utterance, or begin one."""
        self._playing.open()
        self._face.push(np.frombuffer(frame.data, np.int16).reshape(-1, frame.num_channels), rate=frame.sample_rate)

    def end(self) -> None:
        """Mark the end of the open utterance, if there is one."""
        if self._playing.close():
            if self._over:
                self._cut_off(0.0)
            else:
                self._face.end()

    def clear(self) -> None:
        """Stop speaking, and report for each utterance how much of it was heard."""
        self._valid_from = self._face.clear().following
        unheard_s = self._unheard_s
        if not self._over:
            self._audio.clear_queue()
        self._cut_off(unheard_s)

    async def run(self) -> None:
        """Play until cancelled. A face whose device fails goes on with its mouth at rest.

        Whatever is said after the end is reported as not heard, so that an agent waits for nothing.
        """
        try:
            try:
                await self._play()
            except Exception:  # noqa: BLE001 (whatever it is, the agent is heard)
                logger.exception("the face fails: the agent speaks on with a mouth at rest")
                await self._play()
        finally:
            self._over = True
            self._cut_off(self._unheard_s)

    async def _play(self) -> None:
        frames = self._face.live(catch_up_s=_CATCH_UP_S)
        async for frame in frames:
            before_s = self._audio.queued_duration
            if self._is_valid(frame):
                before_s = await self._hear(frame, frames)
            await asyncio.sleep(min(before_s, CUSHION_S))
            picture = rtc.VideoFrame(
                frame.width, frame.height, rtc.VideoBufferType.I420, np.ascontiguousarray(frame.picture).tobytes()
            )
            self._video.capture_frame(picture)

    @property
    def _unheard_s(self) -> float:
        """Length of the speech that the audio source has and has not played, s."""
        return max(0.0, self._audio.queued_duration - self._filled_s)

    def _cut_off(self, unheard_s: float) -> None:
        """Report for each utterance how much of it was heard, and forget them."""
        self._forget_reports()
        for samples in self._playing.cut(round(unheard_s * self._face.rate)):
            self._on_finished(samples / self._face.rate, True)

    def _is_valid(self, frame: Frame) -> bool:
        """Return whether a frame belongs to an utterance, and to none that was cut off while it was drawn."""
        return frame.utterance is not None and frame.utterance >= self._valid_from

    async def _hear(self, frame: Frame, frames: LiveFrames) -> float:
        """Send a frame's sound, and report of its utterance; return the seconds until that sound is heard."""
        if frame.sound is not None and self._audio.queued_duration < CUSHION_S / 2:
            if self._face.ready:  # speech begins at once, and what follows is sent earlier
                frames.advance(CUSHION_S)
            else:
                await self._send(np.zeros(round(CUSHION_S * self._face.rate), np.int16))
        before_s = self._audio.queued_duration
        if not self._is_valid(frame):
            return before_s
        if frame.sound is not None:
            playing = self._playing.sending()
            if not playing.started:
                playing.started = True
                self._report_in(before_s, self._on_started)
            playing.sent += frame.samples
            self._filled_s = (frame.sound.size - frame.samples) / self._face.rate
            await self._send(frame.sound)
        if frame.ended and self._is_valid(frame):
            self._playing.sending().ended = True
            self._report_in(self._unheard_s, self._finish)
        return before_s

    async def _send(self, sound: np.ndarray) -> None:
        await self._audio.capture_frame(rtc.AudioFrame(sound.tobytes(), self._face.rate, 1, sound.size))

    def _finish(self) -> None:
        self._on_finished(self._playing.finish().sent / self._face.rate, False)

    def _report_in(self, seconds: float, report: Callable[[], None]) -> None:
        """Call ``report`` when what the audio source has now is heard, unless it is cut off before."""

        def now() -> None:
            self._reports.discard(handle)
            report()

        handle = asyncio.get_running_loop().call_later(seconds, now)
        self._reports.add(handle)

    def _forget_reports(self) -> None:
        for handle in self._reports:
            handle.cancel()
        self._reports.clear()
