"""Makes the clip and the manifest of an avatar from a video or a photograph."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.avatar import file_sha256
from lipstream.avatar_cache.clip_file import write_clip
from lipstream.avatar_cache.detector_box import Rectangle, box_by_hand, follow_box, square_of_box, to_rectangles
from lipstream.avatar_cache.detectors import create_detector
from lipstream.avatar_cache.eyes_shut import lay_over
from lipstream.avatar_cache.face_detector import DetectedFace, FaceDetector
from lipstream.avatar_cache.face_geometry import estimate_pose, jaw_outline, lip_gap_mm
from lipstream.avatar_cache.face_track import (
    FaceTracker,
    Windows,
    face_windows,
    longest_run,
    smooth,
    spans,
    thumbnail,
    to_boxes,
)
from lipstream.avatar_cache.gestures import GESTURES, gesture_levels
from lipstream.avatar_cache.idle_motion import LivingPhoto, moments
from lipstream.avatar_cache.loop_finder import Cut, find_cut, find_shots
from lipstream.avatar_cache.manifest import BoxSmoothing, Manifest, Rest
from lipstream.avatar_cache.media_reader import Limits, Source, open_source
from lipstream.avatar_cache.motion_graph import USUAL_LIVELINESS, Loop
from lipstream.avatar_cache.photo import Bgr
from lipstream.avatar_cache.preflight import PictureStatistics, PreflightReport, examine, look_at
from lipstream.avatar_cache.source_mouth import SourceMouth, default_rest, mouth_note, source_mouth, usual_mouth
from lipstream.realtime.errors import AvatarError, SettingsError
from lipstream.realtime.picture.mouth_painter import Box, Outline
from lipstream.realtime.timeline import FRAME_RATE_HZ

Progress = Callable[[float], None]

TOOL = "lipstream 0.1"
SMALLEST_BOX = 32
"""Least side of a face box, px; a smaller mouth has too few pixels."""
_LOOK_EVERY = 10


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """Options for building an avatar.

    Attributes:
        name: Name for users; empty for one derived from the id.
        consent: Statement of whose face it is and how they agreed; empty if there is none.
        face: Number of the face to use, from 1, the largest first.
        box: Square set by hand, px of the stored picture; ``None`` to detect the face.
        rectangle: Detector's box set by hand: left, top, right, bottom, px of the stored picture; ``None`` without one.
        box_smoothing: Smoothing of the detector's boxes, as in the manifest.
        still: Whether a photograph gets no idle motion; default false.
        loop: How the clip repeats; ``None`` chooses by the clip.
        side: Longer side of the stored picture, px; larger sources are scaled down.
        rest: Mouth at rest: ``keep`` shows the source's own, ``closed`` the network's; ``None`` chooses by the source.
        size: Width and height of an avatar to which the clip is added, px; ``None`` for a clip of its own.
        is_motion: Whether the clip is shown once, as a whole, and does not repeat; default false.
        gesture: What a photograph does in the clip, one of `gestures.GESTURES`; empty for the idle motion.
        liveliness: How far its head goes in a gesture, 0 to 1.
        eyes_shut: Photograph of the same face with its eyes shut, for the blinks of a photograph; ``None`` draws lids.
    """

    name: str = ""
    licence: str = "unknown"
    consent: str = ""
    face: int = 1
    box: Box | None = None
    rectangle: Rectangle | None = None
    box_smoothing: BoxSmoothing = "published"
    still: bool = False
    loop: Loop | None = None
    side: int = 1280
    rest: Rest | None = None
    size: tuple[int, int] | None = None
    is_motion: bool = False
    gesture: str = ""
    liveliness: float = USUAL_LIVELINESS
    eyes_shut: Path | None = None
    detector: str = "built-in"
    limits: Limits = field(default_factory=Limits)

    @property
    def square(self) -> tuple[float, float, float] | None:
        """Centre x, y and half the side of the square set by hand, or worked out from the rectangle; else ``None``."""
        if self.box:
            return self.box.x + self.box.width / 2, self.box.y + self.box.height / 2, self.box.width / 2
        return square_of_box(self.rectangle) if self.rectangle else None


@dataclass(slots=True)
class _ClipSurvey:
    """Result of the first pass over a clip; it keeps no pictures."""

    thumbnails: list[np.ndarray] = field(default_factory=list)
    faces: list[DetectedFace | None] = field(default_factory=list)
    looks: list[tuple[int, PictureStatistics]] = field(default_factory=list)
    size: tuple[int, int] = (0, 0)
    found: int = 0
    shots: int = 1


@dataclass(slots=True)
class _Film:
    """Content of the clip to be stored.

    Attributes:
        pictures: Pictures, ``uint8[h, w, 3]`` BGR, read or rendered as they are written.
        boxes: Face box of each picture, px.
        loop: ``seamless`` or ``pingpong``.
        outline: Polygon around lips and jaw, in shares of the face box.
        size: Width and height, px.
        detector_boxes: Face detector's rectangle in each picture; empty if no face was looked for.
        mouth: What the source's mouth does; ``None`` if no landmarks were looked for.
        rest: Mouth at rest.
    """

    pictures: Iterator[Bgr]
    boxes: tuple[Box, ...]
    loop: Loop
    outline: Outline
    size: tuple[int, int]
    report: PreflightReport
    detector_boxes: tuple[Rectangle, ...]
    mouth: SourceMouth | None
    rest: Rest


def ingest(path: Path, avatar_id: str, folder: Path, options: BuildOptions, progress: Progress) -> None:
    """Write ``clip.mp4``, ``avatar.json`` and ``report.json`` into a folder.

    Args:
        progress: Called with 0..1; an exception from it ends the work.

    Raises:
        UnsupportedTypeError: If the source cannot be read.
        TooLargeError: If the source exceeds a limit.
        AvatarError: If no avatar can be made of the source, as without a face.
        SettingsError: If an option is out of range.
    """
    if options.face < 1 or options.side < SMALLEST_BOX:
        raise SettingsError(f"faces are counted from 1, and the picture's side is at least {SMALLEST_BOX} px")
    source = open_source(path, options.limits, side=max(options.size or (options.side,)))
    source.size = options.size
    if source.is_photo and options.size and options.gesture not in GESTURES:
        raise AvatarError(f"{path.name} is a photograph, of which these clips are drawn: {', '.join(GESTURES)}")
    progress(0.0)
    seen = _look_through(source, options, progress)
    if options.eyes_shut and len(seen.thumbnails) > 1 and not options.size:
        raise SettingsError("a picture with shut eyes is for a photograph: a clip blinks by itself")
    film = _film_photo(source, seen, options) if len(seen.thumbnails) == 1 else _film_clip(source, seen, options)
    if film.boxes[0].width < SMALLEST_BOX:
        raise AvatarError(
            f"the face is {film.boxes[0].width} px wide; at least {SMALLEST_BOX} px are needed: film closer"
        )
    write_clip(folder / "clip.mp4", _share(film.pictures, len(film.boxes), progress))
    manifest = Manifest(
        id=avatar_id,
        name=options.name or avatar_id.replace("-", " ").title(),
        loop=film.loop,
        size=film.size,
        boxes=film.boxes,
        licence=options.licence,
        description="",
        outline=film.outline,
        source_sha256=file_sha256(path),
        clip_sha256=file_sha256(folder / "clip.mp4"),
        tool=TOOL,
        consent=options.consent,
        detector_boxes=film.detector_boxes,
        box_smoothing=options.box_smoothing,
        box_by_hand=options.rectangle is not None,
        rest=film.rest,
    )
    (folder / "avatar.json").write_text(manifest.to_json())
    film.report.notes = source.notes + film.report.notes
    if film.mouth:
        film.report.notes.append(mouth_note(film.mouth, film.rest))
    (folder / "report.json").write_text(film.report.to_json())


def _film_clip(source: Source, seen: _ClipSurvey, options: BuildOptions) -> _Film:
    windows, start = _windows(seen, options)
    loop: Loop | None = "pingpong" if options.is_motion else options.loop
    cut = find_cut(np.stack(seen.thumbnails[start : start + len(windows)]), loop=loop)
    boxes = to_boxes(windows[cut.start : cut.end], *seen.size)
    first, last = start + cut.start, start + cut.end
    looks = [look for at, look in seen.looks if first <= at < last]
    mouth = _mouth(seen, first, last)
    # Followed over the whole part with a face: a gap at the cut is bridged from both its sides.
    around = _found(seen, options, start, start + len(windows))[cut.start : cut.end]
    report = examine(boxes, seen.faces[first:last], looks, jump=cut.jump, size=seen.size, around=around)
    report.notes = _notes(seen, start, start + len(windows), cut, is_motion=options.is_motion)
    outline = _outline(seen.faces[first:last], boxes)
    pictures, found = islice(source.pictures(), first, last), to_rectangles(around)
    return _Film(pictures, boxes, cut.loop, outline, seen.size, report, found, mouth, _rest(mouth, options))


def _film_photo(source: Source, seen: _ClipSurvey, options: BuildOptions) -> _Film:
    """Return the clip of a photograph: with idle motion, or a single picture with ``still``."""
    windows, _ = _windows(seen, options)
    x, y, half = windows[0].tolist()
    looks, faces = [look for _, look in seen.looks], seen.faces
    around = _found(seen, options, 0, 1)
    mouth = _mouth(seen, 0, 1)
    rest = _rest(mouth, options, is_photo=True)
    if options.still:
        boxes = to_boxes(windows, *seen.size)
        report = examine(boxes, faces, looks, jump=0, size=seen.size, around=around)
        outline, found = _outline(faces, boxes), to_rectangles(around)
        return _Film(source.pictures(), boxes, "pingpong", outline, seen.size, report, found, mouth, rest)
    photo = _living_photo(source, seen, options)
    outline = _outline(faces, to_boxes(windows, *seen.size))
    middles = np.array(list(photo.middles()))
    moved = np.column_stack((middles, np.full(len(middles), half)))
    boxes = to_boxes(moved, *seen.size)
    report = examine(boxes, faces, looks, jump=1, size=seen.size, around=around)
    report.notes = [] if faces[0] else ["the eyes do not blink: no landmarks were looked for"]
    away = np.tile(middles - (x, y), 2)
    found = to_rectangles(around + away if len(around) else around)
    return _Film(photo.pictures(), boxes, "seamless", outline, seen.size, report, found, mouth, rest)


def _living_photo(source: Source, seen: _ClipSurvey, options: BuildOptions) -> LivingPhoto:
    (x, y, half), face = _windows(seen, options)[0][0].tolist(), seen.faces[0]
    points, picture = face.points if face else None, next(source.pictures())
    motion = gesture_levels(options.gesture, options.liveliness) if options.gesture else moments()
    return LivingPhoto(picture, (x, y), 2 * half, points, _eyes_shut(picture, points, options), motion=motion)


def living_photo(path: Path, options: BuildOptions) -> LivingPhoto:
    """Return a photograph as :func:`ingest` lets it move, to draw further pictures of it.

    Raises:
        LipstreamError: For the reasons that :func:`ingest` gives.
    """
    source = open_source(path, options.limits, side=max(options.size or (options.side,)))
    source.size = options.size
    return _living_photo(source, _look_through(source, options, lambda _: None), options)


def _eyes_shut(picture: Bgr, points: npt.NDArray[np.float32] | None, options: BuildOptions) -> Bgr | None:
    """Return the picture with shut eyes, laid over the other one; ``None`` if there is none."""
    if options.eyes_shut is None:
        return None
    if points is None:
        raise SettingsError("a picture with shut eyes needs a face that was found: leave --box out")
    shut = next(open_source(options.eyes_shut, options.limits, side=options.side).pictures())
    faces = create_detector(options.detector).find(shut)
    if len(faces) < options.face:
        raise AvatarError("no face was found in the picture with shut eyes")
    return lay_over(picture, points, shut, faces[options.face - 1].points)


def _found(seen: _ClipSurvey, options: BuildOptions, start: int, end: int) -> npt.NDArray[np.float64]:
    """Return the detector's rectangles in a range of frames, ``float64[N, 4]``, px; empty if no face was looked for."""
    if options.rectangle:
        return np.tile(box_by_hand(options.rectangle, seen.size), (end - start, 1)).astype(np.float64)
    return follow_box(seen.faces[start:end])


def _look_through(source: Source, options: BuildOptions, progress: Progress) -> _ClipSurvey:
    """Read the clip once to track the face and measure the pictures."""
    detector: FaceDetector | None = None if options.square else create_detector(options.detector)
    tracker = FaceTracker(detector, options.face) if detector else None
    seen = _ClipSurvey()
    expected = max(source.expected_frames, 1)
    for index, picture in enumerate(source.pictures()):
        if not index:
            seen.size = picture.shape[1], picture.shape[0]
        elif picture.shape[1::-1] != seen.size:
            raise AvatarError(f"the picture changes its size at {index / FRAME_RATE_HZ:.1f} s: cut the clip there")
        face = tracker.push(picture) if tracker else None
        seen.thumbnails.append(thumbnail(picture))
        if index % _LOOK_EVERY == 0 and (where := _where(face, options)):
            seen.looks.append((index, look_at(picture, *where, face)))
        progress(min(0.6 * (index + 1) / expected, 0.6))
    if tracker:
        seen.faces, seen.found = tracker.track.faces, len(tracker.track.seen)
        _keep_one_shot(seen)
    else:
        seen.faces = [None] * len(seen.thumbnails)
    return seen


def _keep_one_shot(seen: _ClipSurvey) -> None:
    """Forget the faces outside of the shot with the most of them: another shot may show another person."""
    if not seen.thumbnails:
        return
    shots = find_shots(np.stack(seen.thumbnails))
    seen.shots = len(shots)
    start, end = max(shots, key=lambda shot: sum(face is not None for face in seen.faces[shot[0] : shot[1]]))
    seen.faces = [face if start <= at < end else None for at, face in enumerate(seen.faces)]


def _mouth(seen: _ClipSurvey, first: int, last: int) -> SourceMouth | None:
    """Return what the mouth does in most of the measured pictures from ``first`` to before ``last``."""
    mouths = [
        source_mouth(lip_gap_mm(face.points, estimate_pose(face.points)), look.teeth)
        for at, look in seen.looks
        if first <= at < last and (face := seen.faces[at]) and look.teeth is not None
    ]
    return usual_mouth(mouths) if mouths else None


def _rest(mouth: SourceMouth | None, options: BuildOptions, *, is_photo: bool = False) -> Rest:
    return options.rest or default_rest(mouth or "closed", is_photo=is_photo)


def _where(face: DetectedFace | None, options: BuildOptions) -> tuple[float, float, float] | None:
    """Return centre x, centre y and half the side of the square to measure, px; ``None`` without a face."""
    if options.square:
        return options.square
    return (float(face.centre[0]), float(face.centre[1]), face.side / 2) if face else None


def _windows(seen: _ClipSurvey, options: BuildOptions) -> tuple[Windows, int]:
    """Return the smoothed face windows of the longest part with a face, and its first frame."""
    if options.box:
        box = options.box
        if min(box.x, box.y) < 0 or box.x + box.width > seen.size[0] or box.y + box.height > seen.size[1]:
            raise AvatarError(f"the box is not inside the picture, which is {seen.size[0]}x{seen.size[1]} as stored")
    if options.rectangle:
        box_by_hand(options.rectangle, seen.size)  # raises if it leaves too little
    if options.square:
        return np.tile(options.square, (len(seen.thumbnails), 1)), 0
    if not any(seen.faces) and options.face > 1:
        raise AvatarError(f"there is no face number {options.face}: leave --face out for the largest one")
    start, end = longest_run(seen.faces)
    return smooth(face_windows(seen.faces[start:end])), start


def _outline(faces: list[DetectedFace | None], boxes: tuple[Box, ...]) -> Outline:
    shares = [(f.points - (b.x, b.y)) / (b.width, b.height) for f, b in zip(faces, boxes, strict=True) if f]
    return jaw_outline(np.array(shares, np.float32)) if shares else ()


def _notes(seen: _ClipSurvey, start: int, end: int, cut: Cut, *, is_motion: bool) -> list[str]:
    count = len(seen.thumbnails)
    notes = []
    if seen.found > 1:
        notes.append(f"{seen.found} faces were found; --face N chooses among them, the largest first")
    if seen.shots > 1:
        notes.append(f"the clip has {seen.shots} shots: only the one that shows a face for longest is used")
    if (start, end) != (0, count):
        notes.append(
            f"a face is there from {start / FRAME_RATE_HZ:.1f} s to {end / FRAME_RATE_HZ:.1f} s: only that part is used"
        )
    if seen.faces[start:end] and any(seen.faces):
        gaps = [b - a for a, b in spans([face is not None for face in seen.faces[start:end]])]
        if gaps:
            notes.append(f"the face was hidden or turned away in {sum(gaps)} frames: its place was interpolated")
    if cut.loop == "pingpong" and count > 1 and not is_motion:
        notes.append("no smooth seam was found: the clip runs to and fro")
    return notes


def _share(pictures: Iterator[Bgr], count: int, progress: Progress) -> Iterator[Bgr]:
    for index, picture in enumerate(pictures):
        yield picture
        progress(0.6 + 0.4 * (index + 1) / count)
