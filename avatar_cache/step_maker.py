"""Makes the steps between the clips of an avatar: their generated pictures, and the boxes of these."""

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.avatar import file_sha256
from lipstream.avatar_cache.clip_file import write_clip
from lipstream.avatar_cache.clip_row import ClipPart, Rectangle
from lipstream.avatar_cache.face_track import thumbnail
from lipstream.avatar_cache.idle_motion import blink
from lipstream.avatar_cache.manifest import Manifest, StoredClip
from lipstream.avatar_cache.motion_graph import BLINKS, SPEAKING, ClipRange, Step
from lipstream.avatar_cache.motion_steps import LARGEST_STEP, Looks, PlannedStep, Scale, calmer_steps, plan_steps
from lipstream.avatar_cache.photo import Bgr
from lipstream.realtime.picture.mouth_painter import Box

Progress = Callable[[float], None]

_BLINK_EVERY = 12
"""Frames from one place of a clip that speaks at which a blink may begin to the next."""


class StepMaker:
    """Makes the planned steps: their pictures, boxes, and how large they are.

    Args:
        manifest: Lists the clips, without steps between them.
        looks: What is compared of all their frames.
        covered: In which of them the mouth is covered, ``bool[N]``.
        between: Makes the picture between two frames of the row, given by their numbers and the share of the second.
        scale: Gives what the size of a step is measured by.
        blinking: Makes the picture of a frame of the row with its lids shut by a share; ``None`` for clips that have
            their own blinks.

    Attributes:
        steps: The steps made, by the names of both clips.
        covered: Whether the mouth is covered in each generated frame.
        worst: The largest of them, in the largest step that it is measured by, and its clips' names.
    """

    def __init__(
        self,
        manifest: Manifest,
        looks: Looks,
        covered: npt.NDArray[np.bool_],
        between: Callable[[int, int, float], Bgr],
        scale: Scale = calmer_steps,
        blinking: Callable[[int, float], Bgr] | None = None,
    ) -> None:
        self._scale, self._blinking = scale, blinking
        self._manifest, self._looks, self._covered, self._between = manifest, looks, covered, between
        self._ranges = {clip.name: clip for clip in manifest.ranges}
        self.covered: list[bool] = []
        self.steps: dict[tuple[str, str], tuple[Step, ...]] = {}
        self.worst: tuple[float, str, str] = (0.0, "", "")
        self._boxes: list[Box] = []
        self._found: list[Rectangle] = []

    def write(self, folder: Path, progress: Progress) -> list[ClipPart]:
        """Make all steps; return the clip of the generated frames, in a list that is empty if there is none."""
        planned = plan_steps(self._looks, self._ranges, self._scale)
        pictures = self._pictures(planned, progress)
        first = next(pictures, None)
        if first is None:
            return []
        path = folder / StoredClip("", 1, "seamless").file
        write_clip(path, chain([first], pictures))
        clip = StoredClip("", len(self._boxes), "seamless", "", file_sha256(path))
        return [ClipPart(clip, path, tuple(self._boxes), tuple(self._found))]

    def _pictures(self, planned: dict[tuple[str, str], list[PlannedStep]], progress: Progress) -> Iterator[Bgr]:
        """Yield the generated pictures in order, and note the steps."""
        for number, ((name, target), steps) in enumerate(planned.items()):
            made = []
            for step in steps:
                pictures, size = self._make(step, name, target)
                made.append(Step(step.leaves, step.enters, self._manifest.frames + len(self._boxes), len(pictures)))
                self._note_boxes(step, name, target, len(pictures))
                self.worst = max(self.worst, (size, name, target))
                yield from pictures
            self.steps[name, target] = tuple(made)
            progress((number + 1) / len(planned))
        if self._blinking and SPEAKING in self._ranges:
            yield from self._blinks(self._ranges[SPEAKING], self._blinking)

    def _blinks(self, clip: ClipRange, blinking: Callable[[int, float], Bgr]) -> Iterator[Bgr]:
        """Yield the pictures of blinks, each over frames that follow each other, and note their steps."""
        lids, made = blink(), []
        for start in range(0, clip.length, _BLINK_EVERY):
            first = self._manifest.frames + len(self._boxes)
            made.append(Step(start, clip.moved(start, len(lids) + 1), first, len(lids)))
            for number, shut in enumerate(lids, start=1):
                frame = clip.frame(clip.moved(start, number))
                self._note(frame, frame, 0.0)
                yield blinking(frame, shut)
        self.steps[BLINKS] = tuple(made)

    def _make(self, step: PlannedStep, name: str, target: str) -> tuple[list[Bgr], float]:
        """Return the pictures of a step, as few as make it small enough, and its size."""
        left, entered = self._ranges[name], self._ranges[target]
        scale = self._scale(self._looks, left, entered)
        ends = np.array([left.frame(step.leaves)]), np.array([entered.frame(step.enters)])
        poses = float(self._looks.apart(*ends)[1][0, 0]) / scale[1]
        tries: list[tuple[float, int, list[Bgr]]] = []
        for count in range(step.between, max(step.between, step.most_between) + 1):
            pictures = [
                self._between(before, after, share) for before, after, share in _mixed(left, entered, step, count)
            ]
            shown = [self._looks.pictures[ends[0][0]], *map(thumbnail, pictures), self._looks.pictures[ends[1][0]]]
            largest = float(np.sqrt((np.diff(np.stack(shown), axis=0) ** 2).mean(axis=1)).max()) / scale[0]
            tries.append((max(largest, poses / (count + 1)), count, pictures))
            if tries[-1][0] <= LARGEST_STEP:
                break
        size, _, pictures = min(tries, key=lambda tried: tried[:2])
        return pictures, size

    def _note_boxes(self, step: PlannedStep, name: str, target: str, count: int) -> None:
        """Note the boxes of generated frames: between those of the frames that they are mixed from."""
        for before, after, share in _mixed(self._ranges[name], self._ranges[target], step, count):
            self._note(before, after, share)

    def _note(self, before: int, after: int, share: float) -> None:
        """Note the box of a generated frame between two of the row."""
        manifest = self._manifest
        self.covered.append(bool(self._covered[after if share >= 0.5 else before]))
        self._boxes.append(_box_between(manifest.boxes[before], manifest.boxes[after], share))
        if manifest.detector_boxes:
            one, other = manifest.detector_boxes[before], manifest.detector_boxes[after]
            left, top, right, bottom = (round(a + share * (b - a)) for a, b in zip(one, other, strict=True))
            self._found.append((left, top, right, bottom))


def _mixed(left: ClipRange, entered: ClipRange, step: PlannedStep, count: int) -> Iterator[tuple[int, int, float]]:
    """Yield what each generated frame is mixed from: a frame of either clip, and the share of the second.

    Both clips go on moving meanwhile.
    """
    for number in range(1, count + 1):
        before = left.frame(left.moved(step.leaves, number))
        after = entered.frame(entered.moved(step.enters, number - count - 1))
        yield before, after, number / (count + 1)


def _box_between(one: Box, other: Box, share: float) -> Box:
    """Return an even box between two that are inside the picture; so is it."""
    low = Box(*(min(a, b) for a, b in zip(_edges(one), _edges(other), strict=True)))
    mixed = (a + share * (b - a) for a, b in zip(_edges(one), _edges(other), strict=True))
    x, y, width, height = (2 * int(edge / 2) for edge in mixed)
    return Box(max(x, low.x), max(y, low.y), width, height)


def _edges(box: Box) -> tuple[int, int, int, int]:
    return box.x, box.y, box.width, box.height
