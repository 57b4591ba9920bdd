"""Keeps the face's own voice out of an open microphone, and lets in who is louder than its echo.

This is Geigel's double-talk detector (Duttweiler, 1978) with a learned threshold: while the face sounds, what is heard
counts as its echo, unless it is louder than echoes have been. A browser's echo canceller, where there is one, comes
before it; it needs seconds to get to know a room, and what it leaves is learned here as any other echo.
"""

from collections import deque

import numpy as np
import numpy.typing as npt

from lipstream.realtime.audio.silence import QUIET
from lipstream.realtime.timeline import BLOCK_SAMPLES, ms_to_samples

HOLD_SAMPLES = ms_to_samples(400)
"""From leaving until a room has forgotten it: the way to the loudspeaker, its queues, the walls, and the way back."""
LEARN_BLOCKS, KEPT_BLOCKS = 50, 1000
"""Of 10 ms: heard before the room is known, and remembered. Who turns the loudspeaker up is soon allowed for."""
_UNKNOWN, _LEAST = 1.0, 0.12
"""Loudness of echoes beside what was said, in a room that is not known yet, and the least that is reckoned with: a
canceller that has just taken them all away lets some through again until it knows the room."""
_ECHO_SHARE = 80
"""Percent of the blocks that say how loud echoes are: a visitor's first words are among the others."""
_LOUDER = 3.0
"""Than that: 10 dB, which is more than echoes rise above it."""

Sound = npt.NDArray[np.float32]


class EchoGate:
    """Compares what is heard with what was said. Both ends count on the session's timeline, 16 kHz.

    Args:
        delay_samples: From entering the timeline until leaving.
    """

    def __init__(self, delay_samples: int) -> None:
        self._hold = delay_samples + HOLD_SAMPLES
        # Where a sounding block ends, and how loud it is.
        self._said: deque[tuple[int, float]] = deque(maxlen=self._hold // BLOCK_SAMPLES + 1)
        self._echoes: deque[float] = deque(maxlen=KEPT_BLOCKS)  # how loud what was heard is beside what was said

    def note_said(self, block: Sound, end: int) -> None:
        """Learn what enters the timeline.

        Args:
            block: ``float32[480]``, 48 kHz.
            end: Where on the timeline it ends.
        """
        if np.abs(block).max() > QUIET:
            self._said.append((end, _loudness(block)))

    def clear(self) -> None:
        """Forget what was said, though not how the room echoes."""
        self._said.clear()

    def lets_in(self, block: Sound, end: int) -> bool:
        """Return whether what the microphone heard is somebody else than the face.

        Args:
            block: ``float32[480]``, 48 kHz.
            end: Where on the timeline it ends.
        """
        while self._said and self._said[0][0] + self._hold <= end:
            self._said.popleft()
        if not self._said:
            return True
        share = _loudness(block) / max(loudness for _, loudness in self._said)
        is_known = len(self._echoes) >= LEARN_BLOCKS
        usual = max(_LEAST, float(np.percentile(self._echoes, _ECHO_SHARE))) if is_known else _UNKNOWN
        self._echoes.append(share)
        return share > _LOUDER * usual


def _loudness(sound: Sound) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(sound))))
