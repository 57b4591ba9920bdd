"""The video service: takes the bot's voice, gives pictures and the sound that belongs to each."""

import asyncio
import contextlib
import sys
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    OutputImageRawFrame,
    StartFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessorSetup
from pipecat.services.ai_service import AIService
from pipecat.services.settings import ServiceSettings

from lipstream import Engine, Face, MarkStyle
from lipstream import Frame as FaceFrame
from pipecat_lipstream.rtp_clock import keep_real_time

FRAME_S = 0.04
"""Time of one picture."""
_DRAIN_S = 60.0
"""Longest wait at the end of a pipeline for what is still to be said, s."""
_ROUNDING_S = 1e-6


@dataclass(slots=True, eq=False)
class _Held:
    """A frame that the face was given: sound, or the end of an utterance.

    Attributes:
        seconds: Length of its sound.
        said_s: How much of that has been said.
    """

    frame: TTSAudioRawFrame | TTSStoppedFrame
    seconds: float
    said_s: float = 0.0

    def rest(self) -> TTSAudioRawFrame | TTSStoppedFrame:
        """Return the frame without what has been said."""
        frame = self.frame
        if isinstance(frame, TTSStoppedFrame) or not self.said_s:
            return frame
        said = round(self.said_s * frame.sample_rate) * frame.num_channels * 2
        return TTSAudioRawFrame(frame.audio[said:], frame.sample_rate, frame.num_channels, context_id=frame.context_id)


class LipstreamVideoService(AIService):
    """Gives a bot a face, in the bot's own process.

    Stands directly before the output transport, whose ``video_out_is_live`` should be set. If the face fails, the bot
    goes on speaking without it.

    Args:
        avatar: Id of an avatar in Lipstream's store, such as ``ada``; ``None`` for the first.
        articulation: How far the mouth goes, 0.5 to 1.5 of what was heard; ``None`` for the default.
        mark: Watermark that says that the picture is made by AI; ``None`` for none.
        engine: Draws for several bots of this process; ``None`` opens one for this bot.
        options: For the base class.
    """

    def __init__(
        self,
        *,
        avatar: str | None = None,
        articulation: float | None = None,
        mark: MarkStyle | None = MarkStyle(),  # noqa: B008 (immutable)
        engine: Engine | None = None,
        **options: Any,
    ) -> None:
        super().__init__(settings=ServiceSettings(model=None), **options)
        self._avatar, self._articulation, self._mark, self._engine = avatar, articulation, mark, engine
        self._face: Face | None = None
        self._showing: asyncio.Task[None] | None = None
        self._held: deque[_Held] = deque()  # what was given to the face and is not said yet, in order
        self._valid_from = 0  # utterances of the face before this one were cut off
        self._is_open = False
        self._rate = 24_000
        self._loaded = asyncio.Event()  # set when the face is there, or will not come
        self._shown = asyncio.Event()  # set after each picture

    @property
    def motions(self) -> tuple[str, ...]:
        """Names of the motions that the avatar can show; empty before it is loaded, and for an avatar of one clip."""
        return self._face.motions if self._face else ()

    def motion(self, name: str) -> None:
        """Show a motion once, as soon as the avatar is in the right pose; without a face nothing happens.

        Raises:
            NotFoundError: If the avatar has no such motion.
        """
        if self._face:
            self._face.motion(name)

    def can_generate_metrics(self) -> bool:
        """Return that the time to the first sound of an utterance is measured."""
        return True

    async def setup(self, setup: FrameProcessorSetup) -> None:  # type: ignore[override]  # as the base class itself
        """Note the sample rate of the output."""
        await super().setup(setup)
        self._rate = setup.audio_out_sample_rate

    async def start(self, frame: StartFrame) -> None:
        """Begin to load the face; the bot's first words wait for it, and nothing else."""
        await super().start(frame)
        transport = sys.modules.get("pipecat.transports.smallwebrtc.transport")
        if transport:
            keep_real_time(transport.RawVideoTrack)
        self._showing = self.create_task(self._load_and_show(), name="lipstream-face")

    async def stop(self, frame: EndFrame) -> None:
        """Say what is still to be said, and close the face."""
        await super().stop(frame)
        if self._is_open and self._face:
            self._is_open = False
            self._face.end()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                while self._held and self._face:
                    self._shown.clear()
                    await self._shown.wait()
        await self._close()

    async def cancel(self, frame: CancelFrame) -> None:
        """Close the face at once."""
        await super().cancel(frame)
        await self._close()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Give the bot's voice to the face; pass on what is not for it."""
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            await self._loaded.wait()
        if isinstance(frame, TTSAudioRawFrame) and self._face:
            await self._take(self._face, frame)
        elif isinstance(frame, TTSStoppedFrame) and self._face and self._is_open:
            self._is_open = False
            self._held.append(_Held(frame, 0.0))
            self._face.end()
        else:
            if isinstance(frame, InterruptionFrame) and self._face:
                self._valid_from = self._face.clear().following
                self._held.clear()
                self._is_open = False
            await self.push_frame(frame, direction)

    async def _take(self, face: Face, frame: TTSAudioRawFrame) -> None:
        if not self._is_open:
            self._is_open = True
            await self.start_ttfb_metrics()
        pcm = np.frombuffer(frame.audio, np.int16).reshape(-1, frame.num_channels)
        self._held.append(_Held(frame, len(pcm) / frame.sample_rate))
        face.push(pcm, rate=frame.sample_rate)

    async def _load_and_show(self) -> None:
        try:
            face = await asyncio.to_thread(
                Face,
                self._avatar,
                rate=self._rate,
                articulation=self._articulation,
                mark=self._mark,
                engine=self._engine,
            )
        except Exception as error:  # noqa: BLE001 (the bot speaks without a face)
            await self.push_error(f"no face: {error}", exception=error)
        else:
            self._face = face
        finally:
            self._loaded.set()
        if self._face:
            await self._show(self._face)

    async def _show(self, face: Face) -> None:
        try:
            async for frame in face.live(catch_up_s=FRAME_S):
                await self._push(face, frame)
                self._shown.set()
        except Exception as error:  # noqa: BLE001 (the bot speaks on without a face)
            self._face = None
            await self.push_error(f"the face stopped: {error}", exception=error)
            while self._held:
                await self.push_frame(self._held.popleft().rest())
            self._shown.set()
            await asyncio.to_thread(face.close)

    async def _push(self, face: Face, frame: FaceFrame) -> None:
        """Push a picture, with the sound that belongs to it."""
        await self.push_frame(OutputImageRawFrame(image=frame.rgb().tobytes(), size=face.size, format="RGB"))
        if frame.utterance is None or frame.utterance < self._valid_from:
            return
        if frame.sound is not None:
            if frame.position == frame.samples:
                await self.stop_ttfb_metrics()
            context = next((held.frame.context_id for held in self._held), None)
            await self.push_frame(TTSAudioRawFrame(frame.sound.tobytes(), face.rate, 1, context_id=context))
            self._note_said(frame.samples / face.rate)
        if frame.ended:
            while self._held:
                held = self._held.popleft()
                if isinstance(held.frame, TTSStoppedFrame):
                    await self.push_frame(held.frame)
                    break

    def _note_said(self, seconds: float) -> None:
        """Forget the sound that has been said."""
        while self._held and isinstance(self._held[0].frame, TTSAudioRawFrame) and seconds > 0:
            held = self._held[0]
            held.said_s += seconds
            seconds = held.said_s - held.seconds
            if seconds < -_ROUNDING_S:
                return
            self._held.popleft()

    async def _close(self) -> None:
        showing, self._showing = self._showing, None
        if showing:
            await self.cancel_task(showing)
        face, self._face = self._face, None
        if face:
            await asyncio.to_thread(face.close)
