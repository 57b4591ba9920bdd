"""Decides from measured costs whether one more session would make the others late.

A picture takes processor time of the server, part of it on the event loop's thread. A spoken mouth takes time of a
render worker. The recent costs give the load for a number of sessions that all speak at once. A face that is larger
than those on show costs more to paint than they did, by the size of its mouth. The module is pure.
"""

from dataclasses import dataclass

from lipstream.realtime.timeline import FRAME_RATE_HZ

LOOP_LIMIT, WORKER_LIMIT, CORES_LIMIT = 0.8, 0.9, 0.9
"""Shares of the event loop's thread, of a worker and of all cores above which pictures begin to be late."""
FIRST_PICTURE_S, FIRST_LOOP_S, FIRST_MOUTH_S = 0.005, 0.002, 0.004
"""Costs assumed before the first measurement: a small network and a picture of 512 x 512 on one slow core."""
FIRST_MOUTH_PX = 17_000
"""Size of a mouth assumed before the first measurement: that of a face of 212 px, as the built-in avatars have."""
PAINT_S_PER_PX = 16e-9
"""Time to paint a pixel of a mouth's rectangle, s: 2.1 ms for a face of 600 px (``python -m benchmarks tick``)."""
MEMORY_UNITS = 250
"""Pictures or mouths in ten seconds of one session; older ones count for less than a third."""
_SPOKEN_SHARE = 0.5
"""Least share of pictures with a spoken mouth in a measurement: a picture at rest costs less."""


@dataclass(slots=True)
class _Cost:
    """Running mean of the seconds, or another amount, per unit."""

    unit_s: float
    units: float = 0.0  # number of units in the mean

    def note(self, units: int, seconds: float) -> None:
        kept = min(self.units, max(0.0, MEMORY_UNITS - units))
        self.unit_s = (self.unit_s * kept + seconds) / (kept + units)
        self.units = kept + units


class Admission:
    """Measures costs and computes the number of sessions that the server has room for.

    Args:
        cores: Number of processor cores of the machine.
        picture_workers: Number of processes that paint and encode; 0 if threads of the server do it.

    Attributes:
        render_workers: Number of processes that draw mouths, each for its own sessions.
    """

    def __init__(self, cores: int, *, picture_workers: int = 0) -> None:
        self.render_workers = 1
        self._cores, self._picture_workers = cores, picture_workers
        self._picture, self._loop = _Cost(FIRST_PICTURE_S), _Cost(FIRST_LOOP_S)
        self._made = _Cost(FIRST_PICTURE_S - FIRST_LOOP_S)  # the part of a picture's cost in a picture worker
        self._mouth, self._drawing = _Cost(FIRST_MOUTH_S), _Cost(FIRST_MOUTH_S)
        self._mouth_px = _Cost(FIRST_MOUTH_PX)

    def note_mouths(self, mouths: int, cpu_s: float, took_s: float) -> None:
        """Take in the processor time and the elapsed time of a batch of mouths, s."""
        if mouths > 0 and cpu_s >= 0 and took_s >= 0:
            self._mouth.note(mouths, cpu_s)
            self._drawing.note(mouths, took_s)

    def forget_mouths(self) -> None:
        """Reset the cost of a mouth, because another device draws from now on."""
        self._mouth, self._drawing = _Cost(FIRST_MOUTH_S), _Cost(FIRST_MOUTH_S)

    def mouths_in(self, seconds: float) -> int:
        """Return the number of mouths that a worker draws in ``seconds``, 1 or more."""
        return max(1, int(seconds / max(self._drawing.unit_s, 1e-6)))

    def note_server(
        self,
        *,
        pictures: int,
        spoken: int,
        cpu_s: float,
        loop_s: float,
        workers_s: float = 0.0,
        mouth_px: float | None = None,
    ) -> None:
        """Take in the cost of the pictures that the server sent in a period.

        Periods in which less than half of the pictures show a spoken mouth are ignored.

        Args:
            pictures: Number of pictures sent, over all sessions.
            spoken: Number of these pictures with a spoken mouth.
            cpu_s: Processor time of all threads of the server, s.
            loop_s: Processor time of the event loop's thread, s.
            workers_s: Processor time of the picture workers, s.
            mouth_px: Mean size of the mouths in these pictures, px; ``None`` if it is not known.
        """
        if pictures > 0 and spoken >= _SPOKEN_SHARE * pictures:
            if mouth_px is not None:
                self._mouth_px.note(pictures, pictures * mouth_px)
            self._picture.note(pictures, max(0.0, cpu_s) + max(0.0, workers_s))
            self._loop.note(pictures, max(0.0, loop_s))
            self._made.note(pictures, max(0.0, workers_s))

    @property
    def session_s(self) -> float:
        """Processor time of one speaking session per second, s."""
        return FRAME_RATE_HZ * (self._picture.unit_s + self._mouth.unit_s)

    @property
    def possible(self) -> int:
        """Number of sessions that can speak at once, 1 or more: a single session makes no other late."""
        return self._possible(0.0)

    def _possible(self, more_s: float) -> int:
        """Return how many sessions can speak at once if one of them takes ``more_s`` a second longer to paint."""
        shares = [
            (self.session_s, CORES_LIMIT * self._cores - more_s),
            (FRAME_RATE_HZ * self._loop.unit_s, LOOP_LIMIT),
            (FRAME_RATE_HZ * self._drawing.unit_s, WORKER_LIMIT * self.render_workers),
        ]
        if self._picture_workers:
            shares.append((FRAME_RATE_HZ * self._made.unit_s, WORKER_LIMIT * self._picture_workers - more_s))
        return max(1, min(int(limit / max(each, 1e-6)) for each, limit in shares))

    def admits(self, sessions: int, mouth_px: float | None = None) -> bool:
        """Return whether there is room for one more session beside ``sessions``.

        Args:
            mouth_px: Size of the new session's mouth, px; ``None`` for one as large as those on show.
        """
        larger_px = 0.0 if mouth_px is None else max(0.0, mouth_px - self._mouth_px.unit_s)
        return sessions < self._possible(FRAME_RATE_HZ * PAINT_S_PER_PX * larger_px)
