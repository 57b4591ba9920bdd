"""The clips of a person who was drawn before a room of their own: they speak, listen, greet, nod and think.

The person moves and the room stands still behind. All poses are known, so the pictures between two clips are drawn
in a pose between, and nothing fades.
"""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.avatar import file_sha256
from lipstream.avatar_cache.clip_file import write_clip
from lipstream.avatar_cache.clip_row import ClipPart, Rectangle, joined
from lipstream.avatar_cache.face_track import thumbnail
from lipstream.avatar_cache.gestures import GESTURES, gesture_levels, levels_of
from lipstream.avatar_cache.idle_motion import LivingPhoto, Moment, moments
from lipstream.avatar_cache.manifest import Manifest, StoredClip
from lipstream.avatar_cache.motion_graph import IDLE
from lipstream.avatar_cache.motion_steps import Looks, livelier_steps
from lipstream.avatar_cache.photo import Bgr
from lipstream.avatar_cache.step_maker import StepMaker
from lipstream.realtime.picture.mouth_painter import Box

Floats = npt.NDArray[np.float32]

_CLIPS_SHARE = 0.8
"""Share of the progress that the clips take; the rest is the steps between them."""


def draw_clips(
    manifest: Manifest,
    photo: LivingPhoto,
    folder: Path,
    progress: Callable[[float], None],
    *,
    raises_brows: bool = True,
) -> Manifest:
    """Write the clips of a person into a folder; return the manifest with them and the steps between them.

    Args:
        manifest: Manifest of the idle clip; the boxes of all clips are as large as its own.
        photo: The person, in the size of the pictures.
        progress: Called with 0..1.
        raises_brows: Whether brows move; above glasses they would bend them.
    """
    row = _Row(photo, manifest)
    clips = {IDLE: moments()} | {name: gesture_levels(name) for name in GESTURES}
    if not raises_brows:
        clips = {name: [dataclasses.replace(one, brows=0.0) for one in shown] for name, shown in clips.items()}
    total, parts = sum(map(len, clips.values())), []
    for name, shown in clips.items():
        clip = StoredClip(name, len(shown), "seamless", levels=levels_of(name))
        path = folder / clip.file
        first = len(row.moments)
        write_clip(path, row.draw(shown, lambda done: progress(_CLIPS_SHARE * done / total)))
        clip = dataclasses.replace(clip, clip_sha256=file_sha256(path))
        parts.append(ClipPart(clip, path, tuple(row.boxes[first:]), tuple(row.found[first:])))
    several = joined(manifest, parts)
    made = StepMaker(
        several, row.looks(), np.zeros(several.frames, np.bool_), row.between, livelier_steps, row.blinking
    )
    between = made.write(folder, lambda share: progress(_CLIPS_SHARE + (1 - _CLIPS_SHARE) * share))
    return dataclasses.replace(joined(several, [*parts, *between]), steps=made.steps)


class _Row:
    """The frames of all clips in their order: their poses, small pictures and boxes.

    Attributes:
        moments: The motion of each frame.
        boxes: Face box of each, px.
        found: Face detector's rectangle in each, px; empty if the manifest has none.
    """

    def __init__(self, photo: LivingPhoto, manifest: Manifest) -> None:
        self._photo, self._manifest = photo, manifest
        box = manifest.boxes[0]
        self._middle = np.array([[box.x + box.width / 2, box.y + box.height / 2]], np.float32)
        first = photo.moved(self._middle, moments()[0]) - self._middle
        self._middle -= first  # the first box is that of the first picture, which has moved already
        self._start = first[0]
        self._pictures: list[Floats] = []
        self.moments: list[Moment] = []
        self.boxes: list[Box] = []
        self.found: list[Rectangle] = []

    def draw(self, shown: list[Moment], progress: Callable[[int], None]) -> Iterator[Bgr]:
        """Yield the pictures of some moments, which are appended to the row."""
        for moment in shown:
            picture = self._photo.picture(moment)
            self._pictures.append(thumbnail(picture))
            self.moments.append(moment)
            self._place(moment)
            progress(len(self.moments))
            yield picture

    def looks(self) -> Looks:
        """Return what is compared of all frames."""
        side = self._manifest.boxes[0].width
        poses = [self._photo.moved(self._photo.landmarks, moment).reshape(-1) / side for moment in self.moments]
        return Looks(np.stack(self._pictures), np.asarray(poses, np.float32))

    def between(self, before: int, after: int, share: float) -> Bgr:
        """Return the picture between two frames."""
        return self._photo.picture(self.moments[before].mixed(self.moments[after], share))

    def blinking(self, frame: int, shut: float) -> Bgr:
        """Return the picture of a frame with its lids shut by a share."""
        return self._photo.picture(dataclasses.replace(self.moments[frame], shut=shut))

    def _place(self, moment: Moment) -> None:
        box, (width, height) = self._manifest.boxes[0], self._manifest.size
        (x, y), *_ = self._photo.moved(self._middle, moment).tolist()
        left, top = 2 * round((x - box.width / 2) / 2), 2 * round((y - box.height / 2) / 2)
        self.boxes.append(
            Box(min(max(left, 0), width - box.width), min(max(top, 0), height - box.height), box.width, box.height)
        )
        if self._manifest.detector_boxes:
            across, down = (self._photo.moved(self._middle, moment)[0] - self._middle[0] - self._start).tolist()
            one = self._manifest.detector_boxes[0]
            self.found.append(
                (round(one[0] + across), round(one[1] + down), round(one[2] + across), round(one[3] + down))
            )
