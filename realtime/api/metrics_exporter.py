"""Exports the server's metrics for Prometheus: its meters, and gauges of the current state."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prometheus_client import Counter, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from lipstream.realtime.api import audio_socket
from lipstream.realtime.meters import NAMESPACE, Meters
from lipstream.realtime.queue_depths import QueueDepths, fullest
from lipstream.realtime.rtc.aiortc_patches.datagram_guard import dropped_datagrams
from lipstream.realtime.server import avatar_builds
from lipstream.realtime.server.avatar_builds import AvatarBuilds
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.workers.shared_memory import SLOTS

SAMPLE_S = 1.0


class MetricsExporter(Collector):
    """Collects the metrics of one server."""

    def __init__(self, sessions: Sessions, builds: AvatarBuilds) -> None:
        self._sessions, self._builds = sessions, builds
        self._traffic = Traffic(sessions.meters)

    async def run(self) -> None:
        """Sample the connections' counts each second until cancelled; an ended connection loses its counts."""
        while True:
            await asyncio.sleep(SAMPLE_S)
            self.sample()

    def sample(self) -> None:
        """Add the traffic since the last sample to the meters."""
        connections = ((s.id, s.connections()) for s in self._sessions.all())
        self._traffic.update({f"{of} {name}": peer for of, peers in connections for name, peer in peers.items()})

    def collect(self) -> Iterator[Metric]:
        """Yield all metric families. Must run on the event loop's thread."""
        self.sample()
        sessions, workers = self._sessions, self._sessions.workers
        counts = workers.counts
        reason = sessions.unready_reason()
        yield _gauge("sessions", "Sessions there are.", sessions.count)
        yield _gauge("sessions_live", "Sessions with a connected peer.", sessions.live)
        yield _gauge("sessions_speaking", "Sessions whose avatar speaks.", sum(s.speaking for s in sessions.all()))
        yield _gauge("sessions_max", "Sessions that are admitted at most.", sessions.settings.max_sessions)
        yield _gauge("ready", "1 while a session could be taken.", reason is None)
        yield _gauge("workers", "Render workers, one a device.", len(workers.members))
        yield _gauge("worker_up", "Of these, those that take jobs now.", workers.up)
        yield _gauge("worker_on_card", "Of these, those that draw on a card.", workers.on_card)
        pictures = sessions.pictures
        yield _gauge("picture_workers_up", "Processes that paint and encode now.", pictures.up)
        yield _total("picture_worker_restarts_total", "Times that one was started again.", pictures.restarts)
        yield _total("sessions_created_total", "Sessions since the start.", sessions.created)
        yield _total("mouths_total", "Mouths asked of the workers.", counts.jobs)
        yield _total("mouths_refused_total", "Mouths they were too busy for.", counts.refused)
        yield _total("mouths_lost_total", "Mouths they could not draw.", counts.lost)
        yield _total("mouths_short_total", "Mouths that found no room in the device's memory.", counts.short)
        yield _total("worker_restarts_total", "Times that one was started again.", counts.restarts)
        yield from sessions.meters.collect()
        yield _gauge("target_bitrate_bits", "What video encoders aim at, in all, bit/s.", self._traffic.target_bitrate)
        yield _gauge("round_trip_seconds", "The longest among the peers.", self._traffic.round_trip_s)
        yield _datagrams()
        queues = self._queues()
        yield _gauge("queue_depth", "The fullest queue of each kind.", {n: q[0] for n, q in queues.items()}, "queue")
        yield _gauge("queue_limit", "What it takes at most.", {n: q[1] for n, q in queues.items()}, "queue")
        yield _gauge("resident_memory_bytes", "Memory by process.", self._memory(), "process")
        yield _gauge("open_descriptors", "Files and sockets that the server holds.", _descriptors())
        yield _gauge("tasks", "Tasks of the event loop.", len(asyncio.all_tasks()))

    def _queues(self) -> QueueDepths:
        """Return fill and limit of every queue; for queues of sessions, the highest fill."""
        server = {
            "render_jobs": (self._sessions.workers.under_way, SLOTS),
            "uploads": (self._builds.queued, avatar_builds.MOST_WAITING),
            "socket_events": (audio_socket.deepest_queue(), audio_socket.MOST_EVENTS),
            "loudspeaker_ms": self._sessions.local_audio.queue.waiting_ms,
        }
        now_s = asyncio.get_running_loop().time()
        return fullest((server, *(session.queue_depths(now_s) for session in self._sessions.all())))

    def _memory(self) -> dict[str, float]:
        pids = {
            "server": [os.getpid()],
            "worker": self._sessions.workers.pids,
            "pictures": self._sessions.pictures.pids,
        }
        found = {name: sum(map(_resident_bytes, those)) for name, those in pids.items()}
        return {name: size for name, size in found.items() if size}


class Traffic:
    """Adds the growth of each connection's own counts to the meters.

    Attributes:
        target_bitrate: Sum of the encoders' targets over all connections, bit/s.
        round_trip_s: Longest round trip of all connections, s.
    """

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._last: dict[tuple[str, str, str], float] = {}  # by connection, kind, figure
        self.target_bitrate, self.round_trip_s = 0.0, 0.0

    def update(self, peers: Mapping[str, Mapping[str, Any] | None]) -> None:
        """Take in the statistics of each connection, by its id."""
        seen: dict[tuple[str, str, str], float] = {}
        self.target_bitrate, self.round_trip_s = 0.0, 0.0
        for peer_id, figures in peers.items():
            for kind in ("audio", "video"):
                sender = (figures or {}).get(kind) or {}
                self.target_bitrate += sender.get("target_bitrate") or 0
                self.round_trip_s = max(self.round_trip_s, (sender.get("round_trip_ms") or 0) / 1000)
                for name, counter in self._counters(kind):
                    value = sender.get(name) or 0
                    key = (peer_id, kind, name)
                    before = self._last.get(key, 0)
                    grown = value - before
                    if grown < 0:  # the connection is new, or duplicates reduced the receiver's count of losses
                        grown = 0 if name == "packets_lost" else value
                    (counter if name == "key_frames" else counter.labels(kind)).inc(grown)
                    seen[key] = value
        self._last = seen

    def _counters(self, kind: str) -> Iterator[tuple[str, Counter]]:
        yield "bytes_sent", self._meters.bytes_sent
        yield "packets_sent", self._meters.packets_sent
        yield "packets_lost", self._meters.packets_lost
        if kind == "video":
            yield "key_frames", self._meters.key_frames


def _gauge(name: str, meaning: str, values: float | Mapping[str, float], label: str = "") -> GaugeMetricFamily:
    """Return a gauge with one value, or with one value for each value of a label."""
    if not isinstance(values, Mapping):
        return GaugeMetricFamily(f"{NAMESPACE}_{name}", meaning, values)
    family = GaugeMetricFamily(f"{NAMESPACE}_{name}", meaning, labels=(label,))
    for of, value in values.items():
        family.add_metric((of,), value)
    return family


def _total(name: str, meaning: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"{NAMESPACE}_{name}", meaning, value)


def _datagrams() -> CounterMetricFamily:
    name, meaning = f"{NAMESPACE}_datagrams_dropped_total", "Datagrams kept from the media stack, by why."
    family = CounterMetricFamily(name, meaning, labels=("why",))
    for why in ("empty", "stranger", "malformed", "overflow"):
        family.add_metric((why,), getattr(dropped_datagrams, why))
    return family


def _resident_bytes(pid: int) -> int:
    """Return the resident memory of a process, bytes; 0 if the system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def _descriptors() -> int:
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return 0
