"""Splits an answer that arrives in pieces into sentences, so that they are spoken while the rest is being written."""

import re

from lipstream.realtime.audio.sentences import LONGEST, clean_text, split_sentences

_FORMATTING = re.compile(r"[*`#]+|^[^\S\n]*[-•]\s+", re.MULTILINE)
_BEGIN, _END = "<think>", "</think>"
_MOST_UNSAID = 4 * LONGEST
"""Characters kept unchanged; of a longer text only the last sentence is kept, without formatting."""
_MOST_SILENT = 64
"""Characters kept of a text without letters: it may be the beginning of a tag or a list."""


class AnswerText:
    """Turns pieces into sentences. Work per piece and memory do not grow with the answer."""

    def __init__(self) -> None:
        self._unsaid = ""

    def push(self, piece: str) -> list[str]:
        """Return the sentences that a piece completes; the last sentence is held back until the next one begins."""
        shown, thought = _without_thoughts(self._unsaid + piece)
        found = _speakable(shown)
        if len(found) > 1 or len(shown) > _MOST_UNSAID:
            shown = (found[-1] if found else shown[-_MOST_SILENT:].strip()) + _blanks_at_the_end(shown)
        self._unsaid = shown + thought
        return found[:-1]

    def flush(self) -> list[str]:
        """Return the remaining sentences at the end of the answer."""
        shown, _ = _without_thoughts(self._unsaid)
        self._unsaid = ""
        return _speakable(shown)


def _without_thoughts(text: str) -> tuple[str, str]:
    """Return the text outside of thoughts, and the rest of an unfinished thought that is needed to find its end."""
    shown, *parts = text.split(_BEGIN)
    kept, unended = [shown], ""
    for part in parts:
        thought, ended, after = part.partition(_END)
        kept.append(after)
        unended = "" if ended else _BEGIN + thought[1 - len(_END) :]
    return "".join(kept), unended


def _blanks_at_the_end(text: str) -> str:
    blanks = text[len(text.rstrip()) :]
    return "\n" * min(2, blanks.count("\n")) or blanks[:1]


def _speakable(text: str) -> list[str]:
    return split_sentences(clean_text(_FORMATTING.sub("", text)))
