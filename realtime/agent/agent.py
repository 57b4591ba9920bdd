"""What an agent must be able to do, to whom a person talks through the face."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lipstream.realtime.synthesis.synthesizer import SpokenSentence


@dataclass(frozen=True, slots=True)
class Transcript:
    """What the agent understood; told to clients as a caption."""

    text: str


class AgentError(Exception):
    """An agent failed; the message is for a person and holds nothing secret."""


class Agent(Protocol):
    """One side of one conversation."""

    def answer(self, speech: npt.NDArray[np.float32]) -> AsyncGenerator[Transcript | SpokenSentence]:
        """Answer what was said; closing the generator stops everything that is on its way.

        Args:
            speech: ``float32[n]``, 16 kHz, a minute at most.

        Yields:
            What was understood, then the answer in sentences; nothing if there was nothing to understand.

        Raises:
            AgentError: If it cannot answer.
        """

    def note_said(self, text: str) -> None:
        """Learn what has been heard of the last answer; called once for each of which something was.

        An answer of which nothing was heard was never given, nor was the question: it is asked again with what follows.
        """

    async def close(self) -> None:
        """Let go of what is kept between answers."""
