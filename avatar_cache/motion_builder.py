"""Adds clips to a stored avatar, and generates the frames between its clips.

The frames are looked at as they are stored, so that clips may be added in any order and at any time. The first clip
stays as it is, byte for byte.
"""

import dataclasses
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.avatar import Avatar, file_sha256
from lipstream.avatar_cache.clip_builder import BuildOptions, ingest, living_photo
from lipstream.avatar_cache.clip_row import ClipPart, ClipRow, joined, part_of_file, parts_of
from lipstream.avatar_cache.gestures import gesture_levels, levels_of
from lipstream.avatar_cache.idle_motion import LOOP_FRAMES, moments
from lipstream.avatar_cache.in_between import InBetween
from lipstream.avatar_cache.manifest import Manifest
from lipstream.avatar_cache.media_reader import open_source
from lipstream.avatar_cache.motion_graph import IDLE, SPEAKING, STATES, MotionGraph
from lipstream.avatar_cache.motion_names import check_motion_names
from lipstream.avatar_cache.motion_steps import LARGEST_STEP, Looks, livelier_steps
from lipstream.avatar_cache.mouth_cover import ranges_of
from lipstream.avatar_cache.photo import Bgr
from lipstream.avatar_cache.preflight import Line, PreflightReport, grade
from lipstream.avatar_cache.step_maker import StepMaker
from lipstream.realtime.errors import AvatarError
from lipstream.realtime.timeline import FRAME_RATE_HZ

Progress = Callable[[float], None]

MOST_CLIPS = 16
_BUILT, _LOOKED_AT, _MADE = 0.5, 0.2, 0.3
"""Shares of the work: reading the clips, comparing all frames, making the steps."""
_LINES = ("motion step", "motion wait", "speaking wait")
_ADVICE = "film it again in one sitting: same seat, same light, beginning and end in the pose of the first clip"
_FRAMES_NOTE = "all clips together:"
_SIZES_APART = 0.1
"""Difference of the faces' sizes in two clips, as a share, from which the report tells of it."""


def add_motions(
    avatar: Avatar,
    report: str | None,
    sources: Mapping[str, Path],
    folder: Path,
    options: BuildOptions,
    progress: Progress,
    *,
    without: Collection[str] = (),
) -> None:
    """Write an avatar with further clips into a folder: all its files, with those between its clips.

    Args:
        report: Report of the avatar's build, JSON; ``None`` without one.
        sources: Videos by the names of their clips; a clip of the same name is replaced.
        options: Face, box and detector, as for the avatar.
        progress: Called with 0..1; an exception from it ends the work.
        without: Names of clips that are left out.

    Raises:
        AvatarError: If a name is invalid, there are too many clips, or no clip can be made of a video.
        LipstreamError: For the reasons that :func:`~lipstream.avatar_cache.clip_builder.ingest` gives.
    """
    check_motion_names([*sources, *without])
    parts = {part.clip.name: part for part in parts_of(avatar)}
    if missing := next((name for name in without if name not in parts), None):
        raise AvatarError(f"the avatar {avatar.manifest.id!r} has no clip {missing!r}")
    parts = {name: part for name, part in parts.items() if name not in without}
    if len(parts.keys() | sources.keys()) > MOST_CLIPS:
        raise AvatarError(f"an avatar has at most {MOST_CLIPS} clips")
    chosen = _options(avatar.manifest, options)
    notes = []
    drawn = set()
    for name, source in sources.items():
        is_photo = open_source(source, options.limits, side=options.side).is_photo
        drawn |= {name} if is_photo else set()
        if is_photo and file_sha256(source) != avatar.manifest.source_sha256:
            raise AvatarError(f"{source.name} is not the photograph that the avatar was built from")
    for number, (name, source) in enumerate(sources.items()):
        part, found = _read(name, source, folder, chosen, _part(progress, number, len(sources)))
        clip = dataclasses.replace(part.clip, levels=levels_of(name) if name in drawn else 1)
        parts[name] = dataclasses.replace(part, clip=clip)
        notes += [f"{name}: {note}" for note in found]
    ordered = [parts[name] for name in sorted(parts, key=lambda name: (name != IDLE, name))]
    for part in ordered:
        shutil.copyfile(part.path, folder / part.clip.file)
    manifest = joined(avatar.manifest, ordered)
    written = PreflightReport.from_json(report) if report else PreflightReport()
    written.lines = [line for line in written.lines if line.name not in _LINES]
    written.notes = [note for note in written.notes if not _is_of_clips(note, {*parts, *without})]
    if len(ordered) == 1:
        manifest = dataclasses.replace(manifest, clips=())
        _write(folder, manifest, written)
        return
    is_drawn = drawn == parts.keys() - {IDLE} and ordered[0].clip.frames == LOOP_FRAMES
    with ClipRow(folder, manifest) as row:
        made, covered = (_drawn_steps if is_drawn else _filmed_steps)(
            row, next(iter(sources.values()), Path()), chosen, lambda share: progress(_BUILT + _LOOKED_AT * share)
        )
        between = made.write(folder, lambda share: progress(_BUILT + _LOOKED_AT + _MADE * share))
    hidden = tuple(ranges_of(np.concatenate([covered, np.array(made.covered, np.bool_)])))
    whole = dataclasses.replace(joined(manifest, [*ordered, *between]), steps=made.steps, covered=hidden)
    for name in sources:
        shutil.rmtree(folder / f".{name}")
    written.lines += _lines(whole, made)
    written.notes += [*notes, *_sizes(ordered), *_cover_notes(whole), _frames_note(whole)]
    _write(folder, whole, written)


def _filmed_steps(
    row: ClipRow, _: Path, options: BuildOptions, told: Progress
) -> tuple[StepMaker, npt.NDArray[np.bool_]]:
    """Return what makes the steps between films, along their optical flow; and in which frames the mouth is covered."""
    looks, covered = row.survey(None if options.square else options.detector, told)
    covered[: row.ranges[IDLE].frames] = False  # the first clip stays what it is
    flow = InBetween()

    def between(before: int, after: int, share: float) -> Bgr:
        return flow.between(row.picture(before), row.picture(after), share)

    return StepMaker(row.manifest, looks, covered, between), covered


def _drawn_steps(
    row: ClipRow, photograph: Path, options: BuildOptions, told: Progress
) -> tuple[StepMaker, npt.NDArray[np.bool_]]:
    """Return the same of the clips of a photograph: in poses between, so that nothing fades."""
    photo = living_photo(photograph, options)
    looks, covered = row.survey(None, told)
    moved = [
        moment
        for name in row.ranges
        for moment in (moments() if name == IDLE else gesture_levels(name, options.liveliness))
    ]
    side = row.manifest.boxes[0].width
    poses = np.array([photo.moved(photo.landmarks, moment).reshape(-1) / side for moment in moved], np.float32)

    def between(before: int, after: int, share: float) -> Bgr:
        return photo.picture(moved[before].mixed(moved[after], share))

    def blinking(frame: int, shut: float) -> Bgr:
        return photo.picture(dataclasses.replace(moved[frame], shut=shut))

    return StepMaker(row.manifest, Looks(looks.pictures, poses), covered, between, livelier_steps, blinking), covered


def _is_of_clips(note: str, names: Collection[str]) -> bool:
    """Return whether a note of an earlier report is on one of several clips, or on all of them."""
    return note.startswith(_FRAMES_NOTE) or note.partition(":")[0] in names


def _write(folder: Path, manifest: Manifest, report: PreflightReport) -> None:
    (folder / "avatar.json").write_text(manifest.to_json())
    (folder / "report.json").write_text(report.to_json())


def _options(manifest: Manifest, options: BuildOptions) -> BuildOptions:
    """Return the options for a further clip; a rectangle that was set by hand is that of all clips."""
    rectangle = options.rectangle
    if manifest.box_by_hand and not options.square:
        rectangle = manifest.detector_boxes[0]
    return dataclasses.replace(options, size=manifest.size, rectangle=rectangle, still=False)


def _read(
    name: str, source: Path, folder: Path, options: BuildOptions, progress: Progress
) -> tuple[ClipPart, list[str]]:
    """Return a clip made of a video, and the notes of its report."""
    own = folder / f".{name}"
    own.mkdir()
    ingest(source, "motion", own, dataclasses.replace(options, is_motion=name not in STATES, gesture=name), progress)
    report = PreflightReport.from_json((own / "report.json").read_text())
    return part_of_file(name, own / "clip.mp4", Manifest.read(own / "avatar.json")), report.notes


def _part(progress: Progress, number: int, count: int) -> Progress:
    return lambda share: progress(_BUILT * (number + share) / count)


def _lines(manifest: Manifest, made: StepMaker) -> list[Line]:
    """Return the report's lines on the steps between the clips."""
    graph = MotionGraph({clip.name: clip for clip in manifest.ranges}, made.steps)
    states = [name for name in graph.clips if name in STATES]
    size, name, target = made.worst
    verdict = grade(size, LARGEST_STEP, 2 * LARGEST_STEP)
    advice = "" if verdict == "good" else f"between {name} and {target}: {_ADVICE}"
    lines = [Line("motion step", round(size, 2), "of the largest within the clips", verdict, advice)]
    for line, targets in (("motion wait", graph.motions), ("speaking wait", (SPEAKING,))):
        waits = [graph.worst_wait(a, b) for a in states for b in targets if a != b and b in graph.clips]
        if waits:
            lines.append(Line(line, round(max(waits) / FRAME_RATE_HZ, 2), "s at most", "good"))
    return lines


def _frames_note(manifest: Manifest) -> str:
    """Return the note on how many frames all clips have."""
    between = sum(clip.frames for clip in manifest.clips if not clip.name)
    return f"{_FRAMES_NOTE} {manifest.frames} frames, {between} of them generated between the clips"


def _cover_notes(manifest: Manifest) -> list[str]:
    """Return notes on the seconds of each clip in which the mouth is covered."""
    notes = []
    for clip in manifest.ranges:
        own = [
            f"{(start - clip.first) / FRAME_RATE_HZ:.1f} s to {(end - clip.first) / FRAME_RATE_HZ:.1f} s"
            for start, end in manifest.covered
            if clip.first <= start < clip.first + clip.frames
        ]
        if own:
            notes.append(
                f"{clip.name}: something covers the mouth from {', '.join(own)}: the clip's own is shown there"
            )
    return notes


def _sizes(parts: list[ClipPart]) -> list[str]:
    """Return notes on clips whose face is larger or smaller than in the first one."""
    sides = [float(np.median([box.width for box in part.boxes])) for part in parts]
    return [
        f"{part.clip.name}: the face is {side / sides[0]:.2f} times as large as in the first clip"
        for part, side in zip(parts, sides, strict=True)
        if abs(side / sides[0] - 1) > _SIZES_APART
    ]
