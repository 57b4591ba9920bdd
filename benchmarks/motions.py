"""Do motions cost what they may, and does a switch show?

A built-in person with motions speaks recorded prompts, is asked for motions, and listens, for ten minutes of virtual
time; what is shown is compared picture by picture, small and as a whole. Head energy is the change of the picture of
the forehead from frame to frame, and is correlated with the loudness of the speech, both averaged over a fifth of a
second. Processor time is measured in turns with the same avatar without motions, of deciding and composing alone and
of a server in calls (`benchmarks.live_motions`).
"""

import asyncio
import random
import statistics
import time

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.live_motions import add_live
from benchmarks.report import Goal, Report, at_most
from benchmarks.signals import speech
from lipstream.avatar_cache.avatar import PreparedAvatar
from lipstream.avatar_cache.blend_quality import measure_blend
from lipstream.avatar_cache.face_track import thumbnail
from lipstream.avatar_cache.motion_graph import IDLE, SPEAKING, STATES, ClipRange
from lipstream.avatar_cache.motion_steps import LARGEST_STEP
from lipstream.avatar_cache.prepare import decode_clip, prepare
from lipstream.avatar_cache.store import AvatarStore, default_root
from lipstream.realtime.lipsync.backends import create_predictor
from lipstream.realtime.lipsync.fields import FINE_FIELD_BYTES, with_paint
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS, WeightsMetadata
from lipstream.realtime.packets import RenderJob
from lipstream.realtime.picture.i420 import i420_to_bgr, planes
from lipstream.realtime.render import decide_frames
from lipstream.realtime.session.motion_player import MotionPlayer, MotionStarted, frame_choice
from lipstream.realtime.timeline import FRAME_RATE_HZ, SAMPLES_PER_FRAME, SOUND_PER_SAMPLE, SOUND_RATE_HZ

QUESTION = "Do motions cost what they may, and does a switch show?"
AVATAR, PERSON = "ada-lively", "ada"
_MINUTES = 10
_SPEAKING_S, _MOTION_S, _MEMORY_MB = 0.4, 0.8, 700.0
_CORRELATION = (0.3, 0.7)
_DELAY_FRAMES = 2
"""A session with the built-in weights leaves its frames 80 ms after they are decided."""
_SIX_MOTIONS_FRAMES = 6 * 8 * FRAME_RATE_HZ
_TURNS = 7
_PAUSE_S = 2
"""Silence after each run of the prompts, so that the face comes to rest."""
_SOUND_PER_FRAME = SAMPLES_PER_FRAME * SOUND_PER_SAMPLE
Floats = npt.NDArray[np.float64]


def run() -> Report:
    """Measure the avatar; film and prepare it first if it is not there."""
    store = AvatarStore(default_root())
    predictor = create_predictor(BUILT_IN_WEIGHTS, device="cpu", cache=store.graphs)
    avatar = store.load(AVATAR)
    prepared = prepare(avatar, predictor)
    avatar = store.load(AVATAR)
    name, sound = speech()
    sound = np.concatenate((sound, np.zeros(_PAUSE_S * SOUND_RATE_HZ, np.float32)))
    sound = np.tile(sound, -(-_MINUTES * 60 * SOUND_RATE_HZ // sound.size))[: _MINUTES * 60 * SOUND_RATE_HZ]
    report = Report(QUESTION, {"avatar": AVATAR, "speech": name, "virtual minutes": _MINUTES})
    looks = np.stack([thumbnail(i420_to_bgr(frame)) for frame in prepared.frames])
    shown, waits = _switched(prepared, sound, predictor.metadata)
    _steps(report, prepared, looks, shown)
    _waits(report, waits)
    _energies(report, prepared, sound, predictor.metadata)
    _blends(report, prepared, list(decode_clip(avatar.clip, avatar.manifest)))
    _costs(report, prepared, sound[: 20 * SOUND_RATE_HZ], predictor.metadata)
    _memory(report, prepared)
    asyncio.run(add_live(report, AVATAR, PERSON, sound[: 60 * SOUND_RATE_HZ]))
    return report


def _memory(report: Report, prepared: PreparedAvatar) -> None:
    """Add what is mapped from files: of this avatar, and by its bytes a frame of one with six motions of 8 s."""
    size_mb = sum(prepared.bytes().values()) / 1e6
    six_mb = size_mb / prepared.manifest.frames * _SIX_MOTIONS_FRAMES
    report.rows += [
        {"what": f"mapped, shared by all sessions: {prepared.manifest.frames} frames", "value": round(size_mb),
         "unit": "MB"},
        {"what": f"the same of six motions of 8 s: {_SIX_MOTIONS_FRAMES} frames", "value": round(six_mb), "unit": "MB"},
    ]  # fmt: skip
    report.goals.append(at_most("mapped", round(six_mb, 1), _MEMORY_MB, "MB"))


class _Asked:
    """A player that is asked for a motion, or told of a visitor, now and then."""

    def __init__(self, player: MotionPlayer) -> None:
        self._player, self._chance = player, random.Random(3)
        self._asked: tuple[int, str] | None = None
        self._spoken_since: int | None = None
        self._was_free = False
        self.waits: dict[str, list[int]] = {"motion": [], SPEAKING: []}

    @property
    def follows_stress(self) -> bool:
        return self._player.follows_stress

    def decide(self, frame: int, *, speaks: bool, stress: float = 0.0) -> int:
        if self._asked is None and self._player.clip in STATES and self._chance.random() < 0.01:
            self._asked = frame, self._chance.choice(self._player.motions)
            self._player.request(self._asked[1])
        if self._chance.random() < 0.005:
            self._player.listen(listens=self._chance.random() < 0.5)
        before = self._player.clip
        shown = self._player.decide(frame, speaks=speaks, stress=stress)
        for event in self._player.take_events():
            if isinstance(event, MotionStarted) and self._asked:
                self.waits["motion"].append(event.frame - self._asked[0] + _DELAY_FRAMES)
                self._asked = None
        if not speaks or self._asked or before not in STATES:
            self._spoken_since = None
        elif self._spoken_since is None and before != SPEAKING:
            self._spoken_since = frame
        if self._spoken_since is not None and self._player.clip == SPEAKING:
            self.waits[SPEAKING].append(frame - self._spoken_since)
            self._spoken_since = None
        return shown

    def clip_frame(self, frame: int) -> int:
        return self._player.clip_frame(frame)


def _switched(
    prepared: PreparedAvatar, sound: npt.NDArray[np.float32], metadata: WeightsMetadata
) -> tuple[list[int], dict[str, list[int]]]:
    """Return the frames that are shown while motions are asked for, and how long each change was waited for."""
    player = frame_choice(prepared.manifest)
    assert isinstance(player, MotionPlayer)
    asked = _Asked(player)
    return [job.clip_frame for job in _decided(sound, asked, metadata)], asked.waits


def _decided(sound: npt.NDArray[np.float32], choice: object, metadata: WeightsMetadata) -> list[RenderJob]:
    return decide_frames(sound, choice, window_offset_samples=metadata.window_offset_samples)  # type: ignore[arg-type]


def _steps(report: Report, prepared: PreparedAvatar, looks: npt.NDArray[np.float32], shown: list[int]) -> None:
    def steps(frames: list[int]) -> npt.NDArray[np.float32]:
        return np.asarray(np.sqrt((np.diff(looks[frames], axis=0) ** 2).mean(axis=1)))

    own = max(float(steps(_frames(clip)).max()) for clip in prepared.manifest.ranges)
    worst = round(float(steps(shown).max()) / own, 2)
    report.rows.append({"what": "largest step shown, of the largest within the clips", "value": worst, "unit": ""})
    report.goals.append(at_most("step", worst, LARGEST_STEP, "of the clips' own"))


def _frames(clip: ClipRange) -> list[int]:
    return [clip.frame(position) for position in range(clip.length)]


def _waits(report: Report, waits: dict[str, list[int]]) -> None:
    for kind, limit in ((SPEAKING, _SPEAKING_S), ("motion", _MOTION_S)):
        found = np.array(waits[kind]) / FRAME_RATE_HZ
        p95, worst = round(float(np.percentile(found, 95)), 2), round(float(found.max()), 2)
        report.rows.append({"what": f"{kind}: wait, p95 of {found.size} (worst {worst} s)", "value": p95, "unit": "s"})
        report.goals.append(at_most(f"{kind} wait", worst if kind == SPEAKING else p95, limit, "s"))


def _energies(
    report: Report, prepared: PreparedAvatar, sound: npt.NDArray[np.float32], metadata: WeightsMetadata
) -> None:
    """Correlate the head's motion with the loudness of speech, at three places of the dial."""
    heads = np.stack([_head(i420_to_bgr(frame), prepared) for frame in prepared.frames])
    spoken = sound[: 2 * 60 * SOUND_RATE_HZ]
    count = spoken.size // _SOUND_PER_FRAME
    envelope = np.sqrt((spoken[: count * _SOUND_PER_FRAME].reshape(count, -1).astype(np.float64) ** 2).mean(axis=1))
    low, high = _CORRELATION
    for dial in (0.0, 0.6, 1.0):
        shown = [job.clip_frame for job in _decided(spoken, frame_choice(prepared.manifest, "auto", dial), metadata)]
        energy = np.sqrt((np.diff(heads[shown[:count]], axis=0) ** 2).mean(axis=1))
        found = round(float(np.corrcoef(_smooth(energy), _smooth(envelope[1:]))[0, 1]), 2)
        report.rows.append({"what": f"head energy against loudness at dial {dial:g}", "value": found, "unit": "r"})
        if dial == 0:
            report.goals.append(at_most("head energy at 0", abs(found), 0.15, "r"))
        elif dial == 0.6:
            report.goals.append(Goal("head energy", f"{low:g} to {high:g} r", found, low <= found <= high))


def _head(picture: npt.NDArray[np.uint8], prepared: PreparedAvatar) -> npt.NDArray[np.float32]:
    """Return the picture of the forehead, small: lids, whose blinks fill the pauses, and lips are no part of it."""
    box = prepared.manifest.boxes[0]
    part = picture[max(0, box.y - box.height // 4) : box.y, box.x : box.x + box.width]
    return np.asarray(cv2.resize(part, (32, 24), interpolation=cv2.INTER_AREA), np.float32).reshape(-1)


def _smooth(values: Floats) -> Floats:
    return np.convolve(values, np.ones(5) / 5, "same")


def _blends(report: Report, prepared: PreparedAvatar, filmed: list[npt.NDArray[np.uint8]]) -> None:
    """Compare sharpness and seam of the mouths at rest in all other clips with those in the idle one."""
    compositor = prepared.compositor()
    found: dict[str, tuple[float, float]] = {}
    for clip in prepared.manifest.ranges:
        blends = [
            measure_blend(planes(filmed[frame])[0], planes(prepared.frames[frame])[0], compositor.mask(frame))
            for frame in _frames(clip)[::10]
        ]
        found[clip.name] = (max(one.seam for one in blends), statistics.mean(one.sharpness for one in blends))
    seam, sharpness = found.pop(IDLE)
    for name, (own_seam, own_sharpness) in found.items():
        report.rows.append(
            {"what": f"{name}: seam, sharpness of lips, of those at rest",
             "value": f"{own_seam / seam:.2f}, {own_sharpness / sharpness:.2f}", "unit": ""}
        )  # fmt: skip
    worst = max(own / seam for own, _ in found.values())
    report.goals.append(at_most("seam in motions", round(worst, 2), 1.1, "of idle's"))


def _costs(report: Report, prepared: PreparedAvatar, sound: npt.NDArray[np.float32], metadata: WeightsMetadata) -> None:
    """Decide and compose the same speech with and without motions, in turns."""
    compositor, ratios, own = prepared.compositor(), [], []
    mouth = with_paint(prepared.rest_mouths[0], FINE_FIELD_BYTES)
    for _ in range(_TURNS):
        spent = {}
        for mode in ("off", "auto"):
            began = time.thread_time()
            for job in _decided(sound, frame_choice(prepared.manifest, "off" if mode == "off" else "auto"), metadata):
                compositor.compose(job.clip_frame, mouth if job.spoken else None, job.spoken)
            spent[mode] = time.thread_time() - began
        ratios.append(spent["auto"] / spent["off"])
        own.append(spent["auto"] * 1000 / (sound.size // _SOUND_PER_FRAME))
    ratio = round(statistics.median(ratios), 2)
    report.rows.append(
        {"what": "decide and compose", "value": round(statistics.median(own), 3), "unit": "ms a picture"}
    )
    report.rows.append({"what": "of the same without motions, in turns", "value": ratio, "unit": ""})
