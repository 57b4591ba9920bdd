"""How much a video encoder may send: the receiver's estimate, held while it says nothing about the link.

The receiver estimates what it receives. While the picture is calm that is little, and the estimate sinks to a
multiple of it although the link has room; following it down leaves a blurred face for the first seconds of speech.
So an estimate counts as a limit only while more than that is being sent, or while packets are lost.
"""

from collections import deque

MIN_BITRATE = 150_000
MAX_BITRATE = 2_500_000
START_BITRATE = 1_000_000
START_PIXELS = 512 * 512
"""The picture that ``START_BITRATE`` fits; others start in proportion."""

WINDOW_S = 2.0
"""Over which the sent rate is measured."""
OVERUSE = 0.9
"""A receiver whose link is full reports 0.85 of what arrives (draft-ietf-rmcat-gcc, section 5.5)."""
LOSS_LIMIT = 0.05
LOSS_MEMORY_S = 3.0


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
        self._sent: deque[tuple[float, int]] = deque()
        self._lost_s: float | None = None

    def start(self, pixels: int) -> int:
        """Return the target, which begins with what fits the picture's size."""
        if self.target is None:
            self.target = start_bitrate(pixels)
        return self.target

    def sent(self, size_bytes: int, now_s: float) -> None:
        """Note an encoded picture. Leave key frames out: one would pass for a full link."""
        self._sent.append((now_s, size_bytes))
        while self._sent[0][0] < now_s - WINDOW_S:
            self._sent.popleft()

    def loss(self, fraction: float, now_s: float) -> None:
        """Note the fraction of packets, 0..1, that a receiver report calls lost."""
        if fraction > LOSS_LIMIT:
            self._lost_s = now_s

    def estimate(self, bitrate: int, now_s: float) -> None:
        """Take the receiver's estimate of the link, bit/s."""
        if self.target is not None and (bitrate >= self.target or self._link_is_full(bitrate, now_s)):
            self.target = _clamp(bitrate)

    def _link_is_full(self, bitrate: int, now_s: float) -> bool:
        lossy = self._lost_s is not None and now_s - self._lost_s < LOSS_MEMORY_S
        recent = sum(size for at_s, size in self._sent if at_s >= now_s - WINDOW_S)
        return lossy or bitrate < OVERUSE * recent * 8 / WINDOW_S


def _clamp(bitrate: int) -> int:
    return max(MIN_BITRATE, min(bitrate, MAX_BITRATE))
