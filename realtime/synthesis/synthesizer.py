"""What an engine that speaks text must be able to do."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

ENGINE_SILENT_S = 10.0
"""An engine that says nothing for so long, while it is listened to, has failed."""
LONGEST_S = 120
"""Sound of one sentence; more is a fault of the engine's."""


@dataclass(frozen=True, slots=True)
class SpokenPcm:
    """A piece of speech.

    Attributes:
        rate_hz: The same for every piece of one engine.
        pcm: s16le, mono, cut anywhere, also within a sample.
    """

    rate_hz: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class SpokenSentence:
    """A sentence that brings its sound along.

    Attributes:
        text: Shown as a caption while it is heard.
        sound: Closed unread if nobody wants it any more.
    """

    text: str
    sound: AsyncGenerator[SpokenPcm]


class SynthesisError(Exception):
    """An engine failed; the message is for a person and holds nothing secret."""


class SpeechSynthesizer(Protocol):
    """Speaks one sentence at a time, and may be asked for several at once by different sessions."""

    def speak(self, text: str) -> AsyncGenerator[SpokenPcm]:
        """Yield a sentence's sound as it is made; closing the generator stops the engine.

        Args:
            text: One line, 300 characters at most.

        Raises:
            SynthesisError: If the engine cannot be reached, fails, stalls, or answers with something else than sound.
        """

    async def close(self) -> None:
        """Let go of what is kept between sentences."""
