"""Keeps the face's own voice out of a microphone that has no echo canceller, and lets in who is louder than its echo.

This is Geigel's double-talk detector (Duttweiler, 1978) with a learned threshold: while the face sounds, what is heard
counts as its echo, unless it is louder than echoes have been in this room.
"""

from collections import deque

import numpy as np
import numpy.typing as npt

from realtime.audio.silence import is_silent
from realtime.timeline import PACKET_SAMPLES, ms_to_samples

HOLD_SAMPLES = ms_to_samples(400)
"""From a packet's leaving until a room has forgotten it: the loudspeaker's queue, the card's, and the walls."""
_PACKETS = HOLD_SAMPLES // PACKET_SAMPLES + 1
LEARN_BLOCKS, KEPT_BLOCKS = 100, 1000
"""Of 10 ms: heard before anybody is let in, and remembered. Who turns the loudspeaker up is soon allowed for."""
_ECHO_SHARE = 95
"""Percent of the blocks that count as echo."""
_LOUDER = 2.0
"""Than nearly every echo: 6 dB."""


class EchoGate:
    """Compares what is heard with what was played. Both ends count on the session's timeline, 16 kHz."""

    def __init__(self) -> None:
        self._played: deque[tuple[int, float]] = deque(
            maxlen=_PACKETS
        )  # where a sounding packet ends, and how loud it is
        self._echoes: deque[float] = deque(maxlen=KEPT_BLOCKS)  # how loud what was heard is beside what was played

    def note_played(self, packet: npt.NDArray[np.int16], end: int) -> None:
        """Learn what leaves.

        Args:
            packet: ``int16[n]``.
            end: Where on the timeline it ends.
        """
        if not is_silent(packet):
            self._played.append((end, _loudness(packet.astype(np.float32) / np.float32(32768))))

    def clear(self) -> None:
        """Forget what was played, though not how the room echoes."""
        self._played.clear()

    def lets_in(self, block: npt.NDArray[np.float32], sample: int) -> bool:
        """Return whether what the microphone heard is somebody else than the face.

        Args:
            block: ``float32[480]``, 48 kHz.
            sample: Place on the timeline that leaves now.
        """
        while self._played and self._played[0][0] + HOLD_SAMPLES <= sample:
            self._played.popleft()
        if not self._played:
            return True
        share = _loudness(block) / max(loudness for _, loudness in self._played)
        is_known = len(self._echoes) >= LEARN_BLOCKS
        is_louder = is_known and share > _LOUDER * float(np.percentile(self._echoes, _ECHO_SHARE))
        self._echoes.append(share)
        return is_louder


def _loudness(sound: npt.NDArray[np.float32]) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(sound))))
