"""Seeded mutations of packets and of session descriptions. ``FUZZ=full`` asks for the full counts (`make fuzz`)."""

import os
import random
from collections.abc import Sequence

FULL = os.environ.get("FUZZ") == "full"

_BYTES = (0, 1, 0x7F, 0x80, 0xFE, 0xFF)
_NUMBERS = ("0", "1", "-1", "65535", "65536", "4294967296", "99999999999999999999", "1e9", "NaN", "", "²", "0x10")
_WORDS = (
    "",
    " ",
    "a",
    "=",
    ":",
    "/",
    "\t",
    "audio",
    "video",
    "udp",
    "rtx",
    "VP8/90000",
    "opus/48000/2",
    "%s%n",
    "é",
    "\x00",
)


def mutated(chance: random.Random, data: bytes) -> bytes:
    """Return bytes with one to four things wrong."""
    wrong = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(wrong) + 1)
        match chance.randrange(6):
            case 0 if at < len(wrong):
                wrong[at] ^= 1 << chance.randrange(8)
            case 1 if at < len(wrong):
                wrong[at] = chance.choice(_BYTES)
            case 2:
                wrong[at:at] = chance.randbytes(chance.randint(1, 8))
            case 3:
                del wrong[at : at + chance.randint(1, 8)]
            case 4:
                del wrong[at:]
            case _:
                wrong[at:at] = wrong[at : at + chance.randint(1, 32)]
    return bytes(wrong)


def mutated_offer(chance: random.Random, offers: Sequence[str]) -> str:
    """Return an offer with one to three things wrong, in its lines, its words, its numbers or its bytes."""
    lines = chance.choice(offers).splitlines()
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(lines))
        match chance.randrange(9):
            case 0:
                del lines[at]
            case 1:
                lines.insert(chance.randrange(len(lines)), lines[at])
            case 2:
                other = chance.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
            case 3:
                lines[at] = _with_a_word(chance, lines[at])
            case 4:
                lines[at] = _with_a_number(chance, lines[at])
            case 5:
                lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
            case 6:
                lines[at] = mutated(chance, lines[at].encode()).decode("utf-8", "replace")
            case 7:
                lines[at:at] = [lines[at]] * chance.randint(2, 200)
            case _:
                lines[at] += chance.choice(_WORDS) * chance.choice((1, 2, 5000))
        if not lines:
            return ""
    return "\r\n".join(lines) + "\r\n"


def _with_a_word(chance: random.Random, line: str) -> str:
    words = line.split(" ")
    words[chance.randrange(len(words))] = chance.choice(_WORDS)
    return " ".join(words)


def _with_a_number(chance: random.Random, line: str) -> str:
    digits = [index for index, letter in enumerate(line) if letter.isdigit()]
    if not digits:
        return line
    start = end = chance.choice(digits)
    while start and line[start - 1].isdigit():
        start -= 1
    while end < len(line) and line[end].isdigit():
        end += 1
    return line[:start] + chance.choice(_NUMBERS) + line[end:]
