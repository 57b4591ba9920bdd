"""Measures the processor time of a server's sessions for its admission."""

import time

from lipstream.realtime.server.admission import Admission
from lipstream.realtime.session.session import Session


class ServerLoad:
    """Processor time of the server since the last call of ``note``."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[int, int]] = {}
        self._cpu_s, self._loop_s, self._pictures_s = time.process_time(), time.thread_time(), 0.0

    def note(self, sessions: list[Session], admission: Admission, pictures_s: float) -> None:
        """Report the cost since the last call to the admission. Must run on the event loop's thread.

        Args:
            pictures_s: Processor time of the picture workers since their start, s.
        """
        counts = {session.id: session.playout.counts for session in sessions}
        now = {key: (c.rendered + c.repeated + c.idle, c.rendered + c.repeated) for key, c in counts.items()}
        since = [
            (now[key][0] - before[0], now[key][1] - before[1]) for key, before in self._before.items() if key in now
        ]
        cpu_s, loop_s = time.process_time(), time.thread_time()
        if len(now) == len(since) == len(self._before):  # a session's start and end take time beside its pictures
            admission.note_server(
                pictures=sum(pictures for pictures, _ in since),
                spoken=sum(spoken for _, spoken in since),
                cpu_s=cpu_s - self._cpu_s,
                loop_s=loop_s - self._loop_s,
                workers_s=pictures_s - self._pictures_s,
                mouth_px=_mean([session.playout.compositor.mouth_px for session in sessions]),
            )
        self._before, self._cpu_s, self._loop_s, self._pictures_s = now, cpu_s, loop_s, pictures_s


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
