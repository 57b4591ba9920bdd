"""Does a painted mouth look like the rest of its picture?

Each avatar speaks the same recorded speech twice: its mouths as fields, sampled at the picture's own size, and as
pixels, enlarged from the network's size. The figures are of luma, and compare with the clip's own frames:

- *sharpness*: variance of the Laplacian over mouth and jaw, median over the frames whose mouth is open by at least half
  of the 90th percentile;
- *own sharpness*: the same over the pixels that are moved and not painted: lips and skin without teeth and what is dark
  between them, whose edges a closed mouth does not have;
- *seam*: step across the worst contour of the mask over the step there before, mean and worst over all frames;
- *flicker*: change from frame to frame of painted pixels that do not move with the lips, and lie beside none that do,
  over the clip's own.

Beside the built-in avatars and a photograph, two clips are built as a user's would be: the photograph as it sways in
front of a camera, and Ben filmed small; both coded as cameras do. The rows named *rendered* compare with rendered
truth, see `benchmarks.rendered`. ``WEIGHTS=FILE`` measures other weights than the built-in ones, and ``FIGURE=FILE``
draws the mouths of the built-in avatars and the photograph from closed to wide, above as pixels, below as fields.
"""

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.rendered import figures, inside_bounds, truth_sharpness
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
from lipstream.realtime.lipsync.predictor import CodedPredictor, Draw, FieldPredictor, MouthPredictor
from lipstream.realtime.packets import RenderJob
from lipstream.realtime.picture.i420 import i420_to_bgr, planes
from lipstream.realtime.picture.mouth_painter import Mouth
from lipstream.realtime.render import decide_frames
from lipstream.realtime.session.animator import ClipLoop
from lipstream.realtime.timeline import SOUND_RATE_HZ

QUESTION = "Does a painted mouth look like the rest of its picture?"
_AVATARS = ("ada", "ben", "mira")
_PORTRAIT = Path(__file__).parent.parent / "tests" / "avatar_cache" / "astronaut.jpg"
_SECONDS, _FRAMES = 8, 60
_TEETH = 0.8
_CLIP_FRAMES, _CLIP_CRF = 75, "20"
_SWAY_PX, _SWAY_DEGREES, _SMALL = 6.0, 2.0, 0.6
_SHARP, _TOO_SHARP, _SEAM, _WORST_SEAM, _FLICKER = 0.85, 1.2, 1.05, 1.2, 1.1
_STILL_SHARE, _STILL_MASK = 0.001, 2.0
"""Displacement in shares of the crop's side, and mask out of 255, below which a pixel does not move with the lips."""
_BATCH = 8
_OWN_MASK = 12.0
"""Mask out of 255 from which a pixel is not the person's own."""
_COLUMNS, _COLUMN_PX, _QUALITY = 6, 200, 88
_DRAWN = ("ada", "ben", "mira", "portrait")
_FIGURES = ("sharpness", "own sharpness", "seam", "worst seam", "flicker")
_COMPARED = ("L1", "SSIM", "teeth SSIM", "teeth slopes r")

Luma = npt.NDArray[np.uint8]
Pixels = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float32]
Where = npt.NDArray[np.bool_]


class PixelPredictor:
    """A predictor without its second method, so that avatars are prepared and painted as pixels."""

    def __init__(self, predictor: MouthPredictor) -> None:
        self.metadata, self.device = predictor.metadata, predictor.device
        self.encode_faces, self.predict = predictor.encode_faces, predictor.predict


def run() -> Report:
    """Measure."""
    cv2.setNumThreads(1)
    name, sound = speech()
    weights = Path(os.environ.get("WEIGHTS", BUILT_IN_WEIGHTS))
    report = Report(QUESTION, {"weights": weights.name, "speech": name, "frames": _FRAMES})
    cache = AvatarStore(default_root()).graphs
    fields: FieldPredictor = create_predictor(weights, device="cpu", cache=cache)  # type: ignore[assignment]
    strips: list[Pixels] = []
    with tempfile.TemporaryDirectory() as folder:
        stores = [AvatarStore(Path(folder, kind)) for kind in ("fields", "pixels")]
        sources = _sources(Path(folder))
        for avatar_id in (*_AVATARS, *sources):
            avatars = [_avatar(store, avatar_id, sources.get(avatar_id)) for store in stores]
            faces = prepare(avatars[0], fields), prepare(avatars[1], PixelPredictor(fields))
            loop = ClipLoop(faces[0].manifest.loop_frames, faces[0].manifest.loop)
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
                if avatar_id in _DRAWN:
                    strips.insert(len(strips) - (kind == "pixels"), _strip(face, jobs, mouths, moves))
                report.rows.append({"avatar": avatar_id, "mouth": kind, **row, **dict.fromkeys(_COMPARED)})
                if kind == "fields":
                    report.goals += _goals(avatar_id, row)
    if figure := os.environ.get("FIGURE"):
        cv2.imwrite(figure, np.vstack(strips), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if isinstance(fields, CodedPredictor):
        _compare(report, fields)
    return report


def _strip(face: PreparedAvatar, jobs: list[RenderJob], mouths: list[Mouth], moves: list[Mouth]) -> Pixels:
    """Return the lower half of the face with mouths from closed to wide, side by side, BGR."""
    compositor, (width, height) = face.compositor(), face.manifest.size
    by_opening = np.argsort([unpack_fields(move)[1][..., 0].mean() for move in moves])
    tiles = []
    for at in by_opening[np.linspace(0, len(jobs) - 1, _COLUMNS).astype(int)]:
        picture = compositor.compose(jobs[at].clip_frame, mouths[at], 1.0)
        box = face.geometry.boxes[jobs[at].clip_frame]
        shown = i420_to_bgr(picture, height=height, width=width)[box.y + box.height * 2 // 5 :, box.x :]
        shown = shown[: box.height * 3 // 5, : box.width]
        size = _COLUMN_PX, _COLUMN_PX * 3 // 5
        enlarges = box.width < _COLUMN_PX
        tiles.append(cv2.resize(shown, size, interpolation=cv2.INTER_CUBIC if enlarges else cv2.INTER_AREA))
    return np.hstack(tiles)


def _compare(report: Report, predictor: CodedPredictor) -> None:
    """Add the rows of mouths against rendered truth, and their goals."""
    found = {kind: figures(predictor, pixels=kind == "pixels") for kind in ("fields", "pixels")}
    for kind, row in found.items():
        report.rows.append({"avatar": "rendered", "mouth": kind, **dict.fromkeys(_FIGURES), **row})
    sharpness, share = truth_sharpness(predictor.metadata)
    report.conditions["rendered truth sharper than 1.2, share"] = share
    for kind, row in {"as rendered": {"sharpness": sharpness}, **inside_bounds(predictor.metadata)}.items():
        nothing = dict.fromkeys((*_FIGURES, *_COMPARED))
        report.rows.append({"avatar": "rendered, the truth", "mouth": kind, **nothing, **row})
    ours, enlarged = found["fields"], found["pixels"]
    report.goals += [
        at_most("rendered: L1", ours["L1"], enlarged["L1"], "of 255, as pixels"),
        at_least("rendered: SSIM", ours["SSIM"], enlarged["SSIM"], "as pixels"),
        at_least("rendered: teeth SSIM", ours["teeth SSIM"], _TEETH, ""),
        at_least("rendered: teeth slopes r", ours["teeth slopes r"], _TEETH, ""),
    ]


def _sources(folder: Path) -> dict[str, Path]:
    """Return the photograph and the clips that are built, by the name of their avatar."""
    clips = {"small": folder / "small.mp4"}
    with av.open(str(AvatarStore(folder / "none").load("ben").clip)) as film:
        frames = itertools.islice(film.decode(video=0), _CLIP_FRAMES)
        _film(
            clips["small"],
            (
                cv2.resize(frame.to_ndarray(format="bgr24"), None, fx=_SMALL, fy=_SMALL, interpolation=cv2.INTER_AREA)
                for frame in frames
            ),
        )
    if not _PORTRAIT.exists():
        return clips
    clips["swaying"] = folder / "swaying.mp4"
    portrait = cv2.imread(str(_PORTRAIT))
    assert portrait is not None
    _film(clips["swaying"], (_swayed(portrait, number / _CLIP_FRAMES) for number in range(_CLIP_FRAMES)))
    return {"portrait": _PORTRAIT, **clips}


def _swayed(portrait: npt.NDArray[Any], share: float) -> npt.NDArray[Any]:
    """Return a photograph as a swaying person shows it: turned and moved along a closed curve."""
    height, width = portrait.shape[:2]
    angle = 2 * np.pi * share
    moved = cv2.getRotationMatrix2D((width / 2, height), _SWAY_DEGREES * np.sin(angle), 1.0)
    moved[:, 2] += _SWAY_PX * np.sin(2 * angle), _SWAY_PX / 2 * np.cos(angle)
    return np.asarray(
        cv2.warpAffine(portrait, moved, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    )


def _film(path: Path, pictures: Iterator[npt.NDArray[Any]]) -> None:
    """Write BGR pictures of one size as a clip of 25 frames a second, with the noise of a camera's codec."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": _CLIP_CRF})
        for number, picture in enumerate(pictures):
            height, width = (side // 4 * 4 for side in picture.shape[:2])
            if not number:
                stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            even = np.ascontiguousarray(picture[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="bgr24")))
        container.mux(stream.encode(None))


def _avatar(store: AvatarStore, avatar_id: str, source: Path | None) -> Avatar:
    if source is None:
        return store.load(avatar_id)
    return store.build(source, avatar_id, options=BuildOptions(still=True) if source == _PORTRAIT else BuildOptions())


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
    openings = np.array([unpack_fields(move)[1][..., 0].mean() for move in moves])
    is_open = openings >= np.quantile(openings, 0.9) / 2
    shown = [planes(compositor.compose(job.clip_frame, mouth, 1.0))[0] for job, mouth in zip(jobs, mouths, strict=True)]
    sharp, own, seams = [], [], []
    painted = list(_pixels_where(face, jobs, moves, lambda _, mask: mask >= _OWN_MASK))
    for at, (job, luma) in enumerate(zip(jobs, shown, strict=True)):
        mask, before = compositor.mask(job.clip_frame), lumas[job.clip_frame]
        seams.append(measure_blend(before, luma, mask).seam)
        if is_open[at]:
            sharp.append(mouth_sharpness(before, luma, mask))
            own.append(mouth_sharpness(before, luma, mask, but=painted[at]))
    return {
        "sharpness": round(float(np.median(sharp)), 2),
        "own sharpness": round(float(np.median(own)), 2),
        "seam": round(float(np.mean(seams)), 3),
        "worst seam": round(max(seams), 3),
        "flicker": _flicker(face, lumas, jobs, shown, moves),
    }


def _flicker(
    face: PreparedAvatar, lumas: list[Luma], jobs: list[RenderJob], shown: list[Luma], moves: list[Mouth]
) -> float | None:
    """Return the change of still painted pixels over the clip's own; ``None`` for a clip of one frame."""
    still = list(_pixels_where(face, jobs, moves, _still))
    own = painted = 0.0
    for at in range(1, len(jobs)):
        both = still[at] & still[at - 1]
        before, after = jobs[at - 1].clip_frame, jobs[at].clip_frame
        own += float(cv2.absdiff(lumas[after], lumas[before])[both].sum())
        painted += float(cv2.absdiff(shown[at], shown[at - 1])[both].sum())
    return round(painted / own, 3) if own else None


def _still(flow: Values, mask: Values) -> Where:
    """Return where neither a pixel of the crop nor one beside it moves: between two, the picture's are interpolated."""
    still = (flow < _STILL_SHARE) & (mask < _STILL_MASK)
    return np.asarray(cv2.erode(still.astype(np.uint8), np.ones((3, 3), np.uint8)), np.bool_)


def _pixels_where(
    face: PreparedAvatar, jobs: list[RenderJob], moves: list[Mouth], chosen: Callable[[Values, Values], Where]
) -> Iterator[Where]:
    """Yield ``bool[h, w]`` for each frame: pixels that painting may change, chosen by the fields.

    Args:
        chosen: Gets the larger displacement of each pixel of the crop, in shares of its side, and its mask, 0..255.
    """
    compositor, region = face.compositor(), face.region
    for job, move in zip(jobs, moves, strict=True):
        flow, paint = unpack_fields(move)
        height, width = flow.shape[:2]
        mask = paint[..., 0].reshape(height, paint.shape[0] // height, width, -1).max(axis=(1, 3))
        box = face.geometry.boxes[job.clip_frame]
        crop = np.zeros((face.crop_size, face.crop_size), np.uint8)
        crop[region.top : region.bottom, region.left : region.right] = chosen(np.abs(flow).max(axis=-1), mask)
        painted = compositor.mask(job.clip_frame)
        inside = np.zeros_like(painted)
        size = box.width, box.height
        enlarged = cv2.resize(crop, size, interpolation=cv2.INTER_NEAREST) > 0
        view = inside[box.y : box.y + box.height, box.x : box.x + box.width]
        view[:] = enlarged[: view.shape[0], : view.shape[1]]
        yield inside & painted


def _goals(avatar_id: str, row: dict[str, float | None]) -> list[Goal]:
    return [
        at_least(f"{avatar_id}: sharpness", row["sharpness"], _SHARP, "of the clip's own"),
        at_most(f"{avatar_id}: sharpness", row["sharpness"], _TOO_SHARP, "of the clip's own"),
        at_most(f"{avatar_id}: seam", row["seam"], _SEAM, "of the natural step"),
        at_most(f"{avatar_id}: worst seam", row["worst seam"], _WORST_SEAM, "of the natural step"),
        at_most(f"{avatar_id}: flicker", row["flicker"], _FLICKER, "of the clip's own"),
    ]
