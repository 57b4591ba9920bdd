"""Whether one more session would make the others late, by what sessions have been seen to cost. Pure.

A picture costs the server some of its time, part of it on the event loop's thread, where one thing happens at a time; a
spoken mouth costs the worker some of its own. From what each took lately follows what so many sessions would take if
all spoke at once, as they may at any moment.
"""

from dataclasses import dataclass

from lipstream.realtime.timeline import FRAME_RATE_HZ

LOOP_LIMIT, WORKER_LIMIT, CORES_LIMIT = 0.8, 0.9, 0.9
"""Shares of the event loop's thread, of a worker and of all cores beyond which pictures begin to be late."""
FIRST_PICTURE_S, FIRST_LOOP_S, FIRST_MOUTH_S = 0.005, 0.002, 0.004
"""What is assumed until it has been measured: a small network and a picture of 512 x 512 on one slow core."""
MEMORY_UNITS = 250
"""Ten seconds of one session: what is older counts for less than a third."""
_SPOKEN_SHARE = 0.5
"""Pictures at rest cost less: what they cost says nothing of speech."""


@dataclass(slots=True)
class _Cost:
    """Seconds a unit, lately."""

    unit_s: float
    units: float = 0.0  # that it rests on

    def note(self, units: int, seconds: float) -> None:
        kept = min(self.units, max(0.0, MEMORY_UNITS - units))
        self.unit_s = (self.unit_s * kept + seconds) / (kept + units)
        self.units = kept + units


class Admission:
    """Counts costs and says how many sessions there is room for.

    Args:
        cores: Of the machine.
        picture_workers: Processes that paint and encode; 0 if the server does it.

    Attributes:
        render_workers: Processes that draw mouths, each for its own sessions.
    """

    def __init__(self, cores: int, *, picture_workers: int = 0) -> None:
        self.render_workers = 1
        self._cores, self._picture_workers = cores, picture_workers
        self._picture, self._loop = _Cost(FIRST_PICTURE_S), _Cost(FIRST_LOOP_S)
        self._made = _Cost(FIRST_PICTURE_S - FIRST_LOOP_S)  # of a picture's time, the part in a picture worker
        self._mouth, self._drawing = _Cost(FIRST_MOUTH_S), _Cost(FIRST_MOUTH_S)

    def note_mouths(self, mouths: int, cpu_s: float, took_s: float) -> None:
        """Take in the processor time and the time that the worker took over a batch."""
        if mouths > 0 and cpu_s >= 0 and took_s >= 0:
            self._mouth.note(mouths, cpu_s)
            self._drawing.note(mouths, took_s)

    def forget_mouths(self) -> None:
        """Learn from nothing what mouths cost: another device draws them."""
        self._mouth, self._drawing = _Cost(FIRST_MOUTH_S), _Cost(FIRST_MOUTH_S)

    def mouths_in(self, seconds: float) -> int:
        """Return how many mouths the worker draws in so long; at least one."""
        return max(1, int(seconds / max(self._drawing.unit_s, 1e-6)))

    def note_server(self, *, pictures: int, spoken: int, cpu_s: float, loop_s: float, workers_s: float = 0.0) -> None:
        """Take in what the server did in a while.

        Args:
            pictures: Sent, over all sessions.
            spoken: Of these, with a spoken mouth.
            cpu_s: Processor time of all its threads.
            loop_s: Of the event loop's.
            workers_s: Of the picture workers.
        """
        if pictures > 0 and spoken >= _SPOKEN_SHARE * pictures:
            self._picture.note(pictures, max(0.0, cpu_s) + max(0.0, workers_s))
            self._loop.note(pictures, max(0.0, loop_s))
            self._made.note(pictures, max(0.0, workers_s))

    @property
    def session_s(self) -> float:
        """Processor time that one speaking session takes each second."""
        return FRAME_RATE_HZ * (self._picture.unit_s + self._mouth.unit_s)

    @property
    def possible(self) -> int:
        """How many sessions could speak at once; at least one, which makes nobody late but itself."""
        shares = [
            (self.session_s, CORES_LIMIT * self._cores),
            (FRAME_RATE_HZ * self._loop.unit_s, LOOP_LIMIT),
            (FRAME_RATE_HZ * self._drawing.unit_s, WORKER_LIMIT * self.render_workers),
        ]
        if self._picture_workers:
            shares.append((FRAME_RATE_HZ * self._made.unit_s, WORKER_LIMIT * self._picture_workers))
        return max(1, min(int(limit / max(each, 1e-6)) for each, limit in shares))

    def admits(self, sessions: int) -> bool:
        """Return whether there is room for one more beside ``sessions``."""
        return sessions < self.possible
