"""How much a video encoder may send: the receiver's estimate, held while the link shows no strain.

A browser's estimate (REMB) starts at 300 kbit/s whatever the link, grows by 8 % a second, and never says more than
1.5 times what arrives, so that a calm picture pulls it down. Following it means a blurred face in the first seconds
of every utterance. So it counts as a limit only while the round trip has grown, the sign of a full link; packets
lost bring the target down by themselves. A round trip that has grown and stays the same however little is sent is not
ours to shorten: the link has become longer.
"""

from collections import deque

MIN_BITRATE = 40_000
"""Room for the sound of a link that carries 150 kbit/s; the picture shows fewer frames then."""
MAX_BITRATE = 2_500_000
START_BITRATE = 600_000
START_PIXELS = 512 * 512
"""The picture that ``START_BITRATE`` fits; others start in proportion."""
LEAST_START = 150_000
HEADROOM = 1.6
"""Over the start. More gains half a decibel, and every packet more is one more to be lost and waited for."""

LOSS_LIMIT = 0.1
"""Packets lost beyond which a full link, not a bad one, is to blame (draft-ietf-rmcat-gcc, section 6)."""
LOSS_WINDOW_S = 1.0
LOSS_WINDOW_PACKETS = 20
"""Least to judge by. Browsers report several times a second: one packet of ten would pass for a tenth of all."""
SEQUENCE_MODULUS = 1 << 16
QUEUE_LIMIT_S = 0.06
"""Round trip above its least: a queue this long is being filled by somebody."""
QUEUE_FACTOR = 0.85
BACK_OFF_INTERVAL_S = 0.6
"""Between two steps down: the next report must be able to know of the last."""
STEADY_STEPS = 6
"""Steps down, to three eighths of the bitrate, that a queue of ours cannot go through without a change."""
STEADY = 0.2
"""Of a round trip's excess: what counts as no change."""
GROWTH_PER_S = 1.15
RETRANSMIT_SHARE = 0.25
RETRANSMIT_BURST_S = 1.0
STRAIN_MEMORY_S = 3.0
BASE_MEMORY_S = 30.0
"""Over which the least round trip is looked for; a link that has become longer is believed after that."""
MOST_ROUND_TRIPS = 256
"""That are looked through at each report; a client that reports more often than others do is not worth more."""


def start_bitrate(pixels: int) -> int:
    """Return the bitrate to begin with for a picture of that many pixels, bit/s."""
    return max(LEAST_START, _clamp(START_BITRATE * pixels // START_PIXELS))


class RateControl:
    """The target of one encoder.

    Attributes:
        target: Bitrate to encode at, bit/s; ``None`` until the size of the picture is known.
        known: What the connection before this one carried, bit/s, if there was one: a start beyond it would fill the
            same narrow link once more.
    """

    def __init__(self) -> None:
        self.target: int | None = None
        self.known: int | None = None
        self._round_trips: deque[tuple[float, float]] = deque(maxlen=MOST_ROUND_TRIPS)
        self._excesses: deque[float] = deque(maxlen=STEADY_STEPS)  # of the round trip, at each step down
        self._ceiling = MAX_BITRATE
        self._window: tuple[float, int, int] | None = None
        self._queueing = False
        self._queued_s = float("-inf")
        self._strained_s = float("-inf")
        self._backed_off_s = float("-inf")
        self._grown_s: float | None = None

    def start(self, pixels: int) -> int:
        """Return the target, which begins with what fits the picture's size, and the link as far as it is known."""
        if self.target is None:
            usual = start_bitrate(pixels)
            self.target = usual if self.known is None else min(usual, _clamp(self.known))
            self._ceiling = _clamp(int(HEADROOM * usual))
        return self.target

    def raise_to(self, bitrate: int, now_s: float) -> None:
        """Begin from a bitrate that other links carry, bit/s, unless this one has shown strain of late."""
        if self.target is not None and now_s - self._strained_s >= STRAIN_MEMORY_S:
            self.target = max(self.target, _clamp(bitrate))

    def report(self, *, packets_lost: int, highest_sequence: int, round_trip_s: float | None, now_s: float) -> None:
        """Take a receiver report, and back off if the link is full.

        Args:
            packets_lost: Since the beginning.
            highest_sequence: Sequence number received, of which the lowest 16 bits count.
            round_trip_s: Its round trip, if it can be told.
            now_s: Monotonic time.
        """
        if self.target is None:
            return
        lost = self._fraction_lost(packets_lost, highest_sequence, now_s)
        was_queueing = self._queueing
        excess_s = None if round_trip_s is None else self._excess_s(round_trip_s, now_s)
        if excess_s is not None:
            self._queueing = excess_s > QUEUE_LIMIT_S
        if lost > LOSS_LIMIT:
            self._excesses.clear()
            self._back_off(1 - lost / 2, now_s)
        elif was_queueing and self._queueing:  # once alone is a machine that was busy, here or there
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
            # The estimate leaps to 1.5 times what arrives: going there at once would fill the link again.
            elapsed_s = 1.0 if self._grown_s is None else min(1.0, now_s - self._grown_s)
            self.target = min(self._ceiling, bitrate, int(self.target * GROWTH_PER_S**elapsed_s))
            self._grown_s = now_s

    def _fraction_lost(self, packets_lost: int, highest_sequence: int, now_s: float) -> float:
        """Return the fraction lost since the last window; 0 until there is enough to judge by."""
        if self._window is None:
            self._window = now_s, packets_lost, highest_sequence
        begun_s, lost_before, sequence_before = self._window
        expected = (highest_sequence - sequence_before) % SEQUENCE_MODULUS
        if now_s - begun_s < LOSS_WINDOW_S or expected < LOSS_WINDOW_PACKETS:
            return 0.0
        self._window = now_s, packets_lost, highest_sequence
        return min(1.0, max(0, packets_lost - lost_before) / expected)

    def _excess_s(self, round_trip_s: float, now_s: float) -> float:
        """Return how much longer a round trip is than the shortest of late."""
        self._round_trips.append((now_s, round_trip_s))
        while self._round_trips[0][0] < now_s - BASE_MEMORY_S:
            self._round_trips.popleft()
        return round_trip_s - min(trip for _, trip in self._round_trips)

    def _note_step(self, excess_s: float) -> None:
        """Take note of a step down for the round trip's sake; give them up where they change nothing."""
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
        """Step down, and tell whether it was time to."""
        assert self.target is not None
        self._strained_s = now_s
        if now_s - self._backed_off_s < BACK_OFF_INTERVAL_S:
            return False
        self.target = _clamp(int(self.target * factor))
        self._backed_off_s = now_s
        return True


class RetransmitBudget:
    """How much may be sent again: a receiver asks until a packet comes, and a full link loses that one too."""

    def __init__(self) -> None:
        self._bytes = 0.0
        self._counted_s: float | None = None

    def take(self, size_bytes: int, *, target_bitrate: int, now_s: float) -> bool:
        """Tell whether a packet of that size may be sent again now, and count it if so."""
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
