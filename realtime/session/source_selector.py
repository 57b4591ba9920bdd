"""Selects the source of a session's speech: text goes before a program, a program before the microphone."""

from lipstream.realtime.audio import jitter_buffer, pcm_queue
from lipstream.realtime.audio.jitter_buffer import JitterBuffer
from lipstream.realtime.audio.pcm_queue import PcmQueue
from lipstream.realtime.timeline import SOUND_RATE_HZ
from lipstream.realtime.wire.session_answers import SourceStats

Source = JitterBuffer | PcmQueue


class SourceSelector:
    """Selects the source that the timeline reads.

    Attributes:
        source: Read while no text is said. This is the queue of a program; without a program it is the microphone, or
            an empty queue if the session listens.
    """

    def __init__(self, *, listens: bool) -> None:
        self.microphone = JitterBuffer()
        self._at_rest: Source = PcmQueue(SOUND_RATE_HZ) if listens else self.microphone
        self.source = self._at_rest
        self._read_last = self._at_rest
        self._leaving: PcmQueue | None = None  # queue of a program that is gone; it still holds sound

    @property
    def program(self) -> PcmQueue | None:
        """The queue of the program that speaks; ``None`` without one."""
        return self.source if isinstance(self.source, PcmQueue) else None

    @property
    def is_leaving(self) -> bool:
        """Whether a program is gone whose sound has not all been read."""
        return self._leaving is not None

    def take_program(self, rate_hz: int) -> PcmQueue:
        """Let a program speak instead of the microphone or of the previous program.

        Args:
            rate_hz: Sample rate of the program's sound, 8000..48000 Hz.

        Returns:
            A new queue for that sound.

        Raises:
            ValueError: If the rate is outside the range.
        """
        self.source = source = PcmQueue(rate_hz)
        return source

    def drop_program(self, source: PcmQueue) -> None:
        """End a program's turn once its sound has been read; do nothing if another program has taken over."""
        if self.source is source:
            self._leaving = source

    def select(self, text: PcmQueue | None) -> Source:
        """Return the source to read now. A microphone that is selected again loses its buffered sound.

        Args:
            text: The queue of the text that is being said; ``None`` without one.
        """
        source = text or self.source
        if source is not self._read_last and source is self.microphone:
            self.microphone.clear()
        self._read_last = source
        return source

    def note_read(self, source: PcmQueue) -> None:
        """Record that a block of a queue was read; the last block of a program that is gone ends its turn."""
        if source is self._leaving and not source.level:
            self.source, self._leaving = self._at_rest, None

    def cut(self, left: int) -> None:
        """Discard the waiting sound after an interruption.

        Args:
            left: Position on the timeline that leaves now, 16 kHz samples.
        """
        if self.program:
            self.program.cut(left)
        self.source.clear()

    def heard_ms(self, left: int) -> float:
        """Return how much of the program's sound has been heard, ms; 0 without a program.

        Args:
            left: Position on the timeline that leaves now, 16 kHz samples.
        """
        return self.program.heard(left) * 1000 / SOUND_RATE_HZ if self.program else 0.0

    def stats(self) -> SourceStats:
        """Return the counts of the current source: filled and dropped samples (48 kHz), underruns, corrections."""
        counts = self.source.counts
        return SourceStats(
            filled=counts.filled,
            dropped=counts.dropped,
            underruns=counts.underruns,
            corrections=counts.corrections,
        )

    def queue_depths(self) -> dict[str, tuple[int, int]]:
        """Return the waiting sound and its limit for each queue, ms."""
        program = self.program.level if self.program else 0
        return {
            "microphone_ms": _in_ms(self.microphone.level, jitter_buffer.LIMIT_SOUND),
            "program_ms": _in_ms(program, pcm_queue.LIMIT_SOUND),
        }


def _in_ms(level: int, limit: int) -> tuple[int, int]:
    return level * 1000 // SOUND_RATE_HZ, limit * 1000 // SOUND_RATE_HZ
