"""The motions of a session: what is asked for, what happens by itself, and what its clients are told of it."""

from collections.abc import Callable

from lipstream.avatar_cache.manifest import Manifest
from lipstream.avatar_cache.motion_graph import MotionsMode
from lipstream.realtime.errors import ConflictError, ForbiddenError, NotFoundError
from lipstream.realtime.session.animator import FrameChoice
from lipstream.realtime.session.motion_player import MotionPlayer, MotionStarted, frame_choice
from lipstream.realtime.timeline import frame_to_sample
from lipstream.realtime.wire.events import MotionEvent, ServerEvent

GREET, THINK = "greet", "think"
"""Motions that an avatar that has them shows by itself in a conversation: when its visitor comes, and while an agent
thinks of an answer."""


class SessionMotions:
    """The motions of one session, whichever avatar it shows.

    Args:
        mode: Whether clips change by themselves, when they are asked to, or never.
        are_allowed: Whether clients of the session may ask for motions.
        liveliness: How much of the stress in speech the head of a photograph shows, 0 to 1.
        tell: Sends an event to the session's clients.

    Attributes:
        choice: Chooses the frames of the avatar that is shown.
        liveliness: As it is set.
    """

    def __init__(
        self,
        manifest: Manifest,
        mode: MotionsMode,
        *,
        are_allowed: bool,
        liveliness: float,
        tell: Callable[[ServerEvent], None],
    ) -> None:
        self._mode, self._are_allowed, self._tell, self.liveliness = mode, are_allowed, tell, liveliness
        self.choice: FrameChoice = frame_choice(manifest, mode, liveliness)
        self._named = manifest.motions

    def show(self, manifest: Manifest) -> None:
        """Show another avatar; a motion that is shown is over."""
        if isinstance(self.choice, MotionPlayer):
            self.choice.stop()
            self.report()
        self.choice, self._named = frame_choice(manifest, self._mode, self.liveliness), manifest.motions

    @property
    def tags(self) -> tuple[str, ...]:
        """Names that are no words in a text: the avatar's motions, also where none is shown."""
        return self._named

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the motions that may be asked for."""
        return self._named if self._are_allowed and isinstance(self.choice, MotionPlayer) else ()

    def ask(self, name: str) -> int:
        """Show a motion once.

        Returns:
            The sample (16 kHz) before which no picture of it is shown.

        Raises:
            ForbiddenError: If the session may not show motions.
            ConflictError: If the server shows none.
            NotFoundError: If the avatar has no such motion.
        """
        if not self._are_allowed:
            raise ForbiddenError("the invitation is not for motions")
        if self._mode == "off":
            raise ConflictError("this server shows no motions (option motions)")
        if not isinstance(self.choice, MotionPlayer):
            raise NotFoundError("the avatar has no motions")
        self.choice.request(name)
        return frame_to_sample(self.choice.next_frame)

    def enliven(self, liveliness: float) -> None:
        """Let the head show more of the stress in speech from the next frame on, or less."""
        self.liveliness = liveliness
        if isinstance(self.choice, MotionPlayer):
            self.choice.liveliness = liveliness

    def begin(self, name: str) -> None:
        """Show a motion that a text names, where motions may be asked for."""
        if name in self.names:
            self.ask(name)

    def follow(self, event: ServerEvent) -> None:
        """Change with what happens in the session."""
        if not isinstance(self.choice, MotionPlayer):
            return
        kind = event["type"]
        if kind in ("listening", "heard"):
            self.choice.listen(listens=kind == "listening")
        elif kind == "interrupted":
            self.choice.cancel()
        elif kind == "thinking" and self._mode == "auto" and THINK in self._named:
            self.choice.request(THINK)

    def greet(self) -> None:
        """Show the greeting, if the avatar has one and motions come by themselves."""
        if self._mode == "auto" and GREET in self._named and isinstance(self.choice, MotionPlayer):
            self.choice.request(GREET)

    def report(self) -> None:
        """Tell the clients of motions that began or ended."""
        if not isinstance(self.choice, MotionPlayer):
            return
        for event in self.choice.take_events():
            sample, began = frame_to_sample(event.frame), isinstance(event, MotionStarted)
            self._tell(
                MotionEvent(type="motion_started" if began else "motion_ended", sample=sample, motion=event.motion)
            )
