"""Keeps the face's own voice out of an open microphone, and admits a speaker who is louder than its echo.

This is Geigel's double-talk detector (Duttweiler, 1978) with a learned threshold. While the face speaks, the
microphone's sound counts as echo unless it is louder than earlier echoes. A browser's echo canceller may run before it;
the canceller needs seconds to adapt to a room, and the echo that it leaves is learned here like any other.
"""

from collections import deque

import numpy as np
import numpy.typing as npt

from lipstream.realtime.audio.silence import QUIET
from lipstream.realtime.timeline import BLOCK_SAMPLES, ms_to_samples

HOLD_SAMPLES = ms_to_samples(400)
"""Time after which sound that has left is no longer heard: loudspeaker queue, path, reverberation, and the way back."""
LEARN_BLOCKS, KEPT_BLOCKS = 50, 1000
"""Blocks of 10 ms needed before the room counts as known, and remembered; a louder loudspeaker is learned soon."""
_UNKNOWN, _LEAST = 1.0, 0.12
"""Echo level relative to the speech sent: assumed for an unknown room, and the least assumed at all. An echo canceller
that removes everything lets some echo through again whenever it readapts."""
_ECHO_SHARE = 80
"""Percentile of the remembered levels that counts as the echo's; the rest may hold a visitor's first words."""
_LOUDER = 3.0
"""Factor above the echo's level that counts as a speaker: 10 dB, more than echoes vary."""

Sound = npt.NDArray[np.float32]


class EchoGate:
    """Compares the microphone's sound with the speech sent, both at positions on the session's timeline (16 kHz).

    Args:
        delay_samples: Delay from entering the timeline to leaving it, 16 kHz samples.
    """

    def __init__(self, delay_samples: int) -> None:
        self._hold = delay_samples + HOLD_SAMPLES
        # End of each block that is not silent, and its loudness.
        self._said: deque[tuple[int, float]] = deque(maxlen=self._hold // BLOCK_SAMPLES + 1)
        self._echoes: deque[float] = deque(maxlen=KEPT_BLOCKS)  # microphone's loudness over that of the speech sent

    def note_said(self, block: Sound, end: int) -> None:
        """Take note of a block of speech that enters the timeline.

        Args:
            block: ``float32[480]``, 48 kHz.
            end: Position of its end on the timeline, 16 kHz samples.
        """
        if np.abs(block).max() > QUIET:
            self._said.append((end, _loudness(block)))

    def clear(self) -> None:
        """Forget the speech sent; keep the learned echo level."""
        self._said.clear()

    def lets_in(self, block: Sound, end: int) -> bool:
        """Return whether a block from the microphone holds more than the face's echo.

        Args:
            block: ``float32[480]``, 48 kHz.
            end: Position of its end on the timeline, 16 kHz samples.
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
    """Return the root mean square of a block."""
    return float(np.sqrt(np.mean(np.square(sound))))
