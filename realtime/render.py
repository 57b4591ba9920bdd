"""Renders a sound file to a video: the live path's animator, worker and compositor, without its clock.

``lipstream render --audio IN --out OUT.mp4 [--avatar ID]``. The file has no latency: sound starts at 0, and frame
``n`` shows the mouth for the samples from ``640 n`` on. The same input gives the same frames. Picture and file are
labelled as made by AI (`realtime.picture.watermark`, `realtime.picture.provenance`).
"""

import argparse
import asyncio
import fractions
import logging
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import get_args

import av
import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.avatar import load_prepared
from lipstream.avatar_cache.motion_graph import MotionsMode
from lipstream.avatar_cache.store import AvatarStore, default_root
from lipstream.realtime.audio.resample import Resampler
from lipstream.realtime.audio.sound_file import Recording, open_sound
from lipstream.realtime.errors import LipstreamError
from lipstream.realtime.lipsync.alignment import samples_needed
from lipstream.realtime.lipsync.articulation import DEFAULT_ARTICULATION
from lipstream.realtime.lipsync.backends import PRECISIONS
from lipstream.realtime.lipsync.metadata import (
    ARTICULATION_HELP,
    BUILT_IN_WEIGHTS,
    MODEL_FORM,
    MODEL_HELP,
    PADS_FORM,
    PADS_HELP,
    articulation_argument,
    pads_argument,
)
from lipstream.realtime.lipsync.own_model import model_argument
from lipstream.realtime.packets import PcmChunk, RenderJob
from lipstream.realtime.picture.i420 import Picture
from lipstream.realtime.picture.mark_style import CORNERS, MarkStyle
from lipstream.realtime.picture.provenance import content_id, open_marked, provenance
from lipstream.realtime.session.animator import Animator, FrameChoice
from lipstream.realtime.session.planned_motions import MOTION_FORM, PlannedMotion, planned_choice, planned_motion
from lipstream.realtime.timeline import FRAME_RATE_HZ, SAMPLE_RATE_HZ, SOUND_RATE_HZ, frames_covering
from lipstream.realtime.workers.render_client import RenderWorker
from lipstream.realtime.workers.render_worker import WorkerSettings

BATCH = 8
"""Frames that are predicted together: batches are the same in every run, so that a second run gives the same bytes."""

SOUND_PER_FRAME = SOUND_RATE_HZ // FRAME_RATE_HZ

_MARK = MarkStyle()

Sound = npt.NDArray[np.float32]


def read_sound(path: Path) -> Sound:
    """Return the sound of any file that FFmpeg reads, ``float32[n]``, 48 kHz mono; see :func:`open_sound`.

    Raises:
        BadRequestError: If the file cannot be read or holds no sound.
    """
    return np.concatenate(list(open_sound(path).blocks()))


def decide_frames(sound: Sound, loop: FrameChoice, *, window_offset_samples: int) -> list[RenderJob]:
    """Return the jobs of all frames that show ``sound``, ``float32[n]`` at 48 kHz; the last frame may be partial."""
    return list(iterate_frames((sound,), loop, window_offset_samples=window_offset_samples))


def iterate_frames(blocks: Iterable[Sound], loop: FrameChoice, *, window_offset_samples: int) -> Iterator[RenderJob]:
    """Yield the jobs of all frames that show a sound, ``float32[n]`` at 48 kHz a block, however it is cut.

    A frame is decided a second late: what follows a sound decides when its mouth opens and closes.
    """
    resampler = Resampler(SOUND_RATE_HZ, SAMPLE_RATE_HZ)
    animator, decided = Animator(loop, window_offset_samples=window_offset_samples), 0
    for block in blocks:
        animator.take(PcmChunk(animator.position, resampler.push(block)))
        known = animator.position - SAMPLE_RATE_HZ
        while samples_needed(decided, window_offset_samples=window_offset_samples) <= known and (
            job := animator.decide()
        ):
            decided += 1
            yield job
    rest = resampler.flush()
    frames = frames_covering(animator.position + rest.size)
    needed = samples_needed(frames, window_offset_samples=window_offset_samples)
    silence = max(0, needed - animator.position - rest.size)
    animator.take(PcmChunk(animator.position, np.pad(rest, (0, silence))))
    while decided < frames and (job := animator.decide()):
        decided += 1
        yield job


async def render_pictures(
    sound: Sound | Recording,
    worker: RenderWorker,
    store: AvatarStore,
    avatar_id: str,
    mark: MarkStyle | None = None,
    articulation: float = DEFAULT_ARTICULATION,
    mode: MotionsMode = "off",
    motions: Sequence[PlannedMotion] = (),
) -> AsyncIterator[tuple[int, Picture]]:
    """Yield the number of frames with each frame's picture, I420, in order.

    Args:
        sound: A recording, or ``float32[n]``, 48 kHz mono.
        mark: Watermark on every picture; ``None`` for none.
        articulation: How far the mouth goes, 0.5 to 1.5 of what was heard.
        mode: Whether an avatar of several clips changes its clip with the sound, or when a motion is due, or never.
        motions: Motions to show.

    Raises:
        NotFoundError: If the avatar has no such motion.
    """
    assert worker.metadata is not None
    await worker.load_avatar(avatar_id)
    avatar = load_prepared(store.load(avatar_id), worker.metadata.fingerprint)
    compositor = avatar.compositor(mark)
    loop = planned_choice(avatar.manifest, mode, motions)
    recording = sound if isinstance(sound, Recording) else Recording.of(sound)
    frames = -(-recording.samples // SOUND_PER_FRAME)
    offset = worker.metadata.window_offset_samples
    jobs = iterate_frames(recording.blocks(), loop, window_offset_samples=offset)
    source = _MouthSource(worker, avatar_id, articulation)
    try:
        while batch := list(islice(jobs, BATCH)):
            mouths = await source.draw([job for job in batch if job.mel is not None])
            for job in batch:
                yield frames, compositor.compose(job.clip_frame, mouths.get(job.frame), job.spoken)
    finally:
        source.close()


class _MouthSource:
    """One stream of mouths from a worker whose avatar is loaded."""

    def __init__(self, worker: RenderWorker, avatar_id: str, articulation: float) -> None:
        self._worker, self._avatar_id = worker, avatar_id
        self._mouths: dict[int, npt.NDArray[np.uint8]] = {}
        self._arrived = asyncio.Event()
        self._stream = worker.open_stream(avatar_id, self._take, articulation=articulation)

    def _take(self, frame: int, mouth: npt.NDArray[np.uint8]) -> None:
        self._mouths[frame] = mouth
        self._arrived.set()

    async def draw(self, jobs: list[RenderJob]) -> dict[int, npt.NDArray[np.uint8]]:
        """Return the mouths of some jobs, by frame; ask again if the worker dies meanwhile."""
        worker, self._mouths = self._worker, {}
        while len(self._mouths) < len(jobs):
            while not worker.ready:  # noqa: ASYNC110 (the worker is being restarted)
                await asyncio.sleep(0.05)
            await worker.load_avatar(self._avatar_id)
            restarts = worker.counts.restarts
            self._mouths.clear()
            for job in jobs:
                self._stream.submit(job)
            worker.flush()
            while len(self._mouths) < len(jobs) and worker.counts.restarts == restarts:
                self._arrived.clear()
                try:
                    async with asyncio.timeout(0.5):
                        await self._arrived.wait()
                except TimeoutError:
                    continue
        return self._mouths

    def close(self) -> None:
        """Discard the mouths that still come."""
        self._stream.close()


async def render(
    sound: Sound | Recording,
    out: Path,
    settings: WorkerSettings,
    avatar_id: str,
    mark: MarkStyle | None = None,
    producer: str = "",
    articulation: float | None = None,
    mode: MotionsMode = "off",
    motions: Sequence[PlannedMotion] = (),
) -> int:
    """Write the video ``out``; return its number of frames.

    Args:
        sound: A recording, or ``float32[n]``, 48 kHz mono.
        mark: Watermark on every picture; ``None`` for none.
        producer: Producer in the file's metadata; empty for this software.
        articulation: How far the mouth goes, 0.5 to 1.5 of what was heard; ``None`` for the default.
        mode: Whether an avatar of several clips changes its clip with the sound, or when a motion is due, or never.
        motions: Motions to show.

    Raises:
        ConflictError: If the weights have no articulation, and one is given.
        NotFoundError: If the avatar has no such motion.
    """
    store = AvatarStore(settings.store)
    face = store.load(avatar_id).manifest
    worker = RenderWorker(settings)
    try:
        weights = await worker.start()
        goes = weights.articulation(articulation)
        recording = sound if isinstance(sound, Recording) else Recording.of(sound)
        clips = () if mode == "off" else (mode, repr(motions))
        made_id = content_id(recording.digest, face.to_json(), weights.fingerprint, repr(mark), repr(goes), *clips)
        facts = provenance(made_id, avatar=face.name, consent=face.consent, producer=producer)
        done = 0
        with open_marked(out, facts) as container:
            video = container.add_stream("libx264", rate=FRAME_RATE_HZ, options={"crf": "16", "preset": "medium"})
            audio = container.add_stream("aac", rate=SOUND_RATE_HZ, layout="mono")
            video.pix_fmt, video.codec_context.color_range = "yuv420p", 1
            video.codec_context.colorspace = 6  # BT.601 (SMPTE 170M), limited range, like the pictures
            spoken = _SoundWriter(container, audio, recording)
            shown = render_pictures(recording, worker, store, avatar_id, mark, goes or 1.0, mode, motions)
            async for total, picture in shown:
                if not done:
                    video.width, video.height = picture.shape[1], picture.shape[0] * 2 // 3
                frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
                frame.pts, frame.time_base = done, fractions.Fraction(1, FRAME_RATE_HZ)
                container.mux(video.encode(frame))
                done += 1
                spoken.write(done * SOUND_PER_FRAME)
                _show_progress(done, total)
            container.mux(video.encode(None))
            spoken.close()
        return done
    finally:
        await worker.close()


class _SoundWriter:
    """Writes the sound beside the pictures, so that no muxer has to keep either of them."""

    def __init__(self, container: av.container.OutputContainer, stream: av.AudioStream, recording: Recording) -> None:
        self._container, self._stream, self._blocks = container, stream, recording.blocks()
        self._written = 0

    def write(self, until: int) -> None:
        """Write the blocks that begin before a sample, 48 kHz."""
        while self._written < until and (block := next(self._blocks, None)) is not None:
            frame = av.AudioFrame.from_ndarray(block[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = SOUND_RATE_HZ, self._written
            frame.time_base = fractions.Fraction(1, SOUND_RATE_HZ)
            self._container.mux(self._stream.encode(frame))
            self._written += block.size

    def close(self) -> None:
        """Write the rest."""
        self.write(sys.maxsize)
        self._container.mux(self._stream.encode(None))


def _show_progress(done: int, total: int) -> None:
    if sys.stderr.isatty() or done == total:
        filled = 40 * done // total
        print(f"\r[{'#' * filled}{'.' * (40 - filled)}] {done}/{total} frames", end="", file=sys.stderr)
        if done == total:
            print(file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="lipstream render", description="Sound in, a speaking face out.")
    parser.add_argument("--audio", type=Path, required=True, help="any file with sound")
    parser.add_argument("--out", type=Path, required=True, help="the video to write (.mp4)")
    parser.add_argument("--avatar", default="", help="avatar id (default: the first)")
    parser.add_argument("--store", type=Path, default=default_root(), help="folder of avatars and 8-bit networks")
    parser.add_argument("--weights", type=Path, default=BUILT_IN_WEIGHTS, help="weights file")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="of the network's arithmetic")
    parser.add_argument(
        "--articulation",
        type=articulation_argument,
        help=f"{ARTICULATION_HELP} (default: {DEFAULT_ARTICULATION})",
    )
    parser.add_argument(
        "--motion",
        action="append",
        default=[],
        type=planned_motion,
        metavar=MOTION_FORM,
        help="show a motion of the avatar from that second on, any number of times (docs/MOTIONS.md)",
    )
    parser.add_argument(
        "--motions",
        choices=get_args(MotionsMode),
        help="whether an avatar of several clips speaks in a clip of its own (default: auto with --motion, else off)",
    )
    parser.add_argument("--mark-text", default=_MARK.text, help="what the mark says (default: %(default)s)")
    parser.add_argument("--mark-corner", choices=CORNERS, default=_MARK.corner, help="default: %(default)s")
    parser.add_argument(
        "--mark-size", type=float, default=_MARK.size, help="of the picture's short side (default: %(default)s)"
    )
    parser.add_argument(
        "--no-mark", action="store_true", help="no mark; docs/DISCLOSURE.md says what follows from that"
    )
    parser.add_argument("--producer", default="", help="who makes the file, for its metadata")
    parser.add_argument("--window-offset", type=int, help="samples from a frame's start to its mel window's")
    parser.add_argument("--pads", type=pads_argument, metavar=PADS_FORM, help=PADS_HELP)
    parser.add_argument("--model", type=model_argument, default="", metavar=MODEL_FORM, help=MODEL_HELP)
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings = WorkerSettings(
        weights=chosen.weights.absolute(),
        store=chosen.store.absolute(),
        device=chosen.device,
        precision=chosen.precision,
        window_offset_samples=chosen.window_offset,
        pads=chosen.pads,
        model=chosen.model,
    )
    try:
        mark = None if chosen.no_mark else MarkStyle(chosen.mark_text, chosen.mark_corner, chosen.mark_size)
        sound = open_sound(chosen.audio)
        for note in sound.notes:
            print(f"render: {note}", file=sys.stderr)
        avatar_id = chosen.avatar or AvatarStore(chosen.store).first()
        mode: MotionsMode = chosen.motions or ("auto" if chosen.motion else "off")
        made = render(
            sound, chosen.out, settings, avatar_id, mark, chosen.producer, chosen.articulation, mode, chosen.motion
        )
        frames = asyncio.run(made)
    except LipstreamError as error:
        print(f"render: {error.message}", file=sys.stderr)
        return 1
    except (av.FFmpegError, OSError, ValueError) as error:
        print(f"render: cannot write {chosen.out}: {error}", file=sys.stderr)
        return 1
    print(f"{chosen.out}: {frames} frames, {sound.samples / SOUND_RATE_HZ:.2f} s of sound")
    return 0


if __name__ == "__main__":
    sys.exit(main())
