"""Texts that callers give for people to read: names, labels, statements of consent."""

import unicodedata

LONGEST_TEXT = 120
_BIDIRECTIONAL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that reverse what stands beside them (UAX #9). Joiners, which emoji and some scripts need, are none of them."""
_LEFT_OUT = ("Cc", "Cs", "Co", "Cn", "Zl", "Zp")
"""Control characters, among them those of terminals; surrogates, private and unassigned ones; breaks of lines."""


def one_line(text: str) -> str:
    """Return the first 120 characters of a text, on one line and without characters that change how others are shown.

    The text stands in lists, on pages, in files and on the terminals of operators, beside texts that are not its
    author's.
    """
    kept = (char for char in text if char not in _BIDIRECTIONAL)
    plain = "".join(" " if unicodedata.category(char) in _LEFT_OUT else char for char in kept)
    return " ".join(plain.split())[:LONGEST_TEXT].strip()
