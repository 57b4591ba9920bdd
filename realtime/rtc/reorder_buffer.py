"""The order of incoming packets: no delay while the network keeps it, a short wait once it has not.

A buffer that always holds packets adds its length to every word spoken. Sound needs none: what comes late or never
shows as a jump in position, and the session fills it with silence. Nor is it worth a wait to learn whether a packet is
lost: those after it would come late too, and a link that loses packets loses them again and again.
"""

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")

SEQUENCE_MODULUS = 1 << 16
MAX_HELD = 2
"""The packet after a missing one waits for that many to have come: 20 ms longer at the usual 20 ms a packet."""
WARY_PACKETS = 500
"""For how long packets wait for missing ones after one has overtaken another: ten seconds."""
MAX_GIVEN_UP = 64
"""Places that are remembered: a packet for one of them was overtaken, any other came twice."""
MAX_JUMP = 1000
"""A sequence number further away than this belongs to a sender that started again."""


class ReorderBuffer(Generic[T]):
    """Puts packets into the order of their sequence numbers.

    Attributes:
        late: Packets that came after their place had been given up, or twice.
    """

    def __init__(self) -> None:
        self.late = 0
        self._next: int | None = None
        self._held: dict[int, T] = {}
        self._given_up: deque[int] = deque(maxlen=MAX_GIVEN_UP)
        self._wary = 0  # packets for which this goes on

    def push(self, sequence: int, packet: T) -> list[T]:
        """Take a packet and return those that are now in order.

        Args:
            sequence: RTP sequence number, 0..65535.
            packet: What to return in its turn.

        Returns:
            The packets to be used now, oldest first; perhaps none.
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
        """Go on with the next packet that is there."""
        assert self._next is not None
        missing = min(_distance(self._next, held) for held in self._held)
        self._given_up.extend((self._next + place) % SEQUENCE_MODULUS for place in range(min(missing, MAX_GIVEN_UP)))
        self._next = (self._next + missing) % SEQUENCE_MODULUS

    def _release_run(self) -> list[T]:
        """Take out the packets that follow each other from the expected one on."""
        ready = []
        while self._next in self._held:
            ready.append(self._held.pop(self._next))
            self._next = (self._next + 1) % SEQUENCE_MODULUS
        return ready

    def _release_all(self) -> list[T]:
        """Take out everything held, in order."""
        held = sorted(self._held, key=lambda sequence: _distance(self._next or 0, sequence))
        return [self._held.pop(sequence) for sequence in held]


def _distance(start: int, end: int) -> int:
    """Return how far ``end`` lies after ``start`` on the circle of sequence numbers; negative before it."""
    half = SEQUENCE_MODULUS // 2
    return (end - start + half) % SEQUENCE_MODULUS - half
