"""Starts a child process of the server, and starts it again when it ends or hangs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Protocol

from lipstream.realtime.workers.processor_wait import processor_wait_s
from lipstream.realtime.workers.silence import Silence

logger = logging.getLogger(__name__)

STABLE_S = 30.0
"""A child that fails sooner than this after its start is started again after a growing delay."""
RESTART_DELAYS_S = (0.0, 0.5, 1.0, 2.0, 5.0)
"""Delay before a restart, by the number of such early failures in a row."""
WATCH_S = 0.1
"""Interval between two checks of a child."""


class Fault(Enum):
    """Reason to replace a child."""

    GONE = "is gone"
    HANGS = "hangs"


class RestartPolicy:
    """Decides when to replace one child, and after what delay. All times are monotonic, in seconds."""

    def __init__(self) -> None:
        self._started_s = float("-inf")
        self._failures = 0
        self._silence = Silence(late_s=2 * WATCH_S)

    def note_start(self, now_s: float) -> None:
        """Record that the child is being started."""
        self._started_s = now_s

    def fault(
        self,
        now_s: float,
        *,
        alive: bool,
        ready: bool,
        start_timeout_s: float,
        owes_since_s: float | None,
        waited_s: float | None = None,
    ) -> Fault | None:
        """Return the fault of the child; ``None`` without one. To be asked every :data:`WATCH_S`.

        Args:
            now_s: Monotonic time, s.
            start_timeout_s: Longest time from the start until the child is ready, s.
            owes_since_s: Monotonic time of the child's last answer while it owes more, s; ``None`` while it owes none.
            waited_s: For how long the child has waited for a processor so far, s; ``None`` if that is not known.
        """
        self._silence.look(now_s, owes_since_s if ready else None, waited_s)
        if not alive:
            return Fault.GONE
        hangs = self._silence.hangs if ready else now_s - self._started_s > start_timeout_s
        return Fault.HANGS if hangs else None

    def is_stable(self, now_s: float) -> bool:
        """Return whether the child has run for :data:`STABLE_S`; a failure then does not count as an early one."""
        return now_s - self._started_s >= STABLE_S

    def next_delay_s(self, now_s: float) -> float:
        """Record a failure, and return the delay before the next start."""
        self._failures = 0 if self.is_stable(now_s) else self._failures + 1
        return RESTART_DELAYS_S[min(self._failures, len(RESTART_DELAYS_S) - 1)]


class Supervised(Protocol):
    """A child process as its supervisor sees it."""

    @property
    def label(self) -> str:
        """Name of the child in the log."""

    @property
    def pid(self) -> int | None:
        """Process id; ``None`` without a process."""

    @property
    def alive(self) -> bool:
        """Whether the process runs."""

    @property
    def ready(self) -> bool:
        """Whether the child has finished loading."""

    @property
    def start_timeout_s(self) -> float:
        """Longest time from the start until the child is ready, s."""

    @property
    def owes_since_s(self) -> float | None:
        """Monotonic time of the child's last answer while it owes more; ``None`` while it owes none."""

    async def start_child(self) -> None:
        """Start the process."""

    async def stop_child(self) -> None:
        """End the process and drop its work. May be called again."""

    def take_fault(self, fault: Fault, *, stable: bool) -> bool:
        """Handle the fault of a process that was stopped; return whether to start it again."""


class Supervisor:
    """Watches one child. All methods belong to the event loop's thread.

    Attributes:
        restarts: Number of restarts of the child.
    """

    def __init__(self, process: Supervised) -> None:
        self.restarts = 0
        self._process, self._policy = process, RestartPolicy()
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start the child in the background and watch it."""
        self._task = asyncio.create_task(self._watch(), name="supervise-child")

    async def end(self) -> None:
        """End the child and its supervision. May be called again."""
        task, self._task = self._task, None
        if task:
            task.cancel()
            await asyncio.wait([task])
        await self._process.stop_child()

    async def _watch(self) -> None:
        await self._start()
        again = True
        while again:
            await asyncio.sleep(WATCH_S)
            if fault := self._fault():
                again = await self._replace(fault)

    def _fault(self) -> Fault | None:
        process, now_s = self._process, _now_s()
        owes_since_s = process.owes_since_s
        is_late = owes_since_s is not None and now_s - owes_since_s > WATCH_S
        return self._policy.fault(
            now_s,
            alive=process.alive,
            ready=process.ready,
            start_timeout_s=process.start_timeout_s,
            owes_since_s=owes_since_s,
            waited_s=processor_wait_s(process.pid) if is_late else None,  # it reads a file for each thread
        )

    async def _replace(self, fault: Fault) -> bool:
        """Stop the child and start it again; return ``False`` if the child is not to be started again."""
        failed_s, label = _now_s(), self._process.label
        await self._attempt(self._process.stop_child, "stopped")
        if not self._process.take_fault(fault, stable=self._policy.is_stable(failed_s)):
            return False
        logger.warning("%s %s; starting it again", label, fault.value)
        await asyncio.sleep(self._policy.next_delay_s(failed_s))
        self.restarts += 1
        await self._start()
        return True

    async def _start(self) -> None:
        self._policy.note_start(_now_s())
        await self._attempt(self._process.start_child, "started")

    async def _attempt(self, step: Callable[[], Awaitable[None]], what: str) -> None:
        """Run a step and log its failure. The watch goes on and finds the child gone."""
        try:
            await step()
        except Exception:
            logger.exception("%s cannot be %s", self._process.label, what)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
