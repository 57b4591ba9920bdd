"""Puts incoming packets in order: no delay while they arrive in order, a short wait after one came out of order.

A buffer with a constant length would delay all speech by that length. Speech can do without: a packet that is late or
lost shows as a jump in position, and the session fills it with silence. Waiting to find out whether a packet is lost
would delay all packets behind it, again and again on a link that loses packets.
"""

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")

SEQUENCE_MODULUS = 1 << 16
MAX_HELD = 2
"""Packets held behind a missing one before it is given up: 20 ms of delay at 20 ms a packet."""
WARY_PACKETS = 500
"""Number of packets, ten seconds, for which missing ones are waited for after one arrived out of order."""
MAX_GIVEN_UP = 64
"""Remembered numbers given up: a late packet with such a number was reordered, any other is a duplicate."""
MAX_JUMP = 1000
"""A larger jump in sequence numbers means that the sender has restarted."""


class ReorderBuffer(Generic[T]):
    """Returns packets in the order of their sequence numbers.

    Attributes:
        late: Number of packets that were duplicates or arrived after they had been given up.
    """

    def __init__(self) -> None:
        self.late = 0
        self._next: int | None = None
        self._held: dict[int, T] = {}
        self._given_up: deque[int] = deque(maxlen=MAX_GIVEN_UP)
        self._wary = 0  # number of packets for which missing ones are still waited for

    def push(self, sequence: int, packet: T) -> list[T]:
        """Take in a packet and return the packets that are now in order.

        Args:
            sequence: RTP sequence number, 0..65535.

        Returns:
            The packets that are ready, oldest first; may be empty.
        """
        if self._next is None:
            self._next = sequence
        ahead = _distance(self._next, sequence)
        if abs(ahead) > MAX_JUMP:
            ready = self._release_all()
            self._next = (sequence + 1) % SEQUENCE_MODULUS
            return [*ready, packet]
        if ahead < 0 or sequence in self._held:
            self.late += 1
            if sequence in self._given_up:
                self._wary = WARY_PACKETS
            return []
        self._held[sequence] = packet
        ready = self._release_run()
        if len(self._held) >= (MAX_HELD if self._wary else 1):
            self._give_up()
            ready += self._release_run()
        self._wary = max(0, self._wary - 1)
        return ready

    def _give_up(self) -> None:
        """Skip the missing packets before the first one held."""
        assert self._next is not None
        missing = min(_distance(self._next, held) for held in self._held)
        self._given_up.extend((self._next + place) % SEQUENCE_MODULUS for place in range(min(missing, MAX_GIVEN_UP)))
        self._next = (self._next + missing) % SEQUENCE_MODULUS

    def _release_run(self) -> list[T]:
        """Remove and return the consecutive packets from the expected one on."""
        ready = []
        while self._next in self._held:
            ready.append(self._held.pop(self._next))
            self._next = (self._next + 1) % SEQUENCE_MODULUS
        return ready

    def _release_all(self) -> list[T]:
        """Remove and return all packets, in order."""
        held = sorted(self._held, key=lambda sequence: _distance(self._next or 0, sequence))
        return [self._held.pop(sequence) for sequence in held]


def _distance(start: int, end: int) -> int:
    """Return how far ``end`` lies after ``start`` on the circle of sequence numbers; negative before it."""
    half = SEQUENCE_MODULUS // 2
    return (end - start + half) % SEQUENCE_MODULUS - half
