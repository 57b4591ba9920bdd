"""Chooses which frame of which clip a session shows: the states by themselves, and motions that are asked for.

The module is pure: its only clock is the number of the frame that is decided. A frame that has been decided stays
decided, so whoever asks for it again gets the same answer. Lips never wait for a clip: a mouth is drawn for the frame
that is shown, whichever it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from lipstream.avatar_cache.manifest import Manifest
from lipstream.avatar_cache.motion_graph import (
    BLINKS,
    IDLE,
    LISTENING,
    SPEAKING,
    USUAL_LIVELINESS,
    ClipRange,
    MotionGraph,
    MotionsMode,
    Step,
)
from lipstream.realtime.errors import NotFoundError
from lipstream.realtime.session.animator import ClipLoop

HOLD_SPEAKING_FRAMES = 15
"""Frames without speech after which the avatar stops looking like somebody who speaks: longer than between words."""
HOLD_LISTENING_FRAMES = 25
"""Frames after a visitor's turn for which the avatar goes on looking like somebody who listens."""
PHRASE_END_FRAMES = 3
"""Frames without speech after which a phrase is over, and the eyes blink."""
_BLINK_APART_FRAMES, _BLINK_LATEST_FRAMES = 40, 125
"""Least time from one blink of somebody who speaks to the next, and the longest one without the end of a phrase.
People blink where phrases end (Nakano and Kitazawa, 2010), some twenty times a minute."""
_REMEMBERED_FRAMES = 256
"""Decided frames that may be asked for again: more than can wait to leave."""
_FOLLOWED_FRAMES = 250
"""Longest gap in the timeline through which the clips run on; after a longer one, `idle` goes on."""
_LONG_AGO = -1_000_000


@dataclass(frozen=True, slots=True)
class MotionStarted:
    """The first frame of a motion's clip is shown at ``frame``."""

    motion: str
    frame: int


@dataclass(frozen=True, slots=True)
class MotionEnded:
    """A motion's clip is left at ``frame``, which is the first one that is not of it."""

    motion: str
    frame: int


class MotionPlayer:
    """Shows the clips of one avatar, one after the other, along the steps of its motion graph.

    Without speech, a listener or a request it shows what a `ClipLoop` of the first clip would.

    Args:
        changes_by_itself: Whether speech and listening choose the clip; otherwise `idle` repeats between motions.
        liveliness: How much of the stress in speech the head of a photograph shows, 0 (none) to 1; at 0 it does not
            show that it speaks, either.

    Attributes:
        liveliness: May be changed at any time.
    """

    def __init__(
        self, graph: MotionGraph, *, changes_by_itself: bool = True, liveliness: float = USUAL_LIVELINESS
    ) -> None:
        self._graph, self._changes_by_itself, self.liveliness = graph, changes_by_itself, liveliness
        self._clip, self._position = graph.clips[IDLE], -1  # the last place that was shown
        self._between: Iterator[int] = iter(())  # generated frames to show before the clip is entered
        self._entering: tuple[ClipRange, int] | None = None
        self._wanted: str | None = None
        self._spoken_frame = self._heard_frame = _LONG_AGO
        self._listens = False
        self._stress, self._level = 0.0, 0
        self._blinked_frame = 0
        self._frame = -1  # the last one that was decided
        self._decided: dict[int, int] = {}
        self._events: list[MotionStarted | MotionEnded] = []

    @property
    def follows_stress(self) -> bool:
        """Whether a clip has levels, which show the stress in speech."""
        return self.liveliness > 0 and any(clip.levels > 1 for clip in self._graph.clips.values())

    @property
    def motions(self) -> tuple[str, ...]:
        """Names of the motions, in order of the alphabet."""
        return self._graph.motions

    @property
    def clip(self) -> str:
        """Name of the clip of the last decided frame; between two clips, of the one that is left."""
        return self._clip.name

    @property
    def motion(self) -> str | None:
        """Name of the motion whose clip the last decided frame shows; ``None`` for any other."""
        return self._clip.name if self._clip.is_motion and self._entering is None else None

    @property
    def next_frame(self) -> int:
        """The first frame that is not decided."""
        return self._frame + 1

    def request(self, motion: str) -> None:
        """Show a motion as soon as there is a step to it, instead of one that waits.

        It begins within :data:`~lipstream.avatar_cache.motion_graph.MOTION_WAIT_FRAMES`, once a motion or a step that
        is shown is over.

        Raises:
            NotFoundError: If the avatar has no such motion.
        """
        if motion not in self.motions:
            known = ", ".join(self.motions)
            raise NotFoundError("the avatar has no such motion" + (f": it has {known}" if known else ""))
        self._wanted = motion

    def cancel(self) -> None:
        """Forget a motion that waits."""
        self._wanted = None

    def stop(self) -> None:
        """Note that the motion that is shown is over, since its avatar is shown no more."""
        self._note_left(self._frame + 1)

    def listen(self, *, listens: bool) -> None:
        """Record that a visitor begins to speak, or has finished."""
        self._listens = listens
        self._heard_frame = self._frame

    def take_events(self) -> list[MotionStarted | MotionEnded]:
        """Return the beginnings and ends of motions since the last call."""
        events, self._events = self._events, []
        return events

    def decide(self, frame: int, *, speaks: bool, stress: float = 0.0) -> int:
        """Return the frame of the row that video frame ``frame`` shows, see :meth:`clip_frame`.

        Args:
            speaks: Whether the frame is spoken.
            stress: How far it stands out in its speech, 0..1.
        """
        self._stress = stress
        if speaks:
            self._spoken_frame = max(self._spoken_frame, frame)
        return self.clip_frame(frame)

    def clip_frame(self, frame: int) -> int:
        """Return the frame of the row that video frame ``frame`` shows; decide it, and those before, if needed.

        Args:
            frame: On the session's timeline. A frame before those that are remembered shows what the oldest of them
                does.
        """
        if frame > self._frame + _FOLLOWED_FRAMES:
            self._go_on_idle(frame - 1)
        while self._frame < frame:
            self._frame += 1
            self._decided[self._frame] = self._advance()
            if len(self._decided) > _REMEMBERED_FRAMES:
                del self._decided[next(iter(self._decided))]
        return self._decided.get(frame, next(iter(self._decided.values())))

    def _go_on_idle(self, frame: int) -> None:
        """Continue as if `idle` had been shown up to a frame."""
        self._note_left(frame + 1)
        self._clip = self._graph.clips[IDLE]
        self._position, self._frame, self._level = frame % self._clip.length, frame, 0
        self._between = iter(())
        self._entering = self._wanted = None

    def _advance(self) -> int:
        """Return what the next frame shows."""
        if self._entering is None and (way := self._way_out()):
            target, step = way
            self._blinked_frame = self._frame
            self._note_left(self._frame)
            self._wanted = None if target == self._wanted else self._wanted
            self._between = iter(step.frames())
            self._entering = self._graph.clips[target], step.enters
        if (generated := next(self._between, None)) is not None:
            return generated
        if self._entering:
            (self._clip, self._position), self._entering = self._entering, None
            if self._clip.is_motion:
                self._events.append(MotionStarted(self._clip.name, self._frame))
        else:
            self._position = self._clip.moved(self._position, 1)
        self._level = self._next_level()
        return self._clip.frame(self._position, self._level)

    def _next_level(self) -> int:
        """Return the level of stress to show, one away from the last one at most."""
        wanted = round(self.liveliness * self._stress * (self._clip.levels - 1))
        if self._is_to_leave() or self._is_to_blink():
            wanted = 0
        return self._level + max(-1, min(1, wanted - self._level))

    def _note_left(self, frame: int) -> None:
        """Note that the clip is left at a frame, unless that was noted already."""
        if self._clip.is_motion and self._entering is None:
            self._events.append(MotionEnded(self._clip.name, frame))

    def _way_out(self) -> tuple[str, Step] | None:
        """Return the clip to enter and the step to it, if there is one after the last position that was shown."""
        target = self._state_after_motion() if self._clip.is_motion else self._wanted or self._state()
        if self._level or (target == self._clip.name and not self._is_to_blink()):
            return None
        step = self._graph.step(self._clip.name, self._position, target)
        return (target, step) if step else None

    def _is_to_leave(self) -> bool:
        """Return whether another clip is wanted; steps leave a clip at its first level."""
        return not self._clip.is_motion and (self._wanted or self._state()) != self._clip.name

    def _is_to_blink(self) -> bool:
        """Return whether it is time for a blink of a clip that has them in steps into itself."""
        if (self._clip.name, self._clip.name) != BLINKS or BLINKS not in self._graph.steps:
            return False
        since, phrase = self._frame - self._blinked_frame, self._frame - self._spoken_frame
        return since >= _BLINK_LATEST_FRAMES or (since >= _BLINK_APART_FRAMES and phrase >= PHRASE_END_FRAMES)

    def _state(self) -> str:
        """Return the state whose clip is to be shown."""
        clips = self._graph.clips
        if self._changes_by_itself:
            speaks = self._frame - self._spoken_frame <= HOLD_SPEAKING_FRAMES and SPEAKING in clips
            if speaks and (self.liveliness > 0 or clips[SPEAKING].levels == 1):
                return SPEAKING
            if (self._listens or self._frame - self._heard_frame <= HOLD_LISTENING_FRAMES) and LISTENING in clips:
                return LISTENING
        return IDLE

    def _state_after_motion(self) -> str:
        """Return the state to enter after a motion: another one where the step to the wanted one is past."""
        wanted, name = self._state(), self._clip.name
        left = {
            target: steps[0].leaves
            for (start, target), steps in self._graph.steps.items()
            if start == name and steps[0].leaves >= self._position
        }
        return wanted if wanted in left else min(left, key=lambda target: (left[target], target))


def frame_choice(
    manifest: Manifest, mode: MotionsMode = "auto", liveliness: float = USUAL_LIVELINESS
) -> ClipLoop | MotionPlayer:
    """Return what chooses the frames of an avatar: a player of its clips, or the repetition of its only clip."""
    graph = manifest.graph
    if graph is None or mode == "off":
        return ClipLoop(manifest.loop_frames, manifest.loop)
    return MotionPlayer(graph, changes_by_itself=mode == "auto", liveliness=liveliness)
