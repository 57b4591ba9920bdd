"""Counters and histograms of a server over all its sessions, including ended ones."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import Counter, Metric
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

NAMESPACE = "lipstream"

FATES = ("spoken", "idle", "repeated", "dropped")
ENDINGS = (
    *("asked", "abandoned", "never_connected", "yielded", "failed", "shutdown"),
    *("longest_call", "idle", "revoked"),
)
REFUSALS = ("full", "draining", "warming", "renderer")

_LATENCY_S = (0.04, 0.06, 0.08, 0.09, 0.1, 0.11, 0.12, 0.14, 0.16, 0.2, 0.25, 0.3, 0.4, 0.6, 1.0)
_LATENESS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.1, 0.25, 1.0)
_SKEW_S = (-0.125, -0.06, -0.04, -0.025, -0.015, -0.005, -0.002, 0.0, 0.002, 0.005, 0.015, 0.025, 0.04, 0.045, 0.06)
_RENDER_S = (0.001, 0.002, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.1, 0.2, 0.5, 1.0, 2.0)
_BATCHES = (1, 2, 3, 4, 6, 8, 12, 16)


class Distribution:
    """Counts of values by bucket, and the sum of all values.

    Args:
        bounds: Upper bounds of the ``n`` buckets, ascending, in the unit of the values; bucket ``n + 1`` has no bound.
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

    The class of ``prometheus_client`` omits ``_sum`` if a bound is negative, as for A/V skew, and writes whole bounds
    as ``1.0``. This class always gives the sum and writes such a bound as ``1``; dashboards rely on both.

    Args:
        bounds: Upper bounds of the buckets, ascending, in the unit that the name ends in.
        label: Name of the label; empty for none.
        known: All values of the label; default the empty one alone.
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
            KeyError: If ``known`` does not hold the value.
        """
        return self._by_label[value]

    def observe(self, value: float) -> None:
        """Count a value in a histogram without a label."""
        self._by_label[""].observe(value)

    def collect(self) -> Iterator[Metric]:
        """Yield the metric family: cumulative buckets, sum and count of each distribution."""
        family = HistogramMetricFamily(self._name, self._meaning)
        for value, distribution in self._by_label.items():
            labels = {self._label: value} if self._label else {}
            for bound, count in zip(self._le, accumulate(distribution.counts), strict=True):
                family.add_sample(f"{self._name}_bucket", labels | {"le": bound}, count)
            family.add_sample(f"{self._name}_sum", labels, distribution.sum)
            family.add_sample(f"{self._name}_count", labels, sum(distribution.counts))
        yield family


class Meters(Collector):
    """Counters and histograms of one server. They are in no registry, so that servers in one process share none.

    Attributes:
        frames: Number of pictures by fate, see :class:`PlayoutCounts`; ``spoken`` are the rendered ones.
        underruns: Number of packets of speech that were due before their sound was complete.
        mouth_latency: Time from the arrival of sound to the leaving of its picture, s.
        skew: Media time of the sound minus media time of the picture when handed to RTP, s; positive: sound ahead.
        lateness: Delay of a picture's leaving after its due time, s.
        tail: Time from an interruption to the first silent packet, s.
        sessions_ended: Number of ended sessions by reason.
        sessions_refused: Number of refused sessions by reason.
        render: Time of the render workers by part, s: ``gather`` the faces of a batch, ``draw`` it on the device, and
            ``trip``, the way of a mouth from its request to its delivery.
        batch: Number of mouths in a batch.
        loop_lag: Delay of the event loop at a tick, s.
        bytes_sent, packets_sent, packets_lost: RTP by kind; receivers report the lost packets.
        key_frames: Number of key frames sent.
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
        """Yield the families of all meters, without the series ``_created`` that ``prometheus_client`` adds."""
        collectors: Sequence[Collector] = tuple(vars(self).values())
        for collector in collectors:
            for family in collector.collect():
                family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
                yield family


def _counter(name: str, meaning: str, label: str = "", known: Sequence[str] = ()) -> Counter:
    """Return a counter that exports 0 for every known label value from the start."""
    counter = Counter(name, meaning, (label,) if label else (), namespace=NAMESPACE, registry=None)
    for value in known:
        counter.labels(value)
    return counter
