"""Does a painted mouth look like the rest of its picture?

Each avatar speaks the same recorded speech twice: its mouths as fields, sampled at the picture's own size, and as
pixels, enlarged from the network's size. The figures are of luma, and compare with the clip's own frames:

- *sharpness*: variance of the Laplacian over mouth and jaw, median over the frames whose mouth is open by at least half
  of the 90th percentile;
- *seam*: step across the worst contour of the mask over the step there before, mean and worst over all frames;
- *flicker*: change from frame to frame of painted pixels that do not move with the lips, over the clip's own.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.report import Goal, Report, at_least, at_most
from benchmarks.signals import speech
from lipstream.avatar_cache.avatar import Avatar, PreparedAvatar
from lipstream.avatar_cache.blend_quality import measure_blend, mouth_sharpness
from lipstream.avatar_cache.clip_builder import BuildOptions
from lipstream.avatar_cache.prepare import decode_clip, prepare
from lipstream.avatar_cache.store import AvatarStore, default_root
from lipstream.realtime.lipsync.backends import create_predictor
from lipstream.realtime.lipsync.fields import unpack_fields
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS
from lipstream.realtime.lipsync.predictor import Draw, FieldPredictor, MouthPredictor
from lipstream.realtime.packets import RenderJob
from lipstream.realtime.picture.i420 import planes
from lipstream.realtime.picture.mouth_painter import Mouth
from lipstream.realtime.render import decide_frames
from lipstream.realtime.session.animator import ClipLoop
from lipstream.realtime.timeline import SOUND_RATE_HZ

QUESTION = "Does a painted mouth look like the rest of its picture?"
_AVATARS = ("ada", "ben", "mira")
_PORTRAIT = Path(__file__).parent.parent / "tests" / "avatar_cache" / "astronaut.jpg"
_SECONDS, _FRAMES = 8, 60
_SHARP, _TOO_SHARP, _SEAM, _WORST_SEAM, _FLICKER = 0.85, 1.2, 1.05, 1.2, 1.1
_STILL_SHARE, _STILL_MASK = 0.001, 2.0
"""Displacement in shares of the crop's side, and mask out of 255, below which a pixel does not move with the lips."""
_BATCH = 8

Luma = npt.NDArray[np.uint8]


class PixelPredictor:
    """A predictor without its second method, so that avatars are prepared and painted as pixels."""

    def __init__(self, predictor: MouthPredictor) -> None:
        self.metadata, self.device = predictor.metadata, predictor.device
        self.encode_faces, self.predict = predictor.encode_faces, predictor.predict


def run() -> Report:
    """Measure."""
    cv2.setNumThreads(1)
    name, sound = speech()
    report = Report(QUESTION, {"weights": BUILT_IN_WEIGHTS.name, "speech": name, "frames": _FRAMES})
    cache = AvatarStore(default_root()).graphs
    fields: FieldPredictor = create_predictor(BUILT_IN_WEIGHTS, device="cpu", cache=cache)  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        stores = [AvatarStore(Path(folder, kind)) for kind in ("fields", "pixels")]
        for avatar_id in (*_AVATARS, *(("portrait",) if _PORTRAIT.exists() else ())):
            avatars = [_avatar(store, avatar_id) for store in stores]
            faces = prepare(avatars[0], fields), prepare(avatars[1], PixelPredictor(fields))
            loop = ClipLoop(faces[0].manifest.frames, faces[0].manifest.loop)
            offset = fields.metadata.window_offset_samples
            jobs = decide_frames(sound[: _SECONDS * SOUND_RATE_HZ], loop, window_offset_samples=offset)
            jobs = [job for job in jobs if job.spoken == 1][:_FRAMES]
            lumas = [planes(frame)[0] for frame in decode_clip(avatars[0].clip, avatars[0].manifest)]
            moves = _mouths(fields.predict_fields, faces[0], jobs)
            for kind, face, mouths in (
                ("fields", faces[0], moves),
                ("pixels", faces[1], _mouths(fields.predict, faces[1], jobs)),
            ):
                row = _figures(face, lumas, jobs, mouths, moves)
                report.rows.append({"avatar": avatar_id, "mouth": kind, **row})
                if kind == "fields":
                    report.goals += _goals(avatar_id, row)
    return report


def _avatar(store: AvatarStore, avatar_id: str) -> Avatar:
    if avatar_id == "portrait":
        return store.build(_PORTRAIT, avatar_id, options=BuildOptions(still=True))
    return store.load(avatar_id)


def _mouths(draw: Draw, face: PreparedAvatar, jobs: list[RenderJob]) -> list[Mouth]:
    drawn: list[Mouth] = []
    for start in range(0, len(jobs), _BATCH):
        batch = jobs[start : start + _BATCH]
        mels = np.stack([job.mel for job in batch if job.mel is not None])
        drawn += list(draw(mels, face.features, np.array([job.clip_frame for job in batch])))
    return drawn


def _figures(
    face: PreparedAvatar, lumas: list[Luma], jobs: list[RenderJob], mouths: list[Mouth], moves: list[Mouth]
) -> dict[str, float | None]:
    compositor = face.compositor()
    openings = np.array([unpack_fields(move)[1][..., 0].sum() for move in moves])
    is_open = openings >= np.quantile(openings, 0.9) / 2
    shown = [planes(compositor.compose(job.clip_frame, mouth, 1.0))[0] for job, mouth in zip(jobs, mouths, strict=True)]
    sharp, seams = [], []
    for at, (job, luma) in enumerate(zip(jobs, shown, strict=True)):
        mask, before = compositor.mask(job.clip_frame), lumas[job.clip_frame]
        seams.append(measure_blend(before, luma, mask).seam)
        if is_open[at]:
            sharp.append(mouth_sharpness(before, luma, mask))
    return {
        "sharpness": round(float(np.median(sharp)), 2),
        "seam": round(float(np.mean(seams)), 3),
        "worst seam": round(max(seams), 3),
        "flicker": _flicker(face, lumas, jobs, shown, moves),
    }


def _flicker(
    face: PreparedAvatar, lumas: list[Luma], jobs: list[RenderJob], shown: list[Luma], moves: list[Mouth]
) -> float | None:
    """Return the change of still painted pixels over the clip's own; ``None`` for a clip of one frame."""
    still = list(_still_pixels(face, jobs, moves))
    own = painted = 0.0
    for at in range(1, len(jobs)):
        both = still[at] & still[at - 1]
        before, after = jobs[at - 1].clip_frame, jobs[at].clip_frame
        own += float(cv2.absdiff(lumas[after], lumas[before])[both].sum())
        painted += float(cv2.absdiff(shown[at], shown[at - 1])[both].sum())
    return round(painted / own, 3) if own else None


def _still_pixels(face: PreparedAvatar, jobs: list[RenderJob], moves: list[Mouth]) -> Iterator[npt.NDArray[np.bool_]]:
    """Yield ``bool[h, w]`` for each frame: pixels inside the mask that do not move with the lips."""
    compositor, region = face.compositor(), face.region
    for job, move in zip(jobs, moves, strict=True):
        flow, paint = unpack_fields(move)
        still = (np.abs(flow).max(axis=-1) < _STILL_SHARE) & (paint[..., 0] < _STILL_MASK)
        box = face.geometry.boxes[job.clip_frame]
        crop = np.zeros((face.crop_size, face.crop_size), np.uint8)
        crop[region.top : region.bottom, region.left : region.right] = still
        mask = compositor.mask(job.clip_frame)
        inside = np.zeros_like(mask)
        size = box.width, box.height
        enlarged = cv2.resize(crop, size, interpolation=cv2.INTER_NEAREST) > 0
        view = inside[box.y : box.y + box.height, box.x : box.x + box.width]
        view[:] = enlarged[: view.shape[0], : view.shape[1]]
        yield inside & mask


def _goals(avatar_id: str, row: dict[str, float | None]) -> list[Goal]:
    return [
        at_least(f"{avatar_id}: sharpness", row["sharpness"], _SHARP, "of the clip's own"),
        at_most(f"{avatar_id}: sharpness", row["sharpness"], _TOO_SHARP, "of the clip's own"),
        at_most(f"{avatar_id}: seam", row["seam"], _SEAM, "of the natural step"),
        at_most(f"{avatar_id}: worst seam", row["worst seam"], _WORST_SEAM, "of the natural step"),
        at_most(f"{avatar_id}: flicker", row["flicker"], _FLICKER, "of the clip's own"),
    ]
