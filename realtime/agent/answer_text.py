"""Splits an answer that arrives in pieces into sentences, so that they are spoken while the rest is being written."""

from collections.abc import Sequence

from lipstream.realtime.agent.thoughts import Thoughts
from lipstream.realtime.audio.motion_tags import mark_motions
from lipstream.realtime.audio.sentences import LONGEST, sentence_ends, split_sentences
from lipstream.realtime.audio.spoken_text import CodeFilter, ends_alone, spoken_text

LONGEST_ANSWER = 4_000
"""Characters of an answer that are said, thoughts left out; the rest is not read."""
_MOST_UNSAID = 4 * LONGEST
"""Characters that may wait for the end of a sentence or of a bracket; a longer text is said as it is."""


class AnswerText:
    """Turns pieces into sentences. Work per piece and memory do not grow with the answer.

    Args:
        begins_in_thought: Whether the answer begins in a thought whose beginning is not marked.
        motions: Names whose tags are no words, see :mod:`~lipstream.realtime.audio.motion_tags`; they become marks.
    """

    def __init__(self, *, begins_in_thought: bool = False, motions: Sequence[str] = ()) -> None:
        self._motions = motions
        self._thoughts = Thoughts(begins_in_thought=begins_in_thought)
        self._code = CodeFilter()
        self._line = ""  # a line without its end that may begin a code block, or lies in one
        self._is_text = False  # whether the current line is known to be none of these
        self._unsaid = ""
        self._length = 0

    @property
    def begins_in_thought(self) -> bool:
        """Whether a thought ended whose beginning was not marked."""
        return self._thoughts.unopened > 0

    @property
    def is_full(self) -> bool:
        """Whether the answer has become as long as one may be."""
        return self._length >= LONGEST_ANSWER

    def push(self, piece: str) -> list[str]:
        """Return the sentences that a piece completes; the last sentence is held back until the next one begins."""
        ended = self._thoughts.unopened
        shown = self._thoughts.push(piece)
        if self._thoughts.unopened > ended:
            self._line = self._unsaid = ""  # thoughts too
        self._add(shown)
        end = _safe_end(self._unsaid)
        if not end and len(self._unsaid) > _MOST_UNSAID:
            end = max(self._unsaid.rfind(" ", 0, _MOST_UNSAID), LONGEST)
        said, self._unsaid = self._unsaid[:end], self._unsaid[end:]
        return self._split(said) if end else []

    def flush(self) -> list[str]:
        """Return the remaining sentences at the end of the answer."""
        self._add(self._thoughts.flush())
        line = "" if self._code.is_code(self._line) else self._line
        said, self._unsaid, self._line = self._unsaid + line, "", ""
        return self._split(said)

    def _split(self, said: str) -> list[str]:
        return split_sentences(spoken_text(mark_motions(said, self._motions)))

    def _add(self, shown: str) -> None:
        """Add text without its code blocks."""
        shown = shown[: max(0, LONGEST_ANSWER - self._length)]
        self._length += len(shown)
        *lines, rest = shown.split("\n")
        for line in lines:
            self._write(line)
            if not self._is_text and not self._code.is_code(self._line):
                self._unsaid += self._line
            self._unsaid += "\n"
            self._line, self._is_text = "", False
        self._write(rest)

    def _write(self, text: str) -> None:
        """Add text to the current line."""
        if not self._is_text:
            self._line += text
            bare = self._line.lstrip(" ")[:3]
            if self._code.inside or "```".startswith(bare) or "~~~".startswith(bare):
                self._line = self._line[:_MOST_UNSAID]
                return
            text, self._line, self._is_text = self._line, "", True
        self._unsaid += text


def _safe_end(text: str) -> int:
    """Return the length of the part of a text that may be said while the rest is being written.

    It ends after a sentence that another one follows, or with a line that is a sentence of its own, but not in a
    link or a comment.
    """
    last, ends, at = len(text.rstrip()), [], 0
    stops = list(sentence_ends(text))
    for line in text.split("\n"):
        end = at + len(line) + 1
        if ends_alone(line):
            ends += [at, end] if end <= len(text) else [at]
        else:
            ends += [stop for stop in stops if at < stop <= end and stop < last]
        at = end
    return next((end for end in reversed(ends) if not _is_open(text, end)), 0)


def _is_open(text: str, at: int) -> bool:
    """Return whether a link or a comment of HTML goes on at a place."""
    first = text.rfind("\n", 0, at - 1) + 1
    first = max(first, at - LONGEST)
    label = text.rfind("[", first, at) > text.rfind("]", first, at)
    comment = text.rfind("<!--", 0, at) > text.rfind("-->", 0, at)
    return comment or label or text.rfind("](", first, at) > text.rfind(")", first, at)
