"""The protocol of an agent that talks with a visitor through the face."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lipstream.realtime.synthesis.synthesizer import SpokenSentence


@dataclass(frozen=True, slots=True)
class Transcript:
    """The text that the agent understood; clients show it as a caption."""

    text: str


@dataclass(frozen=True, slots=True)
class MotionWish:
    """A motion of the avatar that the agent shows now."""

    name: str


class AgentError(Exception):
    """An agent failed; the message is shown to users and holds no secret."""


class Agent(Protocol):
    """The agent's side of one conversation."""

    def answer(
        self, speech: npt.NDArray[np.float32], motions: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript | SpokenSentence | MotionWish]:
        """Answer a turn of speech; closing the generator stops all work on the answer.

        Args:
            speech: ``float32[n]``, 16 kHz, a minute at most.
            motions: Names of the avatar's motions, which the answer may show.

        Yields:
            The transcript, then the answer in sentences, and motions between them; nothing if no words were understood.

        Raises:
            AgentError: If the agent cannot answer.
        """

    def note_said(self, text: str) -> None:
        """Take note of the part of the last answer that was heard; called once, and only if some of it was.

        An answer of which nothing was heard counts as not given, and its question as not asked.
        """

    def note_interrupted(self, heard_ms: float) -> None:
        """Take note that the answer that is being said is interrupted, and how much of its sound was heard, ms."""

    async def close(self) -> None:
        """Close everything that is kept between answers, such as connections."""
