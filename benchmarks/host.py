"""Does the host give this machine its cores? A spinning thread on each core looks for gaps in its own time.

A gap that the kernel's run queue explains (``/proc/self/schedstat``) was another thread of this machine; the rest is
the host's, which ran another machine on the core. Where such gaps are frequent, a late picture says nothing about the
server.

``python -m benchmarks.host CORE SECONDS`` spins on one core and prints its gaps as JSON.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

LIMITS_MS = (1, 5, 20)
MOST_A_MINUTE = 6
"""Gaps over 5 ms, a minute and core, up to which lateness is the server's. A minute has 1,500 pictures of a session,
and each gap may delay one of them: 6 are 0.4 %, less than half of the 1 % that may be late."""
_SECONDS = 10.0
_SCHEDSTAT = Path("/proc/self/schedstat")
_QUEUED = 1
"""Index of the time that the thread waited in a run queue, ns."""


@dataclass(frozen=True, slots=True)
class HostGaps:
    """Gaps of one core that were the host's.

    Attributes:
        seconds: How long the core was watched, s.
        over: Number of gaps over each of :data:`LIMITS_MS`.
        longest_ms: The longest, ms.
    """

    seconds: float
    over: tuple[int, ...]
    longest_ms: float

    @property
    def over_5_a_minute(self) -> float:
        """Gaps over 5 ms, a minute."""
        return 60 * self.over[LIMITS_MS.index(5)] / self.seconds


def host_gaps(seconds: float = _SECONDS) -> list[HostGaps]:
    """Watch all cores at once; nothing else should run."""
    watching = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.host", str(core), str(seconds)], stdout=subprocess.PIPE, text=True
        )
        for core in sorted(os.sched_getaffinity(0))
    ]
    found = [json.loads(process.communicate()[0]) for process in watching]
    return [HostGaps(one["seconds"], tuple(one["over"]), one["longest_ms"]) for one in found]


def proves_lateness(gaps: list[HostGaps]) -> bool:
    """Return whether late pictures on such a host are the server's."""
    return all(core.over_5_a_minute <= MOST_A_MINUTE for core in gaps)


def describe(gaps: list[HostGaps]) -> str:
    """Return the gaps as one line."""
    cores = "; ".join(
        f"core {number}: {core.over_5_a_minute:.0f} a minute over 5 ms, longest {core.longest_ms:.1f} ms"
        for number, core in enumerate(gaps)
    )
    return cores if proves_lateness(gaps) else f"{cores}: lateness proves nothing"


def _spin(core: int, seconds: float) -> HostGaps:
    os.sched_setaffinity(0, {core})
    gaps_ms = []
    began_s = before_s = time.perf_counter()
    queued_s = _queued_s()
    while before_s - began_s < seconds:
        now_s = time.perf_counter()
        if (gap_s := now_s - before_s) > LIMITS_MS[0] / 1000:
            queued_before_s, queued_s = queued_s, _queued_s()
            if queued_s - queued_before_s < gap_s / 2:
                gaps_ms.append(gap_s * 1000)
            now_s = time.perf_counter()
        before_s = now_s
    over = tuple(sum(gap > limit for gap in gaps_ms) for limit in LIMITS_MS)
    return HostGaps(before_s - began_s, over, max(gaps_ms, default=0.0))


def _queued_s() -> float:
    return int(_SCHEDSTAT.read_text().split()[_QUEUED]) / 1e9 if _SCHEDSTAT.exists() else 0.0


if __name__ == "__main__":
    print(json.dumps(asdict(_spin(int(sys.argv[1]), float(sys.argv[2])))))
