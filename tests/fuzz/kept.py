"""Inputs that once failed, in ``tests/fuzz/corpus``, a line of JSON each; the suite replays all of them.

Each line says under ``failed`` what the input did where it met no defence: to the library without our checks, or to
this server before they were mended. To keep another, add a line.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parent / "corpus"


def kept(name: str) -> list[dict[str, Any]]:
    """Return the lines of ``NAME.jsonl``."""
    return [json.loads(line) for line in (CORPUS / f"{name}.jsonl").read_text().splitlines()]


def kept_offers(offer: str) -> list[str]:
    """Return the kept offers, which are changes of another one.

    A change is ``[first, last, lines]``: the half-open range of lines that it replaces, and pairs of a line and how
    often it comes.
    """
    offers = []
    for row in kept("offers"):
        lines = offer.splitlines()
        for first, last, new in sorted(row["changes"], reverse=True):
            lines[first:last] = [line for line, times in new for _ in range(times)]
        offers.append("\r\n".join(lines) + "\r\n")
    return offers


def kept_packets(sender: str) -> list[bytes]:
    """Return the kept packets of a ``peer`` or a ``stranger``."""
    return [bytes.fromhex(row["packet"]) for row in kept("packets") if row["sender"] == sender]


def joined(pieces: Iterable[tuple[str, int]]) -> str:
    """Return a text from its pieces and how often each comes, as kept texts and messages are written."""
    return "".join(piece * times for piece, times in pieces)
