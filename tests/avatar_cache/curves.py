"""Clips without pictures: the look of each frame is a point on a smooth curve."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from lipstream.avatar_cache.manifest import Manifest, StoredClip
from lipstream.avatar_cache.motion_graph import IDLE, LISTENING, SPEAKING, STATES, ClipRange, Loop, MotionGraph, Step
from lipstream.avatar_cache.motion_steps import Looks, calmer_steps, plan_steps
from lipstream.realtime.picture.mouth_painter import Box

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Curves:
    """Clips by name: their points, ``float32[frames, 2]``, and how they repeat."""

    points: dict[str, Floats]
    loops: dict[str, Loop]
    levels: dict[str, int] = field(default_factory=dict)

    def ranges(self) -> dict[str, ClipRange]:
        ranges, first = {}, 0
        for name, points in self.points.items():
            levels = self.levels.get(name, 1)
            ranges[name] = ClipRange(name, first, len(points) // levels, self.loops[name], levels)
            first += len(points)
        return ranges

    def looks(self) -> Looks:
        pictures = np.concatenate(list(self.points.values()))
        return Looks(pictures, np.zeros((len(pictures), 0), np.float32))

    def calmer_step(self, name: str, target: str) -> float:
        ranges = self.ranges()
        return calmer_steps(self.looks(), ranges[name], ranges[target])[0]


def planned(made: Curves) -> tuple[MotionGraph, Floats]:
    """Return the graph of some clips, and the looks of all frames; those between two clips are their mixture."""
    ranges, looks = made.ranges(), made.looks()
    row = list(looks.pictures)
    steps: dict[tuple[str, str], tuple[Step, ...]] = {}
    for (name, target), found in plan_steps(looks, ranges).items():
        kept = []
        for step in found:
            kept.append(Step(step.leaves, step.enters, len(row), step.between))
            ends = row[ranges[name].frame(step.leaves)], row[ranges[target].frame(step.enters)]
            shares = np.arange(1, step.between + 1)[:, None] / (step.between + 1)
            row.extend((ends[0] + shares * (ends[1] - ends[0])).astype(np.float32))
        steps[name, target] = tuple(kept)
    return MotionGraph(ranges, steps), np.stack(row)


def person(*, levels: int = 1) -> Curves:
    """Three states, two motions and a thoughtful pose around one; `speaking` has levels of stress."""
    points = {}
    lengths = {IDLE: 200, LISTENING: 150, SPEAKING: 130, "greet": 75, "nod": 40, "think": 60}
    for number, (name, frames) in enumerate(lengths.items()):
        at = np.arange(frames)
        if name in STATES:
            turns = 2 * np.pi * at / frames
            path = np.stack([np.sin(turns), np.cos(2 * turns)], axis=1) * (20 + 15 * number)
        else:
            path = np.sin(np.pi * at / (frames - 1))[:, None] ** 2 * np.array([90.0, 40.0]) + (0, 20)
        if name == SPEAKING:
            path = np.concatenate([path + 5 * level for level in range(levels)])
        points[name] = path.astype(np.float32)
    return Curves(points, dict.fromkeys(points, "seamless"), {SPEAKING: levels})


def manifest_of(avatar_id: str, graph: MotionGraph, frames: int) -> Manifest:
    """Return the manifest of an avatar with a graph's clips."""
    clips = [
        StoredClip(clip.name, clip.frames * clip.levels, clip.loop, levels=clip.levels) for clip in graph.clips.values()
    ]
    between = frames - sum(clip.frames for clip in clips)
    if between:
        clips.append(StoredClip("", between, "seamless"))
    boxes = (Box(16, 16, 96, 96),) * frames
    return Manifest(
        avatar_id, "Ann", "seamless", (128, 128), boxes, "CC0-1.0", "", clips=tuple(clips), steps=graph.steps
    )


@st.composite
def curves(draw: st.DrawFn) -> Curves:
    """Clips of a person in about one pose: states that sway around it, and motions that leave it and come back."""
    points: dict[str, Floats] = {}
    for name in (IDLE, *draw(st.sets(st.sampled_from((LISTENING, SPEAKING)))), *draw(_MOTIONS)):
        frames = draw(st.integers(30, 120))
        at = np.arange(frames)
        away = np.array(draw(_AWAY))
        reach = draw(st.floats(5, 60))
        if name in STATES:
            turns = 2 * np.pi * at / frames
            path = np.stack([np.sin(turns), np.sin(turns + 1) - np.sin(1)], axis=1) * reach
        else:
            path = np.sin(np.pi * at / (frames - 1))[:, None] ** 2 * np.array([reach, -reach])
        points[name] = (path + away).astype(np.float32)
    loops: dict[str, Loop] = {name: draw(st.sampled_from(("seamless", "pingpong"))) for name in points}
    return Curves(points, loops)


_MOTIONS = st.sets(st.sampled_from(("greet", "nod", "think")), max_size=2)
_AWAY = st.tuples(st.floats(-6, 6), st.floats(-6, 6))
