"""A face that a program drives: PCM in, pictures with their sound out, without a server."""

import asyncio
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.avatar import PreparedAvatar
from lipstream.avatar_cache.motion_graph import USUAL_LIVELINESS
from lipstream.realtime.audio.mel import Mel
from lipstream.realtime.errors import NotFoundError
from lipstream.realtime.face.engine import Engine
from lipstream.realtime.face.frame import Frame
from lipstream.realtime.face.pacing import LiveFrames
from lipstream.realtime.face.speech import Cut, Sound, Speech, SpeechFrame
from lipstream.realtime.lipsync.mouth_code import SpokenFrame
from lipstream.realtime.picture.mark_style import MarkStyle
from lipstream.realtime.picture.mouth_painter import Mouth
from lipstream.realtime.session.motion_player import MotionPlayer, frame_choice
from lipstream.realtime.session.playout import next_weight

Pcm = npt.NDArray[np.int16] | npt.NDArray[np.float32] | bytes | bytearray | memoryview

_FULL_SCALE = np.float32(32768)


class Face:
    """A face that speaks what is pushed. A context manager that closes itself; safe to use from several threads.

    Sound comes in utterances: :meth:`push` adds to one, :meth:`end` marks its end. Frames come as fast as they are
    asked for: iterate over the face for those that are ready, or call :meth:`next_frame`, which always returns one, at
    rest if there is nothing to say. :meth:`live` yields one every 40 ms. A mouth looks ahead into the sound, 60 ms with
    the built-in weights, so sound that comes faster than it is heard, as from a speech engine, is not delayed.

    The picture is drawn in the engine's thread. No event loop is needed; ``async for`` and :meth:`next_frame_async`
    wait without blocking one.

    Args:
        avatar: Id of an avatar in the store, such as ``ada``; ``None`` for the first.
        rate: Sample rate of the sound in frames, and of what is pushed without a rate: 8000 to 192000 Hz, a multiple of
            25.
        articulation: How far the mouth goes, 0.5 to 1.5 of what was heard; ``None`` for the default.
        liveliness: How much of the stress in speech the head of a photograph with motions shows, 0 to 1.
        mark: Watermark that says that the picture is made by AI; ``None`` for none (docs/DISCLOSURE.md).
        engine: Draws for this face and others, and stays open; ``None`` opens one for this face.
        store: Folder of avatars and 8-bit networks, for an engine of its own; ``None`` for that of the server.

    Raises:
        LipstreamError: If there is no such avatar, or it or the network cannot be loaded.
        ValueError: If the rate or the liveliness is out of range.
    """

    def __init__(
        self,
        avatar: str | None = None,
        *,
        rate: int = 24_000,
        articulation: float | None = None,
        liveliness: float = USUAL_LIVELINESS,
        mark: MarkStyle | None = MarkStyle(),  # noqa: B008 (immutable)
        engine: Engine | None = None,
        store: str | Path | None = None,
    ) -> None:
        if not 0 <= liveliness <= 1:
            raise ValueError(f"the liveliness is between 0 and 1, not {liveliness}")
        self.rate = rate
        self._mark, self._liveliness = mark, liveliness
        self._own_engine = engine is None
        self._engine = engine or Engine(store=store)
        self._lock = threading.Lock()
        self._closed = False
        self._live: weakref.WeakSet[LiveFrames] = weakref.WeakSet()
        self._holds = True  # whether nobody speaks now
        self._draws = True  # whether the device has not failed
        try:
            metadata = self._engine.metadata
            self._speech = Speech(rate, window_offset_samples=metadata.window_offset_samples)
            self._articulation = metadata.articulation(articulation) or 1.0
            self._stream = self._engine.new_stream()
            self._shown = self._mouths_from = 0
            self._mouth: Mouth | None = None
            self._weight = 0.0
            self.show(avatar)
        except BaseException:
            self.close()
            raise

    @property
    def avatar(self) -> str:
        """Id of the avatar that is shown."""
        return self._avatar.manifest.id

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures, px."""
        return self._avatar.manifest.size

    @property
    def resting(self) -> bool:
        """Whether all that was pushed has been said, and the mouth is at rest."""
        with self._lock:
            return self._speech.resting and not self._weight

    @property
    def ready(self) -> bool:
        """Whether the next frame needs no more sound: it speaks, or the mouth closes after all that was said."""
        with self._lock:
            return self._speech.ready or (self._speech.resting and self._weight > 0)

    @property
    def waiting_ms(self) -> float:
        """How much sound was pushed and is not handed out, ms."""
        with self._lock:
            return self._speech.waiting_samples * 1000 / self.rate

    def show(self, avatar: str | None) -> None:
        """Show another avatar from the next frame on; speech goes on.

        Raises:
            LipstreamError: If there is no such avatar, or it cannot be prepared.
        """
        prepared = self._engine.load(avatar)
        with self._lock:
            self._avatar, self._compositor = prepared, prepared.compositor(self._mark)
            self._choice = frame_choice(prepared.manifest, liveliness=self._liveliness)
            self._mouth = None  # it is the other face's

    @property
    def motions(self) -> tuple[str, ...]:
        """Names of the motions that the avatar can show; empty for an avatar of one clip."""
        with self._lock:
            return self._choice.motions if isinstance(self._choice, MotionPlayer) else ()

    def motion(self, name: str) -> None:
        """Show a motion once, as soon as the avatar is in the right pose; frames of it say so.

        Raises:
            NotFoundError: If the avatar has no such motion.
        """
        with self._lock:
            if not isinstance(self._choice, MotionPlayer):
                raise NotFoundError("the avatar has no motions")
            self._choice.request(name)

    def listen(self, *, listens: bool = True) -> None:
        """Look like somebody who listens, or no more; an avatar without a clip for it changes nothing.

        Args:
            listens: Whether a person speaks to the face; default true.
        """
        with self._lock:
            if isinstance(self._choice, MotionPlayer):
                self._choice.listen(listens=listens)

    def push(self, pcm: Pcm, *, rate: int | None = None) -> None:
        """Add sound to the open utterance; the first sound after :meth:`end` begins another.

        Args:
            pcm: ``int16`` or ``float32`` in -1..1, ``[n]`` or ``[n, channels]``; or bytes of mono ``int16``, little
                endian. Any length.
            rate: Its sample rate, 8000 to 192000 Hz, the same within an utterance; ``None`` for the face's own.

        Raises:
            ValueError: If it is none of these, or the rate changes within an utterance.
        """
        samples = _as_sound(pcm)
        with self._lock:
            self._speech.push(samples, rate or self.rate)
            self._note_speech()

    def end(self) -> None:
        """Mark the end of the utterance; without sound before, of an empty one. One frame carries the mark."""
        with self._lock:
            self._speech.end()
            self._note_speech()

    def clear(self) -> Cut:
        """Stop speaking: drop what is not handed out, without marks of an end, and close the mouth.

        Returns:
            The utterance that was cut off, and how much of it had been handed out.
        """
        with self._lock:
            self._holds = True
            return self._speech.clear()

    def next_frame(self) -> Frame:
        """Return the next frame; at rest, or with the mouth closing, if there is nothing to say yet.

        Raises:
            RuntimeError: If the face is closed.
            DeviceLostError: If the device fails. Later frames have the mouth at rest, and sound goes on.
        """
        return self._engine.submit(self._next).result()

    async def next_frame_async(self) -> Frame:
        """Return the next frame, as :meth:`next_frame` does."""
        return await asyncio.wrap_future(self._engine.submit(self._next))

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames that are ready, until more sound is needed or the mouth is at rest again."""
        while self.ready:
            yield self.next_frame()

    async def __aiter__(self) -> AsyncIterator[Frame]:
        """Yield the frames that are ready, as in iteration without ``async``."""
        while self.ready:
            yield await self.next_frame_async()

    def live(self, *, catch_up_s: float = 1.0) -> LiveFrames:
        """Return an endless iterator, with or without ``async``, that yields a frame every 40 ms of real time.

        The first frame of speech comes as soon as its sound is there, and the next 40 ms later.

        Args:
            catch_up_s: How late a caller may be and get the frames it has missed at once, so that its sound ends when
                it should; after a longer delay speech goes on where it was.
        """
        frames = LiveFrames(self.next_frame, self.next_frame_async, catch_up_s)
        with self._lock:
            self._live.add(frames)
        return frames

    def close(self) -> None:
        """End the face, and the engine if it has one of its own. May be called again."""
        self._closed = True
        if self._own_engine:
            self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _note_speech(self) -> None:
        """Tell those who wait for the next frame's time that speech begins; the lock is held."""
        if self._holds and self._live and self._speech.ready:
            for frames in self._live:
                frames.note_speech()

    def _next(self) -> Frame:
        if self._closed:
            raise RuntimeError("the face is closed")
        with self._lock:  # but while the picture is drawn: sound that is pushed does not wait for it
            said = self._speech.next_frame()
            self._holds = said.utterance is None
            number, avatar, compositor, mouth = self._shown, self._avatar, self._compositor, self._mouth
            clip_frame = self._choice.decide(number, speaks=said.spoken > 0, stress=said.stress)
            motion = self._choice.motion if isinstance(self._choice, MotionPlayer) else None
            self._shown += 1
        if said.mel is not None and self._draws:
            mouth = self._draw(said, said.mel, avatar, clip_frame)
        weight = next_weight(said.spoken if mouth is not None else 0.0, self._weight)
        picture = compositor.compose(clip_frame, mouth, weight)
        picture.flags.writeable = False
        with self._lock:
            self._weight = weight
            if self._compositor is compositor:  # else it is another face's
                self._mouth = mouth if weight else None
        sound = None if said.sound is None else _as_int16(said.sound)
        return Frame(number, picture, sound, said.samples, said.utterance, said.position, said.ended, weight, motion)

    def _draw(self, said: SpeechFrame, mel: Mel, avatar: PreparedAvatar, clip_frame: int) -> Mouth:
        spoken = SpokenFrame(self._stream, said.frame, said.continues, self._articulation)
        frames = np.array([clip_frame])
        try:
            mouth: Mouth = self._engine.drawer.draw([spoken], mel[None], avatar.features, frames)[0]
        except BaseException:
            self._draws, self._mouth = False, None
            raise
        return mouth


def _as_sound(pcm: Pcm) -> Sound:
    if isinstance(pcm, bytes | bytearray | memoryview):
        raw = bytes(pcm)
        if len(raw) % 2:
            raise ValueError("bytes of int16 come in pairs")
        pcm = np.frombuffer(raw, "<i2")
    samples: npt.NDArray[Any] = np.asarray(pcm)
    if samples.dtype == np.int16:
        samples = samples / _FULL_SCALE
    elif samples.dtype.kind != "f":
        raise ValueError(f"sound is int16 or float32, not {samples.dtype}")
    if samples.ndim == 2:
        samples = samples.mean(axis=1)
    if samples.ndim != 1:
        raise ValueError(f"sound is [n] or [n, channels], not of shape {samples.shape}")
    sound: Sound = np.clip(np.nan_to_num(samples), -1.0, 1.0).astype(np.float32)
    return sound


def _as_int16(sound: Sound) -> npt.NDArray[np.int16]:
    rounded: npt.NDArray[np.int16] = np.clip(np.rint(sound * _FULL_SCALE), -32768, 32767).astype(np.int16)
    return rounded
