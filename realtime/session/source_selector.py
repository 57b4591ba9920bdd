"""Who is heard in a session: text goes before a program, a program before the microphone."""

from lipstream.realtime.audio import jitter_buffer, pcm_queue
from lipstream.realtime.audio.jitter_buffer import JitterBuffer
from lipstream.realtime.audio.pcm_queue import PcmQueue
from lipstream.realtime.timeline import SOUND_RATE_HZ
from lipstream.realtime.wire.session_answers import SourceStats

Source = JitterBuffer | PcmQueue


class SourceSelector:
    """Selects the source that the timeline reads.

    Args:
        listens: Whether the microphone is listened to instead of being spoken.

    Attributes:
        microphone: What a peer, or the machine's own microphone, says.
        source: What is read while no text is said: a program's queue; without a program the microphone, or a queue
            that stays empty where the microphone is listened to.
    """

    def __init__(self, *, listens: bool) -> None:
        self.microphone = JitterBuffer()
        self._at_rest: Source = PcmQueue(SOUND_RATE_HZ) if listens else self.microphone
        self.source = self._at_rest
        self._read_last = self._at_rest
        self._leaving: PcmQueue | None = None  # its program is gone, some of its sound still waits

    @property
    def program(self) -> PcmQueue | None:
        """The queue of the program that speaks, if one does."""
        return self.source if isinstance(self.source, PcmQueue) else None

    def take_program(self, rate_hz: int) -> PcmQueue:
        """Let a program speak instead of the microphone, or of the program before.

        Args:
            rate_hz: Sample rate of its sound, 8..48 kHz.

        Returns:
            The queue for its sound.

        Raises:
            ValueError: If the rate is outside the range.
        """
        self.source = source = PcmQueue(rate_hz)
        return source

    def drop_program(self, source: PcmQueue) -> None:
        """End a program's turn, once what it has sent has been read; nothing happens if another has taken over."""
        if self.source is source:
            self._leaving = source

    def select(self, text: PcmQueue | None) -> Source:
        """Return the source to read now. A microphone that is heard again begins with what it says from now on.

        Args:
            text: The queue of the text that is being said, if one is.
        """
        source = text or self.source
        if source is not self._read_last and source is self.microphone:
            self.microphone.clear()
        self._read_last = source
        return source

    def note_read(self, source: PcmQueue) -> None:
        """Learn that a block of a queue was read; the last one of a program that is gone ends its turn."""
        if source is self._leaving and not source.level:
            self.source, self._leaving = self._at_rest, None

    def cut(self, left: int) -> None:
        """Forget what waits, since the session was interrupted.

        Args:
            left: The place on the timeline that leaves now, 16 kHz.
        """
        if self.program:
            self.program.cut(left)
        self.source.clear()

    def heard_ms(self, left: int) -> float:
        """Return how much of the program's sound has been heard; 0 without one.

        Args:
            left: The place on the timeline that leaves now, 16 kHz.
        """
        return self.program.heard(left) * 1000 / SOUND_RATE_HZ if self.program else 0.0

    def stats(self) -> SourceStats:
        """Return what became of the source's sound."""
        counts = self.source.counts
        return SourceStats(
            filled=counts.filled,
            dropped=counts.dropped,
            underruns=counts.underruns,
            corrections=counts.corrections,
        )

    def queue_depths(self) -> dict[str, tuple[int, int]]:
        """Return how much sound waits, and how much may, in ms."""
        program = self.program.level if self.program else 0
        return {
            "microphone_ms": _in_ms(self.microphone.level, jitter_buffer.LIMIT_SOUND),
            "program_ms": _in_ms(program, pcm_queue.LIMIT_SOUND),
        }


def _in_ms(level: int, limit: int) -> tuple[int, int]:
    return level * 1000 // SOUND_RATE_HZ, limit * 1000 // SOUND_RATE_HZ
