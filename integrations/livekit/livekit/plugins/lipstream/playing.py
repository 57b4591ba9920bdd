"""How much of which utterance has been heard: pure book-keeping, in samples."""

from collections import deque
from dataclasses import dataclass


@dataclass(slots=True)
class Playing:
    """An utterance that has begun and whose end has not been reported.

    Attributes:
        sent: Samples given to the audio source, without the silence that fills the last 40 ms.
        started: Whether its beginning has been reported.
        ended: Whether all of it has been given to the audio source.
    """

    sent: int = 0
    started: bool = False
    ended: bool = False


class PlayingQueue:
    """The utterances that are being played, in order; one may follow another without a gap."""

    def __init__(self) -> None:
        self._waiting: deque[Playing] = deque()
        self._open = False

    @property
    def is_open(self) -> bool:
        """Whether sound belongs to an utterance that has begun."""
        return self._open

    def open(self) -> None:
        """Begin an utterance, unless one is open."""
        if not self._open:
            self._waiting.append(Playing())
            self._open = True

    def close(self) -> bool:
        """End the open utterance; return whether there was one."""
        was_open, self._open = self._open, False
        return was_open

    def sending(self) -> Playing:
        """Return the utterance whose sound is given to the audio source."""
        return next(one for one in self._waiting if not one.ended)

    def finish(self) -> Playing:
        """Forget the oldest utterance, whose end is being reported."""
        return self._waiting.popleft()

    def cut(self, unheard: int) -> list[int]:
        """Forget all utterances; return how many samples of each were heard.

        Args:
            unheard: Samples that the audio source has and has not played.
        """
        heard = []
        for one in reversed(self._waiting):
            lost = min(one.sent, unheard)
            unheard -= lost
            heard.append(one.sent - lost)
        self._waiting.clear()
        self._open = False
        return heard[::-1]
