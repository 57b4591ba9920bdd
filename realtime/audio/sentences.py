"""Splits text into sentences, so that the first one plays while the next ones are still being synthesised.

The text comes from clients and language models, so every step must take time proportional to its length.
"""

import re
from collections.abc import Iterator
from itertools import pairwise

LONGEST = 300
"""Characters of a piece at most: a longer sentence is cut at a comma, else between words, else anywhere."""

_ABBREVIATIONS = frozenset(
    "adj adv al approx apr asst aug ave bldg blvd bros ca capt cf cmdr co col corp dec dept dipl dr ed eds eg esp est "
    "etc feb fig figs fr ft gen gov hon hr ie inc jan jr jul jun lt ltd maj mar max min mr mrs ms mt nov oct op "
    "p pp pres prof rd rep rev sen sep sept sgt sr st str usw vol vs z bzw mme mlle sra srta".split()
)
_DOTTED = re.compile(r"(\w\.)+\w")
# Possessive and anchored at the start of a run: otherwise a run of n stops is scanned n times.
_END = re.compile(
    r"""((?<![.!?…])[.!?…]++["'”’»)\]]*+|(?<=[\u0370-\u03ff\u1f00-\u1fff])[;\u037e])(?=\s)"""  # ";" asks in Greek
    r"""|([。！？｡।॥؟۔።፧།။។៕։]++[.!?…。！？]*+["'”’»」』）]*+)"""
)
"""A stop of scripts with words between blanks, and one of Chinese and Japanese, Devanagari and Bengali, Arabic, Urdu,
Amharic, Tibetan, Burmese, Khmer or Armenian, which ends a sentence wherever it stands."""
_LONGEST_WORD = 64
"""Characters examined before a stop: no abbreviation, initial or list number is longer."""
_OPENING = frozenset("([\"'“‘«")
_CLAUSE = re.compile(r"[,;:–—](?=\s)|[，；：、،؛፣]")


def split_sentences(text: str, *, longest: int = LONGEST) -> list[str]:
    """Return the sentences of a text in order, without the blanks between them.

    A stop ends a sentence only if a blank follows, if the word before it is no abbreviation, initial or list number,
    and if the next word does not begin in lower case. Decimals, dates and addresses therefore stay whole.

    Args:
        longest: Most characters in a piece, 1 or more.

    Returns:
        Pieces of ``longest`` characters at most, each with a letter or digit in it; none if the text has none.
    """
    ends = [0, *sentence_ends(text), len(text)]
    pieces = [text[start:end].strip() for start, end in pairwise(ends)]
    return [part for piece in _voiced(pieces) for part in _shorten(piece, longest) if _is_speakable(part)]


def sentence_ends(text: str) -> Iterator[int]:
    """Yield the positions after the stops that end sentences."""
    start = 0
    for stop in _END.finditer(text):
        if stop[2] is not None or _ends_here(text, start, stop):
            start = stop.end()
            yield start


def _is_speakable(text: str) -> bool:
    return any(char.isalnum() for char in text)


def _ends_here(text: str, start: int, stop: "re.Match[str]") -> bool:
    following = text[stop.end() : stop.end() + 8].lstrip(" \n\"'“‘«([")[:1]
    if following.islower():
        return False
    if stop[1].rstrip("\"'”’»)]") != ".":
        return True
    word = _last_word(text, start, stop.start())
    is_initial = len(word) == 1 and word.isupper() and word != "I"
    is_list_number = word.isdecimal() and not text[start : stop.start() - len(word)].strip()
    is_number_sign = word.lower() == "no" and following.isdecimal()
    is_short = word.lower() in _ABBREVIATIONS or _DOTTED.fullmatch(word) is not None
    return not (is_initial or is_list_number or is_number_sign or is_short)


def _last_word(text: str, start: int, end: int) -> str:
    """Return the last word of ``text[start:end]``, or its last ``_LONGEST_WORD`` characters."""
    at, first = end, max(start, end - _LONGEST_WORD)
    while at > first and text[at - 1] not in _OPENING and not text[at - 1].isspace():
        at -= 1
    return text[at:end]


def _voiced(pieces: list[str]) -> list[str]:
    """Join a piece without letters or digits, such as a row of dots, to the piece before it."""
    groups: list[list[str]] = []
    for piece in pieces:
        if groups and piece and not _is_speakable(piece):
            groups[-1].append(piece)
        elif piece:
            groups.append([piece])
    return [" ".join(group) for group in groups]


def _shorten(sentence: str, longest: int) -> list[str]:
    parts: list[str] = []
    start = 0
    while len(sentence) - start > longest:
        end = start + longest
        clause = max((found.end() for found in _CLAUSE.finditer(sentence, start, end)), default=start)
        cut = clause if clause - start > longest // 3 else sentence.rfind(" ", start + 1, end + 1)
        cut = cut if cut > start else end
        parts.append(sentence[start:cut].strip())
        start = cut + sentence[cut : cut + 1].isspace()
    return [*parts, sentence[start:].strip()]
