"""How much a video encoder may send: the receiver's estimate, held while the link shows no strain.

A browser's estimate (REMB) starts at 300 kbit/s whatever the link, grows by 8 % a second, and never says more than
1.5 times what arrives, so that a calm picture pulls it down. Following it means a blurred face in the first seconds
of every utterance. So it counts as a limit only while packets are lost or the round trip grows: signs of a full link.
"""

from collections import deque

MIN_BITRATE = 150_000
MAX_BITRATE = 2_500_000
START_BITRATE = 1_000_000
START_PIXELS = 512 * 512
"""The picture that ``START_BITRATE`` fits; others start in proportion."""

LOSS_LIMIT = 0.05
QUEUE_LIMIT_S = 0.06
"""Round trip above its least: a queue this long is being filled by somebody."""
STRAIN_MEMORY_S = 3.0
BASE_MEMORY_S = 30.0
"""Over which the least round trip is looked for; a link that has become longer is believed after that."""


def start_bitrate(pixels: int) -> int:
    """Return the bitrate to begin with for a picture of that many pixels, bit/s."""
    return _clamp(START_BITRATE * pixels // START_PIXELS)


class SendRate:
    """The target of one encoder.

    Attributes:
        target: Bitrate to encode at, bit/s; ``None`` until the size of the picture is known.
    """

    def __init__(self) -> None:
        self.target: int | None = None
        self._round_trips: deque[tuple[float, float]] = deque()
        self._queueing = False
        self._strained_s = float("-inf")

    def start(self, pixels: int) -> int:
        """Return the target, which begins with what fits the picture's size."""
        if self.target is None:
            self.target = start_bitrate(pixels)
        return self.target

    def report(self, *, lost: float, round_trip_s: float | None, now_s: float) -> None:
        """Take a receiver report.

        Args:
            lost: Fraction of the packets since the last report, 0..1.
            round_trip_s: Its round trip, if it can be told.
            now_s: Monotonic time.
        """
        if lost > LOSS_LIMIT:
            self._strained_s = now_s
        if round_trip_s is None:
            return
        self._round_trips.append((now_s, round_trip_s))
        while self._round_trips[0][0] < now_s - BASE_MEMORY_S:
            self._round_trips.popleft()
        was_queueing = self._queueing
        self._queueing = round_trip_s > min(trip for _, trip in self._round_trips) + QUEUE_LIMIT_S
        if was_queueing and self._queueing:  # once alone is a machine that was busy, here or there
            self._strained_s = now_s

    def estimate(self, bitrate: int, now_s: float) -> None:
        """Take the receiver's estimate of the link, bit/s."""
        if self.target is None:
            return
        strained = now_s - self._strained_s < STRAIN_MEMORY_S
        if (bitrate < self.target) if strained else (bitrate > self.target):
            self.target = _clamp(bitrate)


def _clamp(bitrate: int) -> int:
    return max(MIN_BITRATE, min(bitrate, MAX_BITRATE))
