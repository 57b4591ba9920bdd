"""Lines that a live host reads aloud while nobody asks for anything else: a script, a playlist, a chat. Pure.

A line of a higher priority is read before those of a lower one, and lines of one priority in the order in which they
came. Lines that repeat go back to the end of theirs, so a playlist never ends.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lipstream.realtime.errors import RateLimitError, SettingsError

MOST_LINES, MOST_CHARACTERS = 2_000, 200_000
"""Bounds of what waits, of all priorities together."""
HIGHEST_PRIORITY = 9
_RETRY_S = 5
_FILES = "*.txt"


@dataclass(frozen=True, slots=True)
class Line:
    """A text to read, and whether it is read again after all others of its priority."""

    text: str
    repeats: bool = False


class Script:
    """The lines that wait to be read in one session."""

    def __init__(self) -> None:
        self._waiting: dict[int, deque[Line]] = {}

    def __len__(self) -> int:
        """Return the number of lines that wait."""
        return sum(map(len, self._waiting.values()))

    @property
    def characters(self) -> int:
        """Number of characters that wait."""
        return sum(len(line.text) for lines in self._waiting.values() for line in lines)

    def add(self, lines: Iterable[str], *, priority: int = 0, repeats: bool = False) -> None:
        """Add lines behind those of their priority; empty ones are left out.

        Args:
            priority: 0 to :data:`HIGHEST_PRIORITY`, which is read first.
            repeats: Whether they are read again and again.

        Raises:
            RateLimitError: If too much would wait; then none is added.
        """
        added = [Line(text, repeats) for line in lines if (text := line.strip())]
        characters = sum(len(line.text) for line in added)
        if len(self) + len(added) > MOST_LINES or self.characters + characters > MOST_CHARACTERS:
            raise RateLimitError("too many lines wait to be read", retry_after_s=_RETRY_S)
        if added:
            self._waiting.setdefault(priority, deque()).extend(added)

    def take(self) -> str | None:
        """Return the line to read next; ``None`` if none waits."""
        if not self._waiting:
            return None
        priority = max(self._waiting)
        lines = self._waiting[priority]
        line = lines.popleft()
        if line.repeats:
            lines.append(line)
        elif not lines:
            del self._waiting[priority]
        return line.text

    def clear(self) -> None:
        """Forget all lines."""
        self._waiting.clear()


def read_script(path: Path) -> list[str]:
    """Return the lines of a text file, or of all ``.txt`` files in a folder, in order of their names.

    Raises:
        SettingsError: If there is none, it cannot be read, or it has more than a script may have.
    """
    try:
        lines = list(_lines_of(path))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the script {path} cannot be read") from error
    if not any(map(str.strip, lines)):
        raise SettingsError(f"the script {path} has no lines: a text file, or a folder with {_FILES}")
    if len(lines) > MOST_LINES or sum(map(len, lines)) > MOST_CHARACTERS:
        raise SettingsError(f"the script {path} has more than {MOST_LINES:,} lines or {MOST_CHARACTERS:,} characters")
    return lines


def _lines_of(path: Path) -> Iterator[str]:
    files = sorted(path.glob(_FILES)) if path.is_dir() else [path]
    left = 4 * MOST_CHARACTERS + 1  # bytes of UTF-8
    for file in files:
        with file.open("rb") as opened:
            data = opened.read(left)
        left -= len(data)
        if left <= 0:
            yield "x" * (MOST_CHARACTERS + 1)  # more than a script may have
            return
        yield from data.decode().splitlines()
