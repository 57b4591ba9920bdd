"""Judges by its silence whether a child hangs. The module is pure: the time is an argument.

On a machine with too much to do, an answer is late because the server or the child got no processor. Starting the
child again would not help then, and would take processor time from the others.
"""

HANG_S = 2.0
"""A child that owes an answer and sends none for this long, while it and the server could run, counts as hung."""
LONGEST_S = 20.0
"""A silence of this length, while the server could run, counts as well: a child in an endless loop waits for its turns.

A picture worker has the lowest priority. At a load of ten on two cores its share is a fiftieth of a core, so the 100 ms
of its first picture take 5 s."""


class Silence:
    """The time for which one child has owed an answer.

    Args:
        late_s: Longest interval between two looks that counts in full, s. After a longer one the server itself was
            late, and had not read what the child sent.
    """

    def __init__(self, late_s: float) -> None:
        self._late_s = late_s
        self._since_s: float | None = None
        self._looked_s = 0.0
        self._waited_before_s: float | None = None
        self._silent_s = self._starved_s = 0.0

    @property
    def hangs(self) -> bool:
        """Whether the child counts as hung."""
        return self._silent_s - self._starved_s > HANG_S or self._silent_s > LONGEST_S

    def look(self, now_s: float, owes_since_s: float | None, waited_s: float | None = None) -> None:
        """Take in what is known of the child now.

        Args:
            now_s: Monotonic time, s.
            owes_since_s: Monotonic time of the child's last answer while it owes more, s; ``None`` while it owes none.
            waited_s: For how long the child has waited for a processor since its start, s; ``None`` if that is not
                known, and the child then counts as one that could run.
        """
        if owes_since_s != self._since_s:
            self._since_s, self._waited_before_s = owes_since_s, None
            self._silent_s = self._starved_s = 0.0
            self._looked_s = now_s if owes_since_s is None else owes_since_s
        if owes_since_s is not None:
            self._silent_s += min(now_s - self._looked_s, self._late_s)
        if waited_s is not None:
            if self._waited_before_s is None:
                self._waited_before_s = waited_s
            self._starved_s = waited_s - self._waited_before_s
        self._looked_s = now_s
