"""Holds back the beginning of a sentence until the rest can follow without gaps, for engines slower than real time."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from lipstream.realtime.synthesis.synthesizer import SpeechSynthesizer, SpokenPcm

logger = logging.getLogger(__name__)

_SECONDS_PER_CHARACTER = 0.07
"""Length of speech before any was heard: about 14 characters a second."""
_LEARNING = 0.3
"""Weight of the newest sentence in what is known of the engine."""
_SHORTEST_S = 0.3
"""Shorter sounds, and sounds that came at once, say nothing about the speed."""
_MARGIN, _MARGIN_S = 1.15, 0.1
"""What is held back beyond the estimate, as a factor and in seconds: engines are not even."""


class EngineSpeed:
    """Learns how fast an engine makes sound, and says how much of a sentence must be there before it is heard.

    Attributes:
        sound_per_s: Seconds of sound that the engine makes in a second.
    """

    def __init__(self) -> None:
        self.sound_per_s = float("inf")
        self._per_character_s = _SECONDS_PER_CHARACTER

    def needed_s(self, characters: int) -> float:
        """Return the seconds of sound to hold back of a sentence; 0 for an engine that is fast enough."""
        if self.sound_per_s >= 1.0:
            return 0.0
        return characters * self._per_character_s * (1.0 - self.sound_per_s) * _MARGIN + _MARGIN_S

    def note(self, characters: int, first_s: float, sound_s: float, took_s: float) -> None:
        """Take note of a sentence.

        Args:
            first_s: Length of the first piece of its sound, s.
            sound_s: Length of all of it, s.
                took_s: Time that was waited for the pieces after the first, s.
        """
        self._per_character_s += _LEARNING * (sound_s / max(characters, 1) - self._per_character_s)
        if sound_s < _SHORTEST_S:
            return
        speed = (sound_s - first_s) / took_s if took_s > 0.0 else float("inf")
        before, self.sound_per_s = self.sound_per_s, speed
        if before < 1.0 and speed < 1.0:
            self.sound_per_s = before + _LEARNING * (speed - before)
        if speed < 1.0 <= before:
            logger.warning(
                "the speech engine makes %.2f s of sound in a second: the beginning of its sentences is held back",
                speed,
            )


class ReadAhead:
    """A synthesizer that passes on a sentence once enough of it is there.

    Args:
        least_s: Sound held back of every sentence, s; 0 for none. More is held back of an engine that is known to be
            slower than real time.
    """

    def __init__(self, engine: SpeechSynthesizer, least_s: float) -> None:
        self._engine, self._least_s = engine, least_s
        self._speed = EngineSpeed()

    async def speak(self, text: str) -> AsyncGenerator[SpokenPcm]:
        """Yield the sound of a sentence; its first pieces come together.

        Raises:
            SynthesisError: If the engine fails.
        """
        loop = asyncio.get_running_loop()
        needed_s = max(self._least_s, self._speed.needed_s(len(text)))
        held: list[SpokenPcm] = []
        first_s = sound_s = waited_s = 0.0
        asked_s = loop.time()
        async with aclosing(self._engine.speak(text)) as pieces:
            async for piece in pieces:
                length_s = len(piece.pcm) / 2 / piece.rate_hz
                if sound_s:
                    waited_s += loop.time() - asked_s
                else:
                    first_s = length_s
                sound_s += length_s
                held.append(piece)
                if sound_s >= needed_s:
                    for one in held:
                        yield one
                    held.clear()
                asked_s = loop.time()
        for one in held:
            yield one
        self._speed.note(len(text), first_s, sound_s, waited_s)

    async def close(self) -> None:
        """Close the engine."""
        await self._engine.close()
