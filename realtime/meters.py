"""What a server counts over all its sessions, those too that are gone: made once, handed to whoever has something."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import Counter, Metric
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

NAMESPACE = "lipstream"

FATES = ("spoken", "idle", "repeated", "dropped")
ENDINGS = ("asked", "abandoned", "never_connected", "yielded", "failed", "shutdown")
REFUSALS = ("full", "draining", "warming", "renderer")

_LATENCY_S = (0.04, 0.06, 0.08, 0.09, 0.1, 0.11, 0.12, 0.14, 0.16, 0.2, 0.25, 0.3, 0.4, 0.6, 1.0)
_LATENESS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.1, 0.25, 1.0)
_SKEW_S = (-0.125, -0.06, -0.04, -0.025, -0.015, -0.005, -0.002, 0.0, 0.002, 0.005, 0.015, 0.025, 0.04, 0.045, 0.06)
_RENDER_S = (0.001, 0.002, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.1, 0.2, 0.5, 1.0, 2.0)
_BATCHES = (1, 2, 3, 4, 6, 8, 12, 16)


class Distribution:
    """How often a value fell into each bucket, and the sum of all.

    Args:
        bounds: Upper bounds of the buckets, rising; the last bucket has none.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value


class Histogram(Collector):
    """Distributions of one kind of value, used like ``prometheus_client.Histogram``.

    That class leaves out ``_sum`` where a bound is negative, as A/V skew has it, and writes whole bounds as ``1.0``.
    Here every histogram has its sum, and the values of ``le`` are short (``1``): dashboards rely on both.

    Args:
        name: Without the namespace, ending in the unit.
        meaning: One line.
        bounds: Upper bounds of the buckets, rising.
        label: Name of the label; empty for none.
        known: All values of the label.
    """

    def __init__(
        self, name: str, meaning: str, bounds: Sequence[float], label: str = "", known: Sequence[str] = ("",)
    ) -> None:
        self._name, self._meaning, self._label = f"{NAMESPACE}_{name}", meaning, label
        self._le = [*(f"{bound:g}" for bound in bounds), "+Inf"]
        self._by_label = {value: Distribution(bounds) for value in known}

    def labels(self, value: str) -> Distribution:
        """Return the distribution of a label's value.

        Raises:
            KeyError: If the value is not a known one.
        """
        return self._by_label[value]

    def observe(self, value: float) -> None:
        """Count a value of a histogram without a label."""
        self._by_label[""].observe(value)

    def collect(self) -> Iterator[Metric]:
        """Yield the family: cumulative buckets, sum and count of each distribution."""
        family = HistogramMetricFamily(self._name, self._meaning)
        for value, distribution in self._by_label.items():
            labels = {self._label: value} if self._label else {}
            for bound, count in zip(self._le, accumulate(distribution.counts), strict=True):
                family.add_sample(f"{self._name}_bucket", labels | {"le": bound}, count)
            family.add_sample(f"{self._name}_sum", labels, distribution.sum)
            family.add_sample(f"{self._name}_count", labels, sum(distribution.counts))
        yield family


class Meters(Collector):
    """Counters and histograms of one server, in no registry: servers in one process do not share them.

    Attributes:
        frames: Pictures by what became of them, as in ``PlayoutCounts``.
        underruns: Packets of speech that were due before their sound was there.
        mouth_latency: From the sound's arrival to its picture's leaving.
        skew: Media time of sound minus that of picture, handed to RTP at one instant: positive is sound ahead.
        lateness: A picture's leaving after its time.
        tail: From an interruption to the first silent packet.
        sessions_ended: Sessions by why they ended.
        sessions_refused: Sessions not taken, by why.
        render: The render worker's time by part: ``gather`` the faces of a batch, ``draw`` it on the device; ``trip``
            is a mouth's whole way from the session and back.
        batch: Mouths drawn at once.
        loop_lag: By how much the event loop came late to a tick.
        bytes_sent, packets_sent, packets_lost: RTP by kind, as sent, and as the other side reports it.
        key_frames: Sent.
    """

    def __init__(self) -> None:
        kinds = ("audio", "video")
        self.frames = _counter("frames_total", "Pictures that were due, by what became of them.", "fate", FATES)
        self.underruns = _counter("speech_underruns_total", "Packets of speech due before their sound was there.")
        self.mouth_latency = Histogram(
            "mouth_latency_seconds", "From the arrival of sound to the leaving of its picture.", _LATENCY_S
        )
        self.skew = Histogram(
            "av_skew_seconds", "Sound minus picture as handed to RTP; positive: sound ahead.", _SKEW_S
        )
        self.lateness = Histogram("frame_lateness_seconds", "A picture's leaving after its time.", _LATENESS_S)
        self.tail = Histogram("interrupt_tail_seconds", "From an interruption to silence.", _LATENESS_S)
        self.sessions_ended = _counter("sessions_ended_total", "Sessions that ended, by why.", "why", ENDINGS)
        self.sessions_refused = _counter("sessions_refused_total", "Sessions not taken, by why.", "why", REFUSALS)
        self.render = Histogram(
            "render_seconds", "Time of the render worker by part.", _RENDER_S, "part", ("gather", "draw", "trip")
        )
        self.batch = Histogram("render_batch_mouths", "Mouths drawn at once.", _BATCHES)
        self.loop_lag = Histogram("event_loop_lag_seconds", "How late the event loop came to a tick.", _LATENESS_S)
        self.bytes_sent = _counter("rtp_sent_bytes_total", "Media sent, without headers.", "kind", kinds)
        self.packets_sent = _counter("rtp_sent_packets_total", "Packets of media sent.", "kind", kinds)
        self.packets_lost = _counter("rtp_lost_packets_total", "Packets that receivers report as lost.", "kind", kinds)
        self.key_frames = _counter("key_frames_total", "Key frames sent.")

    def collect(self) -> Iterator[Metric]:
        """Yield the families of all of them, without the series ``_created`` that counters have by themselves."""
        collectors: Sequence[Collector] = tuple(vars(self).values())
        for collector in collectors:
            for family in collector.collect():
                family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
                yield family


def _counter(name: str, meaning: str, label: str = "", known: Sequence[str] = ()) -> Counter:
    """Return a counter of which every known label value shows as 0 from the start."""
    counter = Counter(name, meaning, (label,) if label else (), namespace=NAMESPACE, registry=None)
    for value in known:
        counter.labels(value)
    return counter
