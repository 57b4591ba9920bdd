"""Faults of one direction of a link: delay, jitter, loss, bursts, a rate with a queue, outage. Pure."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Conditions:
    """The faults of one direction.

    Attributes:
        delay_s: Delay of every packet, s.
        jitter_s: Standard deviation of a further delay, whose sign is dropped, s; packets keep their order.
        loss: Share of packets lost independently, 0..1.
        burst: Gilbert-Elliott model: chance per packet to enter the bad state, chance to leave it, loss in it.
        rate_bps: Rate of the link, bit/s; ``None`` for no limit.
        queue_s: Longest wait of a packet for that rate; later packets are dropped.
        cut: Whether all packets are dropped.
        no_udp: Whether a firewall drops UDP.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    burst: tuple[float, float, float] | None = None
    rate_bps: float | None = None
    queue_s: float = 0.3
    cut: bool = False
    no_udp: bool = False


class Direction:
    """One direction of a link. The caller passes the time in.

    Attributes:
        conditions: Current faults; may be replaced at any time.
        passed: Number of delivered packets.
        dropped: Number of dropped packets.
    """

    def __init__(self, seed: int) -> None:
        self.conditions = Conditions()
        self.passed = self.dropped = 0
        self._chance = random.Random(seed)
        self._in_burst = False
        self._free_s = float("-inf")
        self._last_s = float("-inf")

    def due_s(self, size_bytes: int, now_s: float) -> float | None:
        """Return when a packet comes out at the other end; ``None`` if it never does."""
        due_s = self._due_s(size_bytes, now_s)
        if due_s is None:
            self.dropped += 1
        else:
            self.passed += 1
        return due_s

    def _due_s(self, size_bytes: int, now_s: float) -> float | None:
        wanted, due_s = self.conditions, now_s
        if wanted.cut or self._is_lost(wanted):
            return None
        if wanted.rate_bps is not None:
            begins_s = max(now_s, self._free_s)
            if begins_s - now_s > wanted.queue_s:
                return None
            due_s = self._free_s = begins_s + 8 * size_bytes / wanted.rate_bps
        due_s += wanted.delay_s + abs(self._chance.gauss(0, wanted.jitter_s))
        self._last_s = max(due_s, self._last_s)
        return self._last_s

    def _is_lost(self, wanted: Conditions) -> bool:
        if wanted.burst:
            enter, leave, loss = wanted.burst
            self._in_burst = self._chance.random() >= leave if self._in_burst else self._chance.random() < enter
            if self._in_burst and self._chance.random() < loss:
                return True
        return self._chance.random() < wanted.loss
