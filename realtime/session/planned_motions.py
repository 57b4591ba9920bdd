"""Motions at times that are known beforehand, as in a film. The module is pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from lipstream.avatar_cache.manifest import Manifest
from lipstream.avatar_cache.motion_graph import MotionsMode
from lipstream.realtime.errors import NotFoundError
from lipstream.realtime.session.animator import FrameChoice
from lipstream.realtime.session.motion_player import MotionPlayer, frame_choice
from lipstream.realtime.timeline import FRAME_RATE_HZ

MOTION_FORM = "NAME@SECONDS"


@dataclass(frozen=True, slots=True)
class PlannedMotion:
    """A motion that is asked for at a video frame, from 0."""

    frame: int
    name: str


def planned_motion(text: str) -> PlannedMotion:
    """Return the motion that a text names with its time, such as ``greet@2.5``.

    Raises:
        ValueError: If the text has another form, or its time lies before 0.
    """
    name, _, seconds = text.rpartition("@")
    at_s = float(seconds)
    if not name or not 0 <= at_s < 1e9:
        raise ValueError(f"{text!r} is not {MOTION_FORM}")
    return PlannedMotion(round(at_s * FRAME_RATE_HZ), name)


def planned_choice(manifest: Manifest, mode: MotionsMode, motions: Sequence[PlannedMotion]) -> FrameChoice:
    """Return what chooses the frames of an avatar that shows some motions.

    Raises:
        NotFoundError: If the avatar has no such motion, or shows none in this mode.
    """
    choice = frame_choice(manifest, mode)
    if not motions:
        return choice
    known = choice.motions if isinstance(choice, MotionPlayer) else ()
    if unknown := next((motion.name for motion in motions if motion.name not in known), None):
        raise NotFoundError(f"the avatar {manifest.id!r} shows no motion {unknown!r}")
    assert isinstance(choice, MotionPlayer)
    return _PlannedChoice(choice, motions)


class _PlannedChoice:
    """A player that is asked for each motion at its time."""

    def __init__(self, player: MotionPlayer, motions: Sequence[PlannedMotion]) -> None:
        self._player = player
        self._waiting = sorted(motions, key=lambda motion: motion.frame)[::-1]  # the next one last

    @property
    def follows_stress(self) -> bool:
        """Whether the stress in speech changes the choice."""
        return self._player.follows_stress

    def decide(self, frame: int, *, speaks: bool, stress: float = 0.0) -> int:
        """Return the frame of the row that video frame ``frame`` shows."""
        while self._waiting and self._waiting[-1].frame <= frame:
            self._player.request(self._waiting.pop().name)
        return self._player.decide(frame, speaks=speaks, stress=stress)

    def clip_frame(self, frame: int) -> int:
        """Return the frame of the row that video frame ``frame`` shows."""
        return self._player.clip_frame(frame)
