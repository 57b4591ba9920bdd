"""The motion graph of an avatar of several clips: where one clip can be left for another. Pure data.

The frames of all clips are counted in one row: those of `idle` first, then those of the other clips, last the generated
frames that lie between two clips. A frame of the row has its box, its features and its mouth at rest like any other,
so what paints and draws knows nothing of clips. The idea is that of Kovar, Gleicher and Pighin, *Motion Graphs*
(SIGGRAPH 2002).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Loop = Literal["seamless", "pingpong"]

IDLE, LISTENING, SPEAKING = STATES = ("idle", "listening", "speaking")
"""Clips that repeat while the session is in a state; every other clip is a motion, and is shown once."""
MotionsMode = Literal["auto", "asked", "off"]
"""Whether an avatar of several clips changes its clip by itself, only when it is asked to, or never."""
MOTION_PATTERN = re.compile(r"[a-z][a-z0-9-]{0,30}")

USUAL_LIVELINESS = 0.6
"""How much of the stress in speech a head shows, and how far a photograph goes in its gestures, unless it is set."""

WAIT_FRAMES: dict[str, int] = {IDLE: 25, LISTENING: 12, SPEAKING: 10}
"""Longest way from a state into another one, by the one that is entered: frames until the first one of its clip."""
MOTION_WAIT_FRAMES = 13
"""Longest way from a state into a motion. With the delay of a session, at most 260 ms, it takes 0.8 s."""


def longest_wait(name: str) -> int:
    """Return the longest way from a state into the clip of this name, frames."""
    return WAIT_FRAMES.get(name, MOTION_WAIT_FRAMES)


@dataclass(frozen=True, slots=True)
class ClipRange:
    """The frames of one clip.

    Attributes:
        name: `idle`, `listening`, `speaking`, or the name of a motion.
        first: Index of its first frame in the row of all frames, from 0.
        frames: Number of its frames, 1 or more; of a clip with several levels, of each.
        loop: How it repeats; a motion does not.
        levels: How often the clip lies there, one after the other, each time with more stress: the head further down,
            the brows further up. The first one has none.
    """

    name: str
    first: int
    frames: int
    loop: Loop
    levels: int = 1

    @property
    def is_motion(self) -> bool:
        """Whether the clip is shown once, and does not repeat."""
        return self.name not in STATES

    @property
    def length(self) -> int:
        """Number of positions until the clip repeats or is over; running to and fro, most frames have two."""
        to_and_fro = not self.is_motion and self.loop == "pingpong" and self.frames > 1
        return 2 * self.frames - 2 if to_and_fro else self.frames

    @property
    def level_frames(self) -> int:
        """Frames from the last level to the first one, at which the clip is left."""
        return self.levels - 1

    def frame(self, position: int, level: int = 0) -> int:
        """Return the frame of the row at a position, 0 to :attr:`length` - 1, and a level, 0 to :attr:`levels` - 1."""
        at = min(position, self.length - position if position >= self.frames else position)
        return self.first + level * self.frames + at

    def moved(self, position: int, frames: int) -> int:
        """Return the position some frames later, or earlier; a motion stays at its ends."""
        moved = position + frames
        return min(max(moved, 0), self.length - 1) if self.is_motion else moved % self.length


@dataclass(frozen=True, slots=True)
class Step:
    """A way from one clip into another.

    Attributes:
        leaves: Last position of the clip that is left.
        enters: First position of the clip that is entered.
        first: First generated frame between both, in the row; any number if there is none.
        between: Number of generated frames, which follow each other in the row.
    """

    leaves: int
    enters: int
    first: int = 0
    between: int = 0

    def frames(self) -> range:
        """Return the generated frames between both clips."""
        return range(self.first, self.first + self.between)


Steps = Mapping[tuple[str, str], tuple[Step, ...]]
"""By the names of the clip that is left and the one that is entered: the steps, in order of ``leaves``."""

BLINKS = SPEAKING, SPEAKING
"""Steps of a drawn clip that speaks into itself: in their generated frames the eyes blink."""


@dataclass(frozen=True, slots=True)
class MotionGraph:
    """The clips of an avatar and the steps between them.

    Every state can be left for every other clip, and every motion for every state.

    Attributes:
        clips: The clips by name, `idle` among them.
    """

    clips: Mapping[str, ClipRange]
    steps: Steps

    @property
    def motions(self) -> tuple[str, ...]:
        """Names of the motions, in order of the alphabet."""
        return tuple(sorted(name for name, clip in self.clips.items() if clip.is_motion))

    def step(self, name: str, position: int, target: str) -> Step | None:
        """Return the step that leaves a clip after a position for another clip; ``None`` if there is none."""
        return next((step for step in self.steps.get((name, target), ()) if step.leaves == position), None)

    def worst_wait(self, name: str, target: str) -> int:
        """Return the longest way from any position and level of a state to the first frame of another clip, frames.

        Of a motion it is the way from the last position that is not shown for certain.
        """
        clip, steps = self.clips[name], self.steps[name, target]
        if clip.is_motion:
            return max(step.between + 1 for step in steps)
        waits = []
        for before, step in zip((steps[-1], *steps), steps, strict=False):
            gap = (step.leaves - before.leaves - 1) % clip.length + 1
            waits.append(gap + step.between)
        return max(waits) + clip.level_frames


def pairs(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the clips between which there are steps: from states into all others, from motions into states."""
    ordered = sorted(names)
    return [(a, b) for a in ordered for b in ordered if a != b and (a in STATES or b in STATES)]


def steps_to_json(steps: Steps) -> list[Any]:
    """Return steps as plain lists: both names, then four numbers a step."""
    return [
        [*pair, [[step.leaves, step.enters, step.first, step.between] for step in found]]
        for pair, found in sorted(steps.items())
    ]


def graph_of(clips: Sequence[ClipRange], steps: Any, frames: int) -> MotionGraph:
    """Return the graph of some clips and the lists of :func:`steps_to_json`.

    Args:
        frames: Number of all frames in the row.

    Raises:
        ValueError: If steps are missing, or lead to what is not there.
    """
    named = {clip.name: clip for clip in clips}
    if len(named) != len(clips) or IDLE not in named:
        raise ValueError("the clips need different names, and one of them is 'idle'")
    found: dict[tuple[str, str], tuple[Step, ...]] = {}
    for name, target, numbers in steps:
        read = tuple(Step(*(int(number) for number in step)) for step in numbers)
        for step in read:
            leaves, enters = 0 <= step.leaves < named[name].length, 0 <= step.enters < named[target].length
            inside = step.between == 0 or 0 <= step.first <= frames - step.between
            if not (leaves and enters and inside and step.between >= 0):
                raise ValueError(f"a step from {name!r} to {target!r} leads outside of the clips")
        if list(read) != sorted(read, key=lambda step: step.leaves) or not read:
            raise ValueError(f"the steps from {name!r} to {target!r} are not in order, or there is none")
        found[name, target] = read
    if found.keys() - {BLINKS} != set(pairs(named)):
        raise ValueError("there must be steps between the states, and between each motion and the states")
    return MotionGraph(named, found)
