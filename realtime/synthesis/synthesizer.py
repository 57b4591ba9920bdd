"""The protocol of engines that speak text."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

ENGINE_SILENT_S = 10.0
"""An engine that sends nothing for this long, while it is read, has failed."""
LONGEST_S = 120
"""Limit for the sound of one sentence; a longer one is a fault of the engine."""


@dataclass(frozen=True, slots=True)
class SpokenPcm:
    """A piece of speech.

    Attributes:
        rate_hz: Sample rate, Hz; the same for every piece of one engine.
        pcm: s16le, mono, cut anywhere, also within a sample.
    """

    rate_hz: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class SpokenSentence:
    """A sentence with its sound. The generator is closed unread if the sentence is no longer wanted.

    Attributes:
        motions: Motions of the avatar that begin with it.
    """

    text: str
    sound: AsyncGenerator[SpokenPcm]
    motions: tuple[str, ...] = ()


class SynthesisError(Exception):
    """An engine failed; the message is shown to users and holds no secret."""


class SpeechSynthesizer(Protocol):
    """Speaks sentences; several sessions may use it at once."""

    def speak(self, text: str) -> AsyncGenerator[SpokenPcm]:
        """Yield the sound of a sentence as it is made; closing the generator stops the engine.

        Args:
            text: A single line of at most 300 characters.

        Raises:
            SynthesisError: If the engine cannot be reached, fails, stalls, or does not answer with sound.
        """

    async def close(self) -> None:
        """Close everything that is kept between sentences, such as connections."""
