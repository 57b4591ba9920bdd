"""Who ran on which core, and who waited for one: spans of time from the kernel's scheduler events.

The events are lines of Linux's tracefs (Documentation/trace/ftrace.rst): ``sched_switch`` names the thread that leaves
a core, with its state, and the one that follows; ``sched_wakeup`` names a thread that may run again. A thread waits
from its waking, or from a switch that left it runnable (state ``R``), until a core takes it.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

IDLE = 0
"""Thread id of a core that has nothing to do."""

_SWITCH = re.compile(
    r"\[(?P<core>\d+)\] \S+ +(?P<at>\d+\.\d+): sched_switch: .*prev_pid=(?P<before>\d+) prev_prio=-?\d+"
    r" prev_state=(?P<state>\S+) ==> .*next_pid=(?P<after>\d+) "
)
_WAKEUP = re.compile(r"\[\d+\] \S+ +(?P<at>\d+\.\d+): sched_wakeup(?:_new)?: comm=.* pid=(?P<thread>\d+) ")


@dataclass(frozen=True, slots=True)
class Span:
    """A time during which a thread ran on a core, or waited for one; seconds of the monotonic clock.

    Attributes:
        core: Where it ran; where it ran at last, for a wait.
    """

    thread: int
    core: int
    begin_s: float
    end_s: float

    @property
    def seconds(self) -> float:
        """Its length, s."""
        return self.end_s - self.begin_s

    def shared_s(self, other: "Span") -> float:
        """Return how long both last at once, s."""
        return max(0.0, min(self.end_s, other.end_s) - max(self.begin_s, other.begin_s))


@dataclass(slots=True)
class Schedule:
    """All spans between two times.

    Attributes:
        runs: By core, in order, the idle thread's too.
        waits: Times in which threads were runnable and had no core, in order of their ends.
    """

    runs: dict[int, list[Span]] = field(default_factory=dict)
    waits: list[Span] = field(default_factory=list)

    def meanwhile_s(self, wait: Span) -> dict[int, float]:
        """Return for how long each thread ran during a wait, s, on all cores."""
        seconds: defaultdict[int, float] = defaultdict(float)
        for run in (run for runs in self.runs.values() for run in runs):
            if shared_s := wait.shared_s(run):
                seconds[run.thread] += shared_s
        return dict(seconds)


def schedule(lines: Iterable[str], begin_s: float, end_s: float) -> Schedule:
    """Return the spans that the lines of a trace tell, cut off at both times. Other lines are ignored."""
    runs: defaultdict[int, list[Span]] = defaultdict(list)
    waits: list[Span] = []
    on_core: dict[int, tuple[int, float]] = {}
    ready: dict[int, float] = {}
    running: set[int] = set()

    def keep(spans: list[Span], thread: int, core: int, since_s: float, until_s: float) -> None:
        span = Span(thread, core, max(since_s, begin_s), min(until_s, end_s))
        if span.seconds > 0:
            spans.append(span)

    for line in lines:
        if found := _SWITCH.search(line):
            core, at_s = int(found["core"]), float(found["at"])
            before, after = int(found["before"]), int(found["after"])
            _, since_s = on_core.get(core, (before, begin_s))
            keep(runs[core], before, core, since_s, at_s)
            running.discard(before)
            if found["state"].startswith("R") and before != IDLE:
                ready[before] = at_s
            if (ready_s := ready.pop(after, None)) is not None:
                keep(waits, after, core, ready_s, at_s)
            on_core[core] = (after, at_s)
            running.add(after)
        elif (found := _WAKEUP.search(line)) and (thread := int(found["thread"])) not in running:
            ready.setdefault(thread, float(found["at"]))
    for core, (thread, since_s) in on_core.items():
        keep(runs[core], thread, core, since_s, end_s)
    for thread, ready_s in ready.items():
        keep(waits, thread, -1, ready_s, end_s)
    return Schedule(dict(runs), waits)
