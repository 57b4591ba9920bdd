"""An answer that comes in pieces, cut into sentences that can be spoken while it is still being written."""

import re

from lipstream.realtime.audio.sentences import LONGEST, clean_text, split_sentences

_FORMATTING = re.compile(r"[*`#]+|^[^\S\n]*[-•]\s+", re.MULTILINE)
_BEGIN, _END = "<think>", "</think>"
_MOST_UNSAID = 4 * LONGEST
"""Characters that are kept as they were written; of more, only the last sentence is, as it will be said."""
_MOST_SILENT = 64
"""Characters that are kept of a text without letters: it may be the beginning of a tag or of a list."""


class AnswerText:
    """Turns pieces into sentences; its work a piece and its memory do not grow with the answer."""

    def __init__(self) -> None:
        self._unsaid = ""

    def push(self, piece: str) -> list[str]:
        """Return the sentences that another piece has ended: the last one is held back until the next begins."""
        shown, thought = _without_thoughts(self._unsaid + piece)
        found = _speakable(shown)
        if len(found) > 1 or len(shown) > _MOST_UNSAID:
            shown = (found[-1] if found else shown[-_MOST_SILENT:].strip()) + _blanks_at_the_end(shown)
        self._unsaid = shown + thought
        return found[:-1]

    def flush(self) -> list[str]:
        """Return the sentences that are left at the end of the answer."""
        shown, _ = _without_thoughts(self._unsaid)
        self._unsaid = ""
        return _speakable(shown)


def _without_thoughts(text: str) -> tuple[str, str]:
    """Return what a model shows, and what is needed of a thought that has not ended."""
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
