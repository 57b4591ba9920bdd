"""The metrics of all workers as one text, each sample with the names of its node and its worker. The module is pure."""

import dataclasses
from collections.abc import Iterator, Sequence

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from lipstream.realtime.cluster.placement import WorkerState
from lipstream.realtime.meters import NAMESPACE


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerMetrics:
    """What a worker answered.

    Attributes:
        node: Name of its machine.
        worker: Its address.
        text: Its metrics, in Prometheus' text format.
    """

    node: str
    worker: str
    text: str


class MergedMetrics(Collector):
    """Metrics of a cluster, as one ingress knows it."""

    def __init__(self, answers: Sequence[WorkerMetrics], states: Sequence[WorkerState]) -> None:
        self._answers, self._states = answers, states

    def collect(self) -> Iterator[Metric]:
        """Yield the cluster's own families, then those of the workers.

        Raises:
            ValueError: If a worker's text cannot be parsed.
        """
        fresh = [state for state in self._states if state.is_fresh]
        takes = [state for state in fresh if state.takes_sessions]
        draining = sum(state.reason == "draining" for state in fresh)
        for name, meaning, value in (
            ("cluster_workers", "Workers that are there.", len(fresh)),
            ("cluster_workers_ready", "Of these, those that take sessions.", len(takes)),
            ("cluster_workers_draining", "Of these, those that take none any more.", draining),
            ("cluster_workers_lost", "Workers that were there within a minute.", len(self._states) - len(fresh)),
            ("cluster_sessions_capacity", "Sessions that there is room for in all.", sum(s.capacity for s in fresh)),
            ("cluster_sessions_free", "Sessions that there is room for now.", sum(s.free for s in takes)),
        ):
            yield GaugeMetricFamily(f"{NAMESPACE}_{name}", meaning, value)
        yield from merged(self._answers)


def merged(answers: Sequence[WorkerMetrics]) -> list[Metric]:
    """Return the families of all workers.

    Raises:
        ValueError: If a text cannot be parsed.
    """
    families: dict[str, Metric] = {}
    for answer in answers:
        for family in text_string_to_metric_families(answer.text):
            whole = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                labels = {"node": answer.node, "worker": answer.worker, **sample.labels}
                whole.samples.append(sample._replace(labels=labels))
    return list(families.values())
