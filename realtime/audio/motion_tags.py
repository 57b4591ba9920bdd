"""Motions that a text asks for: ``[greet] Good morning``.

Only a tag that names a motion is one; all other brackets stay, and so do links. A tag is replaced by a mark that no
text has, which stays with its sentence while the text is cleaned and split.
"""

import re
from collections.abc import Sequence

_FIRST_MARK = 0xF0000
"""First code point of Unicode's private plane 15; the mark of motion ``n`` is the ``n``-th one."""
_MARKS = re.compile("[\U000f0000-\U000ffffd]")
_WORD = re.compile(r"\w")


def mark_motions(text: str, motions: Sequence[str]) -> str:
    """Return a text with a mark in front of the word that follows each tag, instead of the tag."""
    text = _MARKS.sub(" ", text)
    if not motions:
        return text
    tag = re.compile(rf"\[({'|'.join(map(re.escape, motions))})\](?!\()[ \t]?")
    marked, at, waiting = [], 0, ""
    for found in tag.finditer(text):
        marked.append(_with_marks(text[at : found.start()], waiting))
        waiting = "" if _WORD.search(text, at, found.start()) else waiting
        waiting += chr(_FIRST_MARK + list(motions).index(found[1]))
        at = found.end()
    marked.append(_with_marks(text[at:], waiting))
    return "".join(marked) + ("" if _WORD.search(text, at) else waiting)


def _with_marks(text: str, marks: str) -> str:
    """Return a text with marks in front of its first word; without a word, as it is."""
    word = _WORD.search(text) if marks else None
    return text[: word.start()] + marks + text[word.start() :] if word else text


def take_motions(sentence: str, motions: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return a sentence without marks, and the motions that they stood for, in order."""
    found = tuple(motions[ord(mark) - _FIRST_MARK] for mark in _MARKS.findall(sentence))
    return (" ".join(_MARKS.sub("", sentence).split()), found) if found else (sentence, ())
