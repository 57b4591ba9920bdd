"""What are the 40 ms of a frame spent on?

Each part of one speaking session's frame is measured alone, over real speech, in processor time of its thread: the
server's work between incoming sound and outgoing packets. The network's own time is measured by ``predictor``; here it
is given for comparison, at the batch of one session. Painting is also measured by the size of the face, as fields and
as pixels, the same mouths in a picture of noise.
"""

import itertools
import statistics
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pylibsrtp import Policy
from pylibsrtp import Session as SrtpSession

from benchmarks.report import Report, at_most
from benchmarks.signals import speech
from lipstream.avatar_cache.avatar import PreparedAvatar, load_prepared
from lipstream.avatar_cache.prepare import prepare
from lipstream.avatar_cache.store import AvatarStore, default_root
from lipstream.realtime.audio.jitter_buffer import JitterBuffer
from lipstream.realtime.audio.mel import SILENCE_LEVEL
from lipstream.realtime.audio.resample import Resampler
from lipstream.realtime.encoding.encoders import LiveVp8Encoder, SpeechEncoder
from lipstream.realtime.encoding.pacing import picture_frame, speech_frame
from lipstream.realtime.lipsync.backends import create_predictor
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS
from lipstream.realtime.lipsync.predictor import MouthPredictor, draw_with
from lipstream.realtime.packets import PcmChunk
from lipstream.realtime.picture.field_painter import FieldPainter
from lipstream.realtime.picture.mouth_painter import Box, MouthPainter
from lipstream.realtime.render import decide_frames
from lipstream.realtime.session.animator import Animator, ClipLoop
from lipstream.realtime.timeline import (
    BLOCK_SOUND,
    BLOCKS_PER_FRAME,
    FRAME_RATE_HZ,
    PACKET_SOUND,
    PTS_PER_FRAME,
    SAMPLE_RATE_HZ,
    SOUND_RATE_HZ,
)

QUESTION = "What are the 40 ms of a frame spent on?"
LIMIT_MS = 1.5
_FRAMES = 250
_FACES = ((512, 212), (1080, 400), (1080, 600))
"""Height of the picture and side of the face, px."""
_PAINTED = 80
_FIELDS_LIMIT, _LARGE_LIMIT_MS = 2.0, 2.5
_PACKETS_PER_FRAME = 2
_ENCODING, _MODEL = ("encode the picture (VP8)", "encode the speech (Opus)"), "model, batch of 1"


class _Stopwatch:
    """Processor time of this thread, ms, by part and frame."""

    def __init__(self) -> None:
        self.parts: dict[str, list[float]] = {}

    @contextmanager
    def time(self, part: str, *, times: int = 1) -> Iterator[None]:
        began_s = time.thread_time()
        yield
        self.parts.setdefault(part, []).append((time.thread_time() - began_s) * 1000 * times)


def run() -> Report:
    """Measure."""
    cv2.setNumThreads(1)  # as in the server
    name, sound = speech()
    store = AvatarStore(default_root())
    predictor = create_predictor(BUILT_IN_WEIGHTS, device="cpu", cache=store.graphs, threads=1)
    avatar = store.load("ada")
    prepare(avatar, predictor)
    prepared = load_prepared(avatar, predictor.metadata.fingerprint)
    watch = _Stopwatch()
    _measure(watch, predictor, prepared, sound)
    report = Report(QUESTION, {"weights": BUILT_IN_WEIGHTS.name, "avatar": "ada", "speech": name})
    for part, values in watch.parts.items():
        report.rows.append({"part": part, "ms a frame": round(statistics.median(values), 3), "n": len(values)})
    sizes = _by_size(predictor, prepared, sound)
    report.rows += sizes
    rest = sum(row["ms a frame"] for row in report.rows if row["part"] not in (*_ENCODING, _MODEL) and row not in sizes)
    fields, pixels, *_, large, _ = (row["ms a frame"] for row in sizes)
    report.goals = [
        at_most("a frame but for model and encoding", round(rest, 3), LIMIT_MS, "ms"),
        at_most("painting fields in a face of 212 px", round(fields / pixels, 2), _FIELDS_LIMIT, "of pixels"),
        at_most("painting fields in a face of 600 px", large, _LARGE_LIMIT_MS, "ms"),
    ]
    return report


def _measure(
    watch: _Stopwatch, predictor: MouthPredictor, avatar: PreparedAvatar, sound: npt.NDArray[np.float32]
) -> None:
    compositor, loop = avatar.compositor(), ClipLoop(avatar.manifest.loop_frames, avatar.manifest.loop)
    draw, _ = draw_with(predictor)
    animator = Animator(loop, window_offset_samples=predictor.metadata.window_offset_samples)
    pictures, words = LiveVp8Encoder(), SpeechEncoder()
    lock = SrtpSession(Policy(key=bytes(30), ssrc_type=Policy.SSRC_ANY_OUTBOUND))
    sequence = itertools.count()
    for index, (heard, listened) in enumerate(_frames(sound, watch)):
        with watch.time("analyse: mel, voice, windows"):
            jobs = animator.push(PcmChunk(animator.position, heard))
        for job in jobs:
            if job.mel is None:
                continue
            frames = np.array([job.clip_frame])
            with watch.time("gather the batch"):
                _ = [level[frames] for level in avatar.features.levels]
            with watch.time(_MODEL):
                mouths = draw(job.mel[None], avatar.features, frames)
            with watch.time("composite"):
                picture = compositor.compose(job.clip_frame, mouths[0], job.spoken)
            frame = picture_frame(index, picture)
            with watch.time(_ENCODING[0]):
                payloads, _ = pictures.encode(frame)
            with watch.time("packets: SRTP"):
                for payload in payloads:
                    lock.protect(_rtp(next(sequence), index * PTS_PER_FRAME, payload))
        packet = speech_frame(index, listened)
        with watch.time(_ENCODING[1], times=_PACKETS_PER_FRAME):
            words.encode(packet)


def _by_size(predictor: MouthPredictor, avatar: PreparedAvatar, sound: npt.NDArray[np.float32]) -> list[dict[str, Any]]:
    """Return rows with the time to paint a mouth as fields and as pixels, for faces of several sizes."""
    loop, offset = ClipLoop(avatar.manifest.loop_frames, avatar.manifest.loop), predictor.metadata.window_offset_samples
    jobs = [job for job in decide_frames(sound, loop, window_offset_samples=offset) if job.spoken == 1][:_PAINTED]
    mels = np.stack([job.mel for job in jobs if job.mel is not None])
    frames = np.array([job.clip_frame for job in jobs])
    silence = np.full_like(mels, SILENCE_LEVEL)
    draw, _ = draw_with(predictor)
    moved, still = draw(mels, avatar.features, frames), draw(silence, avatar.features, frames)
    new, shown = (predictor.predict(each, avatar.features, frames) for each in (mels, silence))
    geometry = avatar.region, avatar.crop_size, avatar.geometry.outline
    rows = []
    for height, side in _FACES:
        noise = np.random.default_rng(side).integers(16, 236, (height * 3 // 2, height), np.uint8)
        box = Box(0, 0, side, side)
        fields, pixels = FieldPainter(*geometry), MouthPainter(*geometry)
        under, watch = fields.cut(noise, box), _Stopwatch()
        for at in range(len(jobs)):
            with watch.time("fields"):
                fields.restore(noise, box, under)
                fields.paint(noise, box, rest=still[at], new=moved[at])
            fields.restore(noise, box, under)
            with watch.time("pixels"):
                pixels.paint(noise, box, shown=shown[at], new=new[at])
            fields.restore(noise, box, under)
        for kind, values in watch.parts.items():
            part = f"paint {kind}, face {side} px in {height}p"
            rows.append({"part": part, "ms a frame": round(statistics.median(values), 3), "n": len(values)})
    return rows


def _frames(
    sound: npt.NDArray[np.float32], watch: _Stopwatch
) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.int16]]]:
    """Yield each frame's speech at 16 kHz for the animator, and a packet of it at 48 kHz, as in a session."""
    source, resampler = JitterBuffer(), Resampler(SOUND_RATE_HZ, SAMPLE_RATE_HZ)
    frame_sound = BLOCKS_PER_FRAME * BLOCK_SOUND
    for index in range(_FRAMES):
        start = index * frame_sound % (sound.size - frame_sound)
        heard, now_s = sound[start : start + frame_sound], index / FRAME_RATE_HZ
        with watch.time("take the sound in"):
            for at in range(0, frame_sound, PACKET_SOUND):
                source.push(index * frame_sound + at, heard[at : at + PACKET_SOUND], now_s)
            blocks = [source.pull(now_s + block / 100)[0] for block in range(BLOCKS_PER_FRAME)]
        with watch.time("resample to 16 kHz"):
            resampled = resampler.push(np.concatenate(blocks))
        yield resampled, np.rint(heard[:PACKET_SOUND] * 32767).astype(np.int16)


def _rtp(sequence: int, timestamp: int, payload: bytes) -> bytes:
    return struct.pack("!BBHII", 0x80, 97, sequence & 0xFFFF, timestamp, 1) + payload
