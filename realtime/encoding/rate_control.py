"""Bitrate control of a video encoder: the receiver's estimate counts only while the link shows strain.

A browser's estimate (REMB) starts at 300 kbit/s on any link, grows by 8 % a second, and never exceeds 1.5 times the
received bitrate, so a calm picture pulls it down. An encoder that followed it would blur the face in the first
seconds of every utterance. The estimate is therefore a limit only while the round trip has grown, which is the sign
of a full link. Packet loss lowers the target by itself. A round trip that has grown and does not react to a lower
bitrate is taken as a longer path, not as our queue.
"""

import math
from collections import deque

MIN_BITRATE = 40_000
"""Leaves room for the sound on a link of 150 kbit/s; fewer frames are encoded then."""
MAX_BITRATE = 2_500_000
START_BITRATE = 600_000
START_PIXELS = 512 * 512
"""Picture size for ``START_BITRATE``; other sizes start in proportion."""
LEAST_START = 150_000
HEADROOM = 1.6
"""Factor from the start bitrate to the ceiling. A higher ceiling gains half a decibel, and each further packet can be
lost and must then be waited for."""

LOSS_LIMIT = 0.1
"""Loss above which the link counts as full rather than noisy (draft-ietf-rmcat-gcc, section 6).

A window of n packets must exceed it by one standard deviation of the loss that n packets show by chance, since every
second window of a noisy link with just this loss is above it.
"""
LOSS_WINDOW_S = 1.0
LOSS_WINDOW_PACKETS = 20
"""Least number of packets in a loss window. Browsers report several times a second; one lost packet of ten would
otherwise count as 10 % loss."""
SEQUENCE_MODULUS = 1 << 16
QUEUE_LIMIT_S = 0.06
"""Excess over the shortest recent round trip that counts as a growing queue."""
QUEUE_FACTOR = 0.85
BACK_OFF_INTERVAL_S = 0.6
"""Least time between two steps down, so that the next report reflects the last step."""
STEADY_STEPS = 6
"""Number of steps down, to three eighths of the bitrate, after which a queue of our own must have changed."""
STEADY = 0.2
"""Relative change of the round trip's excess that counts as no change."""
GROWTH_PER_S = 1.15
RETRANSMIT_SHARE = 0.25
RETRANSMIT_BURST_S = 1.0
STRAIN_MEMORY_S = 3.0
LOSS_MEMORY = 0.2
"""Weight of a new loss window in the running mean."""
BASE_MEMORY_S = 30.0
"""Span in which the shortest round trip is looked for; a longer path is accepted as normal after it."""
MOST_ROUND_TRIPS = 256
"""Bound of the round trips kept, so that a client with very frequent reports costs no more than others."""


def start_bitrate(pixels: int) -> int:
    """Return the first bitrate for a picture of ``pixels`` pixels, bit/s."""
    return max(LEAST_START, _clamp(START_BITRATE * pixels // START_PIXELS))


class RateControl:
    """The target bitrate of one encoder.

    Attributes:
        target: Bitrate to encode at, bit/s; ``None`` until :meth:`start`.
        known: Bitrate of the session's last connection, bit/s, or ``None``; a start above it would fill the same
            narrow link again.
        usual: First bitrate for the picture's size, bit/s; ``None`` until :meth:`start`.
        loss: Running mean of the share of packets lost, 0..1.
    """

    def __init__(self) -> None:
        self.target: int | None = None
        self.known: int | None = None
        self.usual: int | None = None
        self.loss = 0.0
        self._round_trips: deque[tuple[float, float]] = deque(maxlen=MOST_ROUND_TRIPS)
        self._excesses: deque[float] = deque(maxlen=STEADY_STEPS)  # excess of the round trip at each step down
        self._ceiling = MAX_BITRATE
        self._window: tuple[float, int, int] | None = None
        self._queueing = False
        self._queued_s = float("-inf")
        self._strained_s = float("-inf")
        self._backed_off_s = float("-inf")
        self._grown_s: float | None = None

    def start(self, pixels: int) -> int:
        """Return the target; the first call sets it by the picture's size, at most to ``known``."""
        if self.target is None:
            usual = self.usual = start_bitrate(pixels)
            self.target = usual if self.known is None else min(usual, _clamp(self.known))
            self._ceiling = _clamp(int(HEADROOM * usual))
        return self.target

    def is_queueing(self, now_s: float) -> bool:
        """Return whether the round trip has shown a full link in the last ``STRAIN_MEMORY_S``."""
        return self._queueing or now_s - self._queued_s < STRAIN_MEMORY_S

    def raise_to(self, bitrate: int, now_s: float) -> None:
        """Raise the target to a bitrate that other links carry, bit/s.

        Nothing changes if this link was strained in the last ``STRAIN_MEMORY_S``.
        """
        if self.target is not None and now_s - self._strained_s >= STRAIN_MEMORY_S:
            self.target = max(self.target, _clamp(bitrate))

    def report(self, *, packets_lost: int, highest_sequence: int, round_trip_s: float | None, now_s: float) -> None:
        """Take a receiver report and lower the target if the link is full.

        Args:
            packets_lost: Cumulative number of packets lost (RFC 3550).
            highest_sequence: Highest sequence number received; only its lowest 16 bits count.
            round_trip_s: Round trip by this report; ``None`` if it cannot be computed.
            now_s: Monotonic time, s.
        """
        if self.target is None:
            return
        lost, limit = self._fraction_lost(packets_lost, highest_sequence, now_s)
        was_queueing = self._queueing
        excess_s = None if round_trip_s is None else self._excess_s(round_trip_s, now_s)
        if excess_s is not None:
            self._queueing = excess_s > QUEUE_LIMIT_S
        if lost > limit:
            self._excesses.clear()
            self._back_off(1 - lost / 2, now_s)
        elif was_queueing and self._queueing:  # a single long round trip may be a busy machine at either end
            if self._back_off(QUEUE_FACTOR, now_s) and excess_s is not None:
                self._note_step(excess_s)
            self._queued_s = now_s
        elif not self._queueing:
            self._excesses.clear()

    def estimate(self, bitrate: int, now_s: float) -> None:
        """Take the receiver's estimate of the link, bit/s."""
        if self.target is None:
            return
        if now_s - self._queued_s < STRAIN_MEMORY_S:
            self.target = _clamp(min(bitrate, self.target))
        elif bitrate > self.target and now_s - self._strained_s >= STRAIN_MEMORY_S:
            # The estimate leaps to 1.5 times the received bitrate: following it at once would fill the link again.
            elapsed_s = 1.0 if self._grown_s is None else min(1.0, now_s - self._grown_s)
            self.target = min(self._ceiling, bitrate, int(self.target * GROWTH_PER_S**elapsed_s))
            self._grown_s = now_s

    def _fraction_lost(self, packets_lost: int, highest_sequence: int, now_s: float) -> tuple[float, float]:
        """Return the fraction of packets lost in the last window and what it may be; 0 while a window is too short."""
        if self._window is None:
            self._window = now_s, packets_lost, highest_sequence
        begun_s, lost_before, sequence_before = self._window
        expected = (highest_sequence - sequence_before) % SEQUENCE_MODULUS
        if now_s - begun_s < LOSS_WINDOW_S or expected < LOSS_WINDOW_PACKETS:
            return 0.0, LOSS_LIMIT
        self._window = now_s, packets_lost, highest_sequence
        lost = min(1.0, max(0, packets_lost - lost_before) / expected)
        self.loss += LOSS_MEMORY * (lost - self.loss)
        return lost, LOSS_LIMIT + math.sqrt(LOSS_LIMIT * (1 - LOSS_LIMIT) / expected)

    def _excess_s(self, round_trip_s: float, now_s: float) -> float:
        """Return by how much a round trip exceeds the shortest one of the last 30 s."""
        self._round_trips.append((now_s, round_trip_s))
        while self._round_trips[0][0] < now_s - BASE_MEMORY_S:
            self._round_trips.popleft()
        return round_trip_s - min(trip for _, trip in self._round_trips)

    def _note_step(self, excess_s: float) -> None:
        """Record a step down for a long round trip; accept the round trip as normal if no step changed it."""
        first_s = self._excesses[0] if len(self._excesses) == STEADY_STEPS else None
        if first_s is not None and abs(excess_s - first_s) <= STEADY * first_s:
            last = self._round_trips[-1]
            self._round_trips.clear()
            self._round_trips.append(last)
            self._excesses.clear()
            self._queueing = False
        else:
            self._excesses.append(excess_s)

    def _back_off(self, factor: float, now_s: float) -> bool:
        """Lower the target; return False without a change if the last step was too recent."""
        assert self.target is not None
        self._strained_s = now_s
        if now_s - self._backed_off_s < BACK_OFF_INTERVAL_S:
            return False
        self.target = _clamp(int(self.target * factor))
        self._backed_off_s = now_s
        return True


class RetransmitBudget:
    """Limits retransmissions: a receiver asks until a packet arrives, and a full link loses the repeats too."""

    def __init__(self) -> None:
        self._bytes = 0.0
        self._counted_s: float | None = None

    def take(self, size_bytes: int, *, target_bitrate: int, now_s: float) -> bool:
        """Return whether a packet of ``size_bytes`` may be retransmitted now, and count it if so."""
        share = RETRANSMIT_SHARE * target_bitrate / 8
        earned = share if self._counted_s is None else share * (now_s - self._counted_s)
        self._bytes = min(share * RETRANSMIT_BURST_S, self._bytes + earned)
        self._counted_s = now_s
        if self._bytes < size_bytes:
            return False
        self._bytes -= size_bytes
        return True


def _clamp(bitrate: int) -> int:
    return max(MIN_BITRATE, min(bitrate, MAX_BITRATE))
