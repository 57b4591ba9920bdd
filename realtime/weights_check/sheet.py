"""Draws a sheet on which one sees whether a weights file suits an avatar.

Each row is one frame: where the face is cropped, the crop and its masked half as the network gets them, the mouth that
it draws, and the picture with that mouth painted in. They come from the parts that draw for calls and files: the
prepared avatar, the back end, the animator and the compositor.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.avatar import Avatar, PreparedAvatar
from lipstream.avatar_cache.crop_geometry import crop_geometry
from lipstream.avatar_cache.prepare import decode_clip, prepare
from lipstream.realtime.audio.vowels import vowels
from lipstream.realtime.errors import BadRequestError
from lipstream.realtime.lipsync.fields import PIXEL_BYTES
from lipstream.realtime.lipsync.metadata import WeightsMetadata
from lipstream.realtime.lipsync.predictor import Draw, MouthPredictor, draw_with, largest_batch
from lipstream.realtime.packets import RenderJob
from lipstream.realtime.picture.contact_sheet import Bgr, SheetRow, draw_sheet
from lipstream.realtime.picture.i420 import Picture, i420_to_bgr
from lipstream.realtime.picture.mouth_painter import Box, Mouth
from lipstream.realtime.render import decide_frames
from lipstream.realtime.session.animator import ClipLoop
from lipstream.realtime.timeline import FRAME_RATE_HZ, SOUND_RATE_HZ, frame_to_sample, samples_to_ms

ROWS = 4
LOOK_FOR = (
    "Look for: the whole chin in the crop; lips drawn at the height of the crop's own, by the marks at the edges; "
    "no edge and no second mouth in the picture; lips that fit the sound."
)
IF_NOT = {
    "lipstream": "If not: build the avatar again from a clip that faces the camera, or give the face by --box.",
    "detector": (
        "If not: --pads 0,20,0,0 or 0,0,0,0 moves the lower edge of the crop, when the chin is cut off or the lips lie "
        "too high or too low; --window-offset 0 or -640 when they fit a moment before or after; an avatar built with "
        "--detector face-alignment has the published boxes."
    ),
}
COLUMNS = (
    "Picture\nwith the crop's edges",
    "Crop\nas the network gets it",
    "Masked crop\nthe network's other input",
    "Mouth as drawn\nbright: what is used",
    "Painted\nas in a call or a file",
)
_PANEL_PX = 320
_CANDIDATES = 32
_AROUND = 1.25
_BOX_COLOUR = (60, 190, 60)

Sound = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A frame that may be shown.

    Attributes:
        label: What is heard; empty if it is not known.
    """

    job: RenderJob
    label: str


@dataclass(frozen=True, slots=True, eq=False)
class DrawnFrame:
    """One frame with the mouth that the network drew.

    Attributes:
        mouth: ``uint8[h, w, 3]``, BGR, the decoded region.
        fields: ``uint8[h, w, 8 or 20]``, painted into the picture if the weights copy; ``None`` paints ``mouth``.
    """

    caption: str
    job: RenderJob
    mouth: Bgr
    fields: Mouth | None = None


def choose_jobs(sound: Sound | None, loop: ClipLoop, *, window_offset_samples: int) -> list[Candidate]:
    """Return the frames of which a sheet may show some, in order of time.

    Args:
        sound: ``float32[n]``, 48 kHz; ``None`` for synthetic vowels, one frame each.

    Raises:
        BadRequestError: If the sound holds no speech.
    """
    told: dict[int, str] = {}
    if sound is None:
        sound, spoken = vowels(SOUND_RATE_HZ)
        told = {round(vowel.middle_s * FRAME_RATE_HZ): vowel.label for vowel in spoken}
    jobs = decide_frames(sound, loop, window_offset_samples=window_offset_samples)
    jobs = [job for job in jobs if job.spoken == 1.0 and (not told or job.frame in told)]
    if not jobs:
        raise BadRequestError("no speech was found in the sound")
    spread = np.unique(np.linspace(0, len(jobs) - 1, _CANDIDATES).round().astype(int))
    return [Candidate(jobs[at], told.get(jobs[at].frame, "")) for at in spread]


def draw_frames(candidates: list[Candidate], prepared: PreparedAvatar, predictor: MouthPredictor) -> list[DrawnFrame]:
    """Return the frames of a sheet, in order of time: those whose mouths differ most."""
    at_once = largest_batch(predictor)
    mouths = _draw([candidate.job for candidate in candidates], prepared, predictor.predict, at_once)
    places = sorted(_most_different(mouths, ROWS))
    chosen = [candidates[at] for at in places]
    draw, pixel_bytes = draw_with(predictor)
    fields: Sequence[Mouth | None] = [None] * len(chosen)
    if pixel_bytes != PIXEL_BYTES:
        fields = list(_draw([candidate.job for candidate in chosen], prepared, draw, at_once))
    return [
        DrawnFrame(_caption(candidate), candidate.job, mouths[at], field)
        for candidate, at, field in zip(chosen, places, fields, strict=True)
    ]


def _draw(jobs: list[RenderJob], prepared: PreparedAvatar, draw: Draw, at_once: int) -> Mouth:
    drawn = []
    for start in range(0, len(jobs), at_once):
        batch = jobs[start : start + at_once]
        windows = np.stack([job.mel for job in batch if job.mel is not None])
        drawn.append(draw(windows, prepared.features, np.array([job.clip_frame for job in batch])))
    return np.concatenate(drawn)


def _most_different(mouths: Bgr, count: int) -> list[int]:
    """Return the places of mouths, each as far as can be from those before it (farthest-point sampling)."""
    flat = mouths.reshape(len(mouths), -1).astype(np.float32)
    chosen = [int(np.abs(flat - flat.mean(axis=0)).mean(axis=1).argmax())]
    nearest = np.full(len(flat), np.inf)
    while len(chosen) < min(count, len(flat)):
        nearest = np.minimum(nearest, np.abs(flat - flat[chosen[-1]]).mean(axis=1))
        nearest[chosen] = -1
        chosen.append(int(nearest.argmax()))
    return chosen


def _caption(candidate: Candidate) -> str:
    at_s = samples_to_ms(frame_to_sample(candidate.job.frame)) / 1000
    parts = [candidate.label, f"{at_s:.2f} s", f"frame {candidate.job.clip_frame} of the clip"]
    return "  ·  ".join(filter(None, parts))


def sheet_row(frame: DrawnFrame, prepared: PreparedAvatar, picture: Picture) -> SheetRow:
    """Return the panels of one frame, in the order of :data:`COLUMNS`.

    Args:
        picture: The clip's own frame, I420.
    """
    at, region = frame.job.clip_frame, prepared.region
    box = prepared.geometry.boxes[at]
    crop = np.array(prepared.features.crops[at])
    masked = crop.copy()
    masked[len(crop) // 2 :] = 0
    drawn = (0.3 * crop).astype(np.uint8)
    drawn[region.top : region.bottom, region.left : region.right] = frame.mouth
    whole = i420_to_bgr(picture)
    cv2.rectangle(whole, (box.x, box.y), (box.x + box.width - 1, box.y + box.height - 1), _BOX_COLOUR, 2, cv2.LINE_AA)
    laid = frame.mouth if frame.fields is None else frame.fields
    painted = i420_to_bgr(np.array(prepared.compositor().compose(at, laid, 1.0)))
    return SheetRow(
        frame.caption,
        (
            _around(whole, box),
            *(_marked(_enlarged(picture)) for picture in (crop, masked, drawn)),
            _around(painted, box),
        ),
    )


def _enlarged(picture: Bgr) -> Bgr:
    shrinks = picture.shape[0] > _PANEL_PX
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (_PANEL_PX, _PANEL_PX), interpolation=interpolation), np.uint8)


def _around(picture: Bgr, box: Box) -> Bgr:
    """Return the square around a box, as a panel; white where the picture ends."""
    side = round(_AROUND * max(box.width, box.height))
    left, top = box.x + (box.width - side) // 2, box.y + (box.height - side) // 2
    height, width = picture.shape[:2]
    square = np.full((side, side, 3), 255, np.uint8)
    rows, columns = slice(max(top, 0), min(top + side, height)), slice(max(left, 0), min(left + side, width))
    seen = picture[rows, columns]
    y, x = rows.start - top, columns.start - left
    square[y : y + seen.shape[0], x : x + seen.shape[1]] = seen
    return _enlarged(square)


def _marked(panel: Bgr) -> Bgr:
    """Draw marks at the edges, at each eighth of the height, so that heights in two panels can be compared."""
    for eighth in range(1, 8):
        y, length = _PANEL_PX * eighth // 8, 14 if eighth % 4 == 0 else 7
        for x in (0, _PANEL_PX - length):
            cv2.line(panel, (x, y), (x + length - 1, y), (255, 255, 255), 2)
            cv2.line(panel, (x, y + 2), (x + length - 1, y + 2), (0, 0, 0), 1)
    return panel


def facts(metadata: WeightsMetadata, prepared: PreparedAvatar, device: str) -> tuple[str, ...]:
    """Return what the sheet was drawn with, in two lines."""
    widths, heights = zip(*((box.width, box.height) for box in prepared.geometry.boxes), strict=True)
    px = f"{_span(widths)} x {_span(heights)} px"
    pads = ",".join(map(str, metadata.pads))
    crop = f"a face detector's box with pads {pads}" if metadata.crop == "detector" else "Lipstream's own square"
    return (
        f"Crop: {crop}, {px} of the picture, seen by the network at {metadata.size} x {metadata.size}.",
        (
            f"Mel window from {metadata.window_offset_samples} samples on. Weights {metadata.sha256[:16]}, licence: "
            f"{metadata.licence}. Drawn on {device}. The mouths are made by AI."
        ),
    )


def _span(sides: tuple[int, ...]) -> str:
    return f"{min(sides)}" if min(sides) == max(sides) else f"{min(sides)} to {max(sides)}"


def check_avatar(avatar: Avatar, predictor: MouthPredictor, sound: Sound | None) -> Bgr:
    """Return the sheet, ``uint8[h, w, 3]`` BGR; prepare the avatar for the weights if it is not.

    Args:
        sound: ``float32[n]``, 48 kHz; ``None`` for synthetic vowels.

    Raises:
        AvatarError: If the avatar cannot be prepared, as with pads that leave nothing of the face.
        BadRequestError: If the sound holds no speech.
    """
    metadata, manifest = predictor.metadata, avatar.manifest
    crop_geometry(manifest, metadata)  # refuses pads before anything takes time
    loop = ClipLoop(manifest.loop_frames, manifest.loop)
    candidates = choose_jobs(sound, loop, window_offset_samples=metadata.window_offset_samples)
    prepared = prepare(avatar, predictor)
    frames = draw_frames(candidates, prepared, predictor)
    wanted = {frame.job.clip_frame for frame in frames}
    clip = enumerate(decode_clip(avatar.clip, manifest))
    pictures = {at: picture.copy() for at, picture in clip if at in wanted}
    rows = [sheet_row(frame, prepared, pictures[frame.job.clip_frame]) for frame in frames]
    title = f"{manifest.name} drawn by {metadata.name}"
    foot = f"{LOOK_FOR}\n{IF_NOT[metadata.crop]}"
    return draw_sheet(title, facts(metadata, prepared, predictor.device), COLUMNS, rows, foot)
