"""Keeps the face's own voice out of a microphone that has no echo canceller: who speaks does not listen meanwhile."""

import numpy as np
import numpy.typing as npt

from realtime.audio.silence import is_silent
from realtime.timeline import ms_to_samples

HOLD_SAMPLES = ms_to_samples(400)
"""From a packet's leaving until a room has forgotten it: the loudspeaker's queue, the card's, and the walls."""


class EchoGate:
    """Opens while the face is silent. Both ends count on the session's timeline, 16 kHz."""

    def __init__(self) -> None:
        self._shut_until = -1

    def note_played(self, packet: npt.NDArray[np.int16], end: int) -> None:
        """Learn what leaves.

        Args:
            packet: ``int16[n]``.
            end: Where on the timeline it ends.
        """
        if not is_silent(packet):
            self._shut_until = end + HOLD_SAMPLES

    def clear(self) -> None:
        """Forget what was played."""
        self._shut_until = -1

    def is_open(self, sample: int) -> bool:
        """Return whether the microphone may be heard at a place on the timeline that leaves now."""
        return sample >= self._shut_until
