"""Finds where one clip of an avatar can be left for another without a jump. Pure arithmetic.

Two frames are as far apart as their pictures or their landmarks are, in units of the largest step from frame to frame
that the calmer one of both clips makes by itself: up to 1 the eye sees no cut. A step is looked for where the frames
around it match too, so that speeds match (Kovar, Gleicher and Pighin, *Motion Graphs*, SIGGRAPH 2002). Where the step
is larger, frames are to be generated between both clips.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.motion_graph import ClipRange, longest_wait, pairs

Floats = npt.NDArray[np.float32]

LARGEST_STEP = 1.2
"""Largest step between two clips, in the largest one within them."""
MOST_BETWEEN = 8
"""Most generated frames of one step: with more, a face would show two poses at once for too long."""
_EDGE_FRAMES = 10
"""A motion is entered and left within so many frames of its ends, and within a quarter of its length."""
_LEAST_PICTURE, _LEAST_POSE = 1.5, 0.01
"""Least largest step of a clip: grey levels, and shares of the face's side; a clip may stand still, and a step of this
size is about a pixel of a picture of 512."""
_MARGIN = 1.2
"""Both clips go on moving while one fades into the other, which makes steps larger by about this."""
_AROUND = (-1, 0, 1)
_SIZE_COST, _STEP_COST = 0.05, 0.01
"""Cost of a step's size, and of a step, in generated frames."""


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """What is compared of all frames of an avatar.

    Attributes:
        pictures: ``float32[N, D]``, small pictures, 0..255.
        poses: ``float32[N, E]``, landmarks in shares of the face's side; with no columns if none were looked for.
    """

    pictures: Floats
    poses: Floats

    def apart(self, a: npt.NDArray[np.int_], b: npt.NDArray[np.int_]) -> tuple[Floats, Floats]:
        """Return how far apart frames are, ``float32[len(a), len(b)]``: of pictures, grey levels, and of poses."""
        return _root_mean(self.pictures[a], self.pictures[b]), _root_mean(self.poses[a], self.poses[b])

    def steps(self, frames: npt.NDArray[np.int_]) -> tuple[Floats, Floats]:
        """Return how far each frame of a sequence is from the next one, of pictures and of poses."""
        here, there = frames[:-1], frames[1:]
        moved = (values[here] - values[there] for values in (self.pictures, self.poses))
        pictures, poses = (_mean_square(move) for move in moved)
        return np.sqrt(pictures), np.sqrt(poses)


def _mean_square(values: Floats) -> Floats:
    return np.asarray((values**2).sum(axis=1) / max(values.shape[1], 1), np.float32)


def _root_mean(a: Floats, b: Floats) -> Floats:
    product = a @ b.T * np.float32(2 / max(a.shape[1], 1))
    return np.sqrt(np.maximum(_mean_square(a)[:, None] + _mean_square(b) - product, 0)).astype(np.float32)


def order(clip: ClipRange) -> npt.NDArray[np.int_]:
    """Return the frame of the row at each position of a clip, ``int[length]``."""
    return np.array([clip.frame(position) for position in range(clip.length)])


Scale = Callable[[Looks, ClipRange, ClipRange], tuple[float, float]]
"""Gives the largest step that a change between two clips is measured by: of pictures, grey levels, and of poses."""


def calmer_steps(looks: Looks, one: ClipRange, other: ClipRange) -> tuple[float, float]:
    """Return the largest step within the calmer of two clips: of pictures, grey levels, and of poses."""
    pictures, poses = zip(_largest_steps(looks, one), _largest_steps(looks, other), strict=True)
    return min(pictures), min(poses)


def livelier_steps(looks: Looks, one: ClipRange, other: ClipRange) -> tuple[float, float]:
    """Return the same of the livelier clip: a head that is drawn on its way may move as quickly as there."""
    pictures, poses = zip(_largest_steps(looks, one), _largest_steps(looks, other), strict=True)
    return max(pictures), max(poses)


def _largest_steps(looks: Looks, clip: ClipRange) -> tuple[float, float]:
    frames = order(clip)
    shown = [frames if clip.is_motion else np.append(frames, frames[0])]
    if clip.levels > 1:  # stress grows and falls by a level a frame, and all levels are as far apart
        shown.append(np.array([clip.frame(position, position % 2) for position in range(clip.length)]))
    pictures, poses = (np.concatenate(found) for found in zip(*map(looks.steps, shown), strict=True))
    return max(_LEAST_PICTURE, float(pictures.max(initial=0))), max(_LEAST_POSE, float(poses.max(initial=0)))


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step that is to be made.

    Attributes:
        leaves: Last position of the clip that is left.
        enters: First position of the clip that is entered.
        between: Number of frames to generate, as the distance asks for.
        most_between: Number of frames that the longest wait leaves room for.
        size: Step without any frame between, in the largest one of the calmer clip.
    """

    leaves: int
    enters: int
    between: int
    most_between: int
    size: float


def plan_steps(
    looks: Looks, clips: Mapping[str, ClipRange], scale: Scale = calmer_steps
) -> dict[tuple[str, str], list[PlannedStep]]:
    """Return the steps between the clips, in order of ``leaves``.

    Between states, and from states into motions, there are as many as :data:`WAIT_FRAMES` asks for. A motion has one
    near its end into each state.
    """
    return {(name, target): _plan(looks, clips[name], clips[target], scale) for name, target in pairs(clips)}


def _plan(looks: Looks, left: ClipRange, entered: ClipRange, measure: Scale) -> list[PlannedStep]:
    scale = measure(looks, left, entered)
    leaving = np.arange(left.length)
    entering = np.arange(entered.length)
    if left.is_motion:
        leaving = leaving[-_edge(left) :]
    if entered.is_motion:
        entering = entering[: _edge(entered)]
    wait = longest_wait(entered.name) - left.level_frames
    size = _distance(looks, order(left)[leaving], order(entered)[entering], scale)
    match = sum(
        (
            _distance(looks, _near(left, leaving, 1 + around), _near(entered, entering, around), scale)
            for around in _AROUND
        ),
        np.zeros_like(size),
    )
    best = (np.maximum(size, 1) + match / len(_AROUND)).argmin(axis=1)  # a step up to 1 is as good as any
    sizes = size[np.arange(len(leaving)), best]
    between = [min(math.ceil(_MARGIN * float(one)) - 1, MOST_BETWEEN, wait - 2) if one > 1 else 0 for one in sizes]
    if left.is_motion:
        last = int((sizes + 0.1 * (len(leaving) - np.arange(len(leaving)))).argmin())
        chosen = {last: MOST_BETWEEN}
    else:
        chosen = _choose(between, sizes.tolist(), wait)
    return [
        PlannedStep(int(leaving[at]), int(entering[best[at]]), between[at], most, float(sizes[at]))
        for at, most in sorted(chosen.items())
    ]


def _edge(clip: ClipRange) -> int:
    return max(1, min(_EDGE_FRAMES, clip.length // 4))


def _distance(looks: Looks, a: npt.NDArray[np.int_], b: npt.NDArray[np.int_], scale: tuple[float, float]) -> Floats:
    pictures, poses = looks.apart(a, b)
    larger: Floats = np.maximum(pictures / np.float32(scale[0]), poses / np.float32(scale[1]))
    return larger


def _near(clip: ClipRange, positions: npt.NDArray[np.int_], away: int) -> npt.NDArray[np.int_]:
    """Return the frames some positions later, or earlier; those of a motion end where it does."""
    return np.array([clip.frame(clip.moved(int(position), away)) for position in positions])


def _choose(between: list[int], sizes: list[float], wait: int) -> dict[int, int]:
    """Choose positions at which a clip that repeats may be left.

    From each one to the next there are at most ``wait`` frames, with those generated at the next one. Among all such
    choices this one has the fewest generated frames, and the smallest steps.

    Returns:
        By position: how many frames may be generated there.
    """
    count = len(between)
    costs = [between[at] + _SIZE_COST * min(sizes[at], 100.0) + _STEP_COST for at in range(count)]
    best: tuple[float, list[int]] = (math.inf, [])
    for first in range(min(wait, count)):
        reached: dict[int, tuple[float, int]] = {first: (costs[first], first)}
        for at in range(first + 1, count):
            earliest = max(first, at - (wait - between[at]))
            before = min((reached[one][0], one) for one in range(earliest, at)) if earliest < at else (math.inf, at)
            reached[at] = (before[0] + costs[at], before[1])
        for last, (cost, _) in reached.items():
            if first + count - last + between[first] <= wait and cost < best[0]:
                chain = [last]
                while chain[-1] != first:
                    chain.append(reached[chain[-1]][1])
                best = cost, chain[::-1]
    chain = best[1]
    if not chain:  # a clip longer than the wait always has a chain; a shorter one may be left anywhere
        chain = list(range(count))
    gaps = [(at - before - 1) % count + 1 for before, at in zip((chain[-1], *chain), chain, strict=False)]
    return {at: min(MOST_BETWEEN, wait - gap) for at, gap in zip(chain, gaps, strict=True)}
