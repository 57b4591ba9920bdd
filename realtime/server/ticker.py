"""The common tick of all sessions."""

import asyncio
from collections.abc import Callable, Iterable

from lipstream.realtime.meters import Meters
from lipstream.realtime.session.session import Session
from lipstream.realtime.session.tick_schedule import next_tick, tick_of

_LATE_TICK_S = 1.0
"""A tick that is this late will not come."""


class Ticker:
    """Advances all sessions every 10 ms, from :meth:`start` until :meth:`stop`.

    This is a callback of a timer and not a task that sleeps, since a task wakes one round of the event loop later.

    Args:
        sessions: Returns the sessions to advance.
        flush: Sends the render jobs that they have requested.
    """

    def __init__(self, sessions: Callable[[], Iterable[Session]], flush: Callable[[], None], meters: Meters) -> None:
        self._sessions, self._flush, self._meters = sessions, flush, meters
        self._next: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Tick now, and from now on."""
        self._tick()

    def stop(self) -> None:
        """Tick no more. May be called again."""
        if self._next:
            self._next.cancel()
        self._next = None

    def is_ticking(self, now_s: float) -> bool:
        """Return whether it ticks at monotonic time ``now_s``: started, and not a second late."""
        return self._next is not None and now_s < self._next.when() + _LATE_TICK_S

    def _tick(self) -> None:
        """Advance the sessions, first those that decide their frames at this tick.

        Their jobs go to the workers together, before all others.
        """
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        if self._next:
            self._meters.loop_lag.observe(max(0.0, now_s - self._next.when()))
        self._next = loop.call_at(next_tick(now_s), self._tick)
        tick = tick_of(now_s)
        sessions = list(self._sessions())
        deciding = [session for session in sessions if session.decides_at == tick]
        others = [session for session in sessions if session.decides_at != tick]
        for group in (deciding, others):
            for session in group:
                session.tick(now_s)
            self._flush()
