"""Percentiles for people and Prometheus' text format for machines."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np


def percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """Return ``{p50, p95, p99}`` of some values; ``None`` each where there are none."""
    if not values:
        return {"p50": None, "p95": None, "p99": None}
    p50, p95, p99 = (round(float(p), 1) for p in np.percentile(values, (50, 95, 99)))
    return {"p50": p50, "p95": p95, "p99": p99}


class Metric(NamedTuple):
    """One figure.

    Attributes:
        name: Without the ``lipstream_`` in front.
        kind: ``gauge`` or ``counter``.
        meaning: One line.
        value: The figure.
    """

    name: str
    kind: str
    meaning: str
    value: float


def prometheus_text(metrics: Iterable[Metric]) -> str:
    """Return metrics in Prometheus' text exposition format, version 0.0.4."""
    lines = []
    for metric in metrics:
        name = f"lipstream_{metric.name}"
        lines += [f"# HELP {name} {metric.meaning}", f"# TYPE {name} {metric.kind}", f"{name} {metric.value:g}"]
    return "\n".join(lines) + "\n"
