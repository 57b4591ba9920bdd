"""Which utterances of an agent have been heard, and how much of each: pure book-keeping.

Positions are samples (48 kHz) of the agent's sound as the timeline reads it, one count over all utterances.
"""

from collections import deque
from dataclasses import dataclass

MOST_WAITING = 64
"""Utterances that may wait or be heard at once; an agent has one or two."""


@dataclass(slots=True)
class Utterance:
    """An utterance that the agent has begun and whose end has not been reported.

    Attributes:
        first: Position of its first sample; ``None`` while earlier ones are still taken in.
        end: Position after its last sample; ``None`` before the agent ends it.
        started: Whether its beginning has been reported.
    """

    first: int | None = None
    end: int | None = None
    started: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """The first sound of an utterance is heard."""


@dataclass(frozen=True, slots=True)
class Finished:
    """An utterance is over.

    Attributes:
        samples: Samples of it that were heard, 48 kHz.
        interrupted: Whether it was cut off.
    """

    samples: int
    interrupted: bool


class Utterances:
    """The utterances that wait or are heard, in order; one may follow another without a gap, and any may be empty."""

    def __init__(self) -> None:
        self._pending: deque[Utterance] = deque()

    @property
    def is_full(self) -> bool:
        """Whether no further utterance may be begun now."""
        return len(self._pending) >= MOST_WAITING

    def open(self) -> Utterance:
        """Return a new utterance, the last one."""
        self._pending.append(Utterance())
        return self._pending[-1]

    def heard(self, position: int) -> list[Started | Finished]:
        """Return what is to be reported when all sound before a position has been heard."""
        reports: list[Started | Finished] = []
        while self._pending and (first := (one := self._pending[0]).first) is not None:
            if position > first != one.end and not one.started:  # an empty one has no sound to begin with
                one.started = True
                reports.append(Started())
            if one.end is None or position < one.end:
                break
            reports.append(Finished(one.end - first, interrupted=False))
            self._pending.popleft()
        return reports

    def cut(self, position: int) -> list[Started | Finished]:
        """Forget all utterances, of which nothing after a position is heard; return what is to be reported of each."""
        reports = self.heard(position)
        for one in self._pending:
            samples = 0 if one.first is None else max(0, position - one.first)
            reports.append(Finished(samples, interrupted=True))
        self._pending.clear()
        return reports
