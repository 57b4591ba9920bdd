"""Percentiles for people and Prometheus' text format for machines."""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from lipstream.realtime.wire.session_answers import Percentiles


def percentiles(values: Sequence[float]) -> Percentiles:
    """Return ``{p50, p95, p99}`` of some values; ``None`` each where there are none."""
    if not values:
        return {"p50": None, "p95": None, "p99": None}
    p50, p95, p99 = (round(float(p), 1) for p in np.percentile(values, (50, 95, 99)))
    return {"p50": p50, "p95": p95, "p99": p99}


RECENT_S = 30.0


class Recent:
    """Figures of the last 30 seconds, at most 2000 of them."""

    def __init__(self) -> None:
        self._entries: deque[tuple[float, float]] = deque(maxlen=2000)

    def add(self, value: float, now_s: float) -> None:
        """Take in a figure at monotonic time ``now_s``."""
        self._entries.append((now_s, value))
        self._forget(now_s)

    def values(self, now_s: float) -> list[float]:
        """Return the figures of the 30 s before ``now_s``."""
        self._forget(now_s)
        return list(self)

    def count_since(self, since_s: float) -> int:
        """Return how many figures came after ``since_s``."""
        return sum(at_s > since_s for at_s, _ in self._entries)

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()

    def __iter__(self) -> Iterator[float]:
        return (value for _, value in self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def _forget(self, now_s: float) -> None:
        while self._entries and self._entries[0][0] < now_s - RECENT_S:
            self._entries.popleft()


Labels = tuple[tuple[str, str], ...]
"""Names and values, in order."""


class Sample(NamedTuple):
    """One line of the exposition.

    Attributes:
        suffix: After the family's name: ``""``, ``_bucket``, ``_sum``, ``_count``.
        labels: Of the line.
        value: The figure.
    """

    suffix: str
    labels: Labels
    value: float


class Family(Protocol):
    """Lines that share a name, without the ``lipstream_`` in front."""

    name: str
    kind: str
    meaning: str

    def samples(self) -> Iterable[Sample]:
        """Yield the lines of now."""


class Gauge:
    """What is so just now.

    Args:
        name: Of the family.
        meaning: One line.
        values: By label value; one under ``""`` for a figure without a label.
        label: Its name.
    """

    kind = "gauge"

    def __init__(self, name: str, meaning: str, values: float | Mapping[str, float], label: str = "") -> None:
        self.name, self.meaning, self._label = name, meaning, label
        self._values = values if isinstance(values, Mapping) else {"": float(values)}

    def samples(self) -> Iterator[Sample]:
        """Yield a line for each value."""
        for of, value in self._values.items():
            yield Sample("", _labels(self._label, of), value)


class Counter:
    """What has happened since the server began; it never falls.

    Args:
        name: Of the family, ending in ``_total``.
        meaning: One line.
        label: Its name, where it has one.
        known: Label values that are there from the beginning: what never happened shows as 0.
    """

    kind = "counter"

    def __init__(self, name: str, meaning: str, label: str = "", known: Sequence[str] = ()) -> None:
        self.name, self.meaning, self._label = name, meaning, label
        self._values: dict[str, float] = dict.fromkeys(known if label else ("",), 0.0)

    def add(self, amount: float = 1, *, of: str = "") -> None:
        """Count ``amount`` more under a label value."""
        self._values[of] = self._values.get(of, 0.0) + amount

    def value(self, of: str = "") -> float:
        """Return what was counted under a label value."""
        return self._values.get(of, 0.0)

    def samples(self) -> Iterator[Sample]:
        """Yield a line for each label value."""
        for of, value in self._values.items():
            yield Sample("", _labels(self._label, of), value)


class Histogram:
    """How a figure is spread.

    Args:
        name: Of the family, ending in its unit.
        meaning: One line.
        bounds: Upper bounds of the buckets, rising; the last bucket has none.
        label: Its name, where it has one.
        known: Label values that are there from the beginning.
    """

    kind = "histogram"

    def __init__(
        self, name: str, meaning: str, bounds: Sequence[float], label: str = "", known: Sequence[str] = ()
    ) -> None:
        self.name, self.meaning, self._label, self._bounds = name, meaning, label, tuple(bounds)
        self._counts = {of: [0] * (len(bounds) + 1) for of in (known if label else ("",))}
        self._sums = dict.fromkeys(self._counts, 0.0)

    def observe(self, value: float, *, of: str = "") -> None:
        """Take in a figure under a label value."""
        if of not in self._counts:
            self._counts[of], self._sums[of] = [0] * (len(self._bounds) + 1), 0.0
        self._counts[of][bisect_left(self._bounds, value)] += 1
        self._sums[of] += value

    def count(self, of: str = "") -> int:
        """Return how many figures came under a label value."""
        return sum(self._counts.get(of, ()))

    def samples(self) -> Iterator[Sample]:
        """Yield the cumulative buckets, the sum and the count of each label value."""
        for of, counts in self._counts.items():
            labels, total = _labels(self._label, of), 0
            for bound, count in zip((*map(_number, self._bounds), "+Inf"), counts, strict=True):
                total += count
                yield Sample("_bucket", (*labels, ("le", bound)), total)
            yield Sample("_sum", labels, self._sums[of])
            yield Sample("_count", labels, total)


def prometheus_text(families: Iterable[Family]) -> str:
    """Return families in Prometheus' text exposition format, version 0.0.4."""
    lines = []
    for family in families:
        name = f"lipstream_{family.name}"
        lines += [f"# HELP {name} {family.meaning}", f"# TYPE {name} {family.kind}"]
        for suffix, labels, value in family.samples():
            shown = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
            lines.append(f"{name}{suffix}{{{shown}}} {_number(value)}" if shown else f"{name}{suffix} {_number(value)}")
    return "\n".join(lines) + "\n"


def _labels(name: str, value: str) -> Labels:
    return ((name, value),) if name else ()


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
