"""The code between audio encoder and face decoder, where it is a mouth: how far the mouth goes, and how still it is.

Lipstream's own weights are fitted through such a code. Its first thirteen channels are the mouth's actions
(:data:`ACTIONS`), each in units of its spread in speech; the others are zero. Zero is the mouth at rest, and a mouth
between two others has the code between theirs. What happens here therefore happens to the lips, and needs no
look-ahead.

*Steadiness.* While a vowel is held, an audio encoder still gives another code for each frame, and the lips tremble. A
first order low-pass filter follows the code with a gain that depends on how far the lips would move: small where
nothing moves, 1 where something does. That is the thought of the One Euro filter (Casiez, Roussel, Vogel, CHI 2012).
There the cutoff grows linearly with the speed, which at 25 frames a second delays speech more than it calms vowels; a
third power does not. With m the movement in mm::

    gain = LEAST_GAIN + (1 - LEAST_GAIN) * min(1, m / FREE_MM) ** 3

*Articulation.* The code is multiplied by the articulation a, from rest, and less so the nearer the lips are to each
other: lips that must close (p, b, m) keep the code that was heard, so no articulation opens them, and none leaves them
open. With o the gap between the lips in mm, and s a smooth step from 0 to 1 between the two values of SCALED_MM::

    code' = (1 + (a - 1) * s(o)) * code

The module is pure.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.float32]

ACTIONS = (
    "jawOpen",
    "mouthClose",
    "mouthFunnel",
    "mouthPucker",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "tongueOut",
    "mouthPress",
    "mouthUpperUp",
    "mouthLowerDown",
    "mouthStretch",
    "mouthSmile",
)
"""ARKit's names of the actions, in the order of the code's channels."""
SPREAD = (0.10, 0.04, 0.09, 0.12, 0.07, 0.07, 0.07, 0.03, 0.09, 0.08, 0.12, 0.06, 0.06)
"""Strength of each action at which its channel is 1: approximately its standard deviation over speech."""

_OPENING_MM = np.array(
    (3.42, -1.368, 1.188, -0.144, -0.224, -0.196, -0.35, 0.0, -0.234, 0.384, 0.456, 0.024, -0.18), np.float32
)
"""Change of the gap between the lips by each channel, mm on the average head; the gap is linear in the actions."""
_MOTION_MM = np.array(
    (1.836, 0.565, 0.468, 0.893, 0.129, 0.35, 0.145, 0.0, 0.503, 0.27, 0.226, 0.264, 0.614), np.float32
)
"""Movement of the lips by each channel, mm, root mean square over the lips of the average head."""

SCALED_MM = (0.5, 2.5)
"""Gap between the lips, mm, up to which a code is kept, and from which it is scaled in full."""
CLOSED_MM = 1.5
"""Gap below which lips count as closed, mm: such a code passes the filter as it is."""
LEAST_GAIN, FREE_MM = 0.1, 0.8
"""Gain of the filter where nothing moves, and the movement in a frame from which it follows at once, mm."""
MOST_SKIPPED = 3
"""Largest step between two frames of which the later one still follows the earlier one."""
MOST_STREAMS = 1024
"""Number of streams whose last mouth is kept; the one that drew least recently is forgotten."""


def opening_mm(codes: Codes) -> Codes:
    """Return the gap between the lips for codes ``[..., C]``, ``float32[...]`` in mm; below 0 for pressed lips."""
    gap: Codes = codes[..., : len(ACTIONS)] @ _OPENING_MM[: codes.shape[-1]]
    return gap


def articulate(codes: Codes, amounts: npt.NDArray[np.float32]) -> Codes:
    """Return codes whose mouths go further, or less far, from rest.

    Args:
        codes: ``float32[B, C]``.
        amounts: ``float32[B]``, within the limits of `articulation.py`; 1 leaves a code as it is, bit by bit.
    """
    closed, free = SCALED_MM
    t = np.clip((opening_mm(codes) - closed) / (free - closed), 0, 1)
    factors = 1 + (amounts - 1) * (t * t * (3 - 2 * t))
    scaled: Codes = (codes * factors[:, None]).astype(np.float32)
    return scaled


def steady(code: Codes, before: Codes, frames: int) -> Codes:
    """Return a code, ``float32[C]``, calmed by the one before.

    Args:
        before: Calmed code of the frame before, ``float32[C]``.
        frames: How many frames before, 1 or more.
    """
    if opening_mm(code) < CLOSED_MM:
        return code
    moved_mm = float(np.linalg.norm((code - before)[: len(ACTIONS)] * _MOTION_MM[: len(code)]))
    gain = LEAST_GAIN + (1 - LEAST_GAIN) * min(1.0, moved_mm / FREE_MM) ** 3
    if gain >= 1:
        return code
    calmed: Codes = before + np.float32(1 - (1 - gain) ** frames) * (code - before)
    return calmed


class SpokenFrame(NamedTuple):
    """Whose mouth a code is, and how it is shaped.

    Attributes:
        stream: Names a sequence of frames, as of a session.
        frame: Position in the sequence, frames.
        continues: Whether the mouth continues the one of the frames before: false after rest or an interruption.
        articulation: See :func:`articulate`.
    """

    stream: int
    frame: int
    continues: bool
    articulation: float


@dataclass(frozen=True, slots=True, eq=False)
class _Last:
    frame: int
    code: Codes


class MouthShaper:
    """Steadies and articulates the mouths of several streams, and keeps the last mouth of each.

    A frame that does not follow the last one of its stream, as after a pause, a repetition or a restart, begins anew:
    its code is taken as it was heard.
    """

    def __init__(self) -> None:
        self._last: OrderedDict[int, _Last] = OrderedDict()

    def shape(self, codes: Codes, frames: Sequence[SpokenFrame]) -> tuple[Codes, Mapping[int, _Last]]:
        """Shape the codes of a batch.

        Args:
            codes: ``float32[B, C]``, as heard.
            frames: One for each code; those of a stream in order.

        Returns:
            ``float32[B, C]``, and the last mouths for :meth:`keep`.
        """
        last: dict[int, _Last] = {}
        calmed = codes.copy()
        for at, (stream, frame, continues, _) in enumerate(frames):
            before = last.get(stream) or self._last.get(stream)
            if continues and before and 1 <= frame - before.frame <= MOST_SKIPPED:
                calmed[at] = steady(codes[at], before.code, frame - before.frame)
            last[stream] = _Last(frame, calmed[at])
        return articulate(calmed, np.array([spoken.articulation for spoken in frames], np.float32)), last

    def keep(self, last: Mapping[int, _Last]) -> None:
        """Keep the last mouths of a batch that was drawn; a batch that failed may come again, whole or in parts."""
        for stream, mouth in last.items():
            self._last[stream] = mouth
            self._last.move_to_end(stream)
        while len(self._last) > MOST_STREAMS:
            self._last.popitem(last=False)
